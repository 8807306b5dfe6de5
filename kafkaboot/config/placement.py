"""Gives every name its place in a type: whatever way it is written, it ends as the path that the type's models know.

A source has names as people write them: `bootstrapServers`, `kafka.broker`, `KAFKABOOT_HANDLERS_BILL_CONCURRENCY`. Only
the type tells where one name ends and the next begins, and which dots belong to a name (`orders.v1` among topics,
`fetch.min.bytes` among librdkafka's properties). So each source is brought into the type's own names first; after that
sources are laid over one another by exact names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.config.names import relaxed
from kafkaboot.config.node import Branch, Items, Leaf, Node, leaves, merge
from kafkaboot.config.problem import Problem, advise
from kafkaboot.config.shape import Field, Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafkaboot.config.origin import Origin

Path = tuple[str, ...]


class Placement:
    """Places the names of one source.

    Attributes:
        problems: Names that have no place, or one that is taken.
        strict: Unknown names are problems even where the model would ignore them.
    """

    def __init__(self, *, strict: bool) -> None:
        self.problems: list[Problem] = []
        self.strict = strict

    def place(self, shape: Shape, node: Node, known: Node | None, path: Path) -> Node:
        """The node in the type's own names.

        Args:
            shape: What the type has room for.
            node: The source's values.
            known: What lower sources brought, already placed: their free names are recognised in variables.
            path: Where this is, as people write it.
        """
        if isinstance(node, Leaf):
            return self._single(shape, node, path)
        if isinstance(node, Items):
            return self._row(shape, node.children, node.origin, path)
        known = known if isinstance(known, Branch) else None
        if shape.items is not None and node.children and all(_index(name) for name in _first_steps(node)):
            return self._indexed(shape, node, path)
        if shape.fields is not None:
            return self._named(shape, node, known, path)
        if shape.values is not None:
            return self._free(shape, node, known, path)
        return node

    def _single(self, shape: Shape, leaf: Leaf, path: Path) -> Node:
        if leaf.value is None and not (shape.scalar or shape.optional or shape.items is not None):
            return Branch({}, leaf.origin)
        if shape.sections:
            self._problem(
                path, leaf.origin, f"`{'.'.join(path)}` is a scalar: a map is wanted", "write its keys below it"
            )
            return Branch({}, leaf.origin)
        return leaf

    def _row(self, shape: Shape, children: list[Node], origin: Origin, path: Path) -> Node:
        if shape.sections:
            self._problem(path, origin, f"`{'.'.join(path)}` is a list: a map is wanted", "write its keys below it")
            return Branch({}, origin)
        if shape.items is None:
            return Items(children, origin=origin)
        item = shape_of(shape.items)
        placed = [self.place(item, each, None, (*path, str(index))) for index, each in enumerate(children)]
        return Items(placed, origin=origin)

    def _indexed(self, shape: Shape, node: Branch, path: Path) -> Node:
        mark = _mark(loose=node.loose)
        inner: dict[int, list[tuple[str, Node]]] = {}
        for name, child in node.children.items():
            index, _, rest = name.partition(mark)
            inner.setdefault(int(index), []).append((rest, child))
        row = [self._joined(inner[index], node, (*path, str(index))) for index in sorted(inner)]
        if sorted(inner) != list(range(len(row))):
            text = f"`{'.'.join(path)}` is a list, but its numbers are {', '.join(map(str, sorted(inner)))}"
            self._problem(path, _origin(node), text, "count them from 0 without gaps")
        return self._row(shape, row, _origin(node), path)

    def _named(self, shape: Shape, node: Branch, known: Branch | None, path: Path) -> Branch:
        placed = Branch({}, node.origin)
        grouped: dict[str, tuple[Field, list[tuple[str, Node]]]] = {}
        for name, child in node.children.items():
            found = self._find(shape, name, child, loose=node.loose)
            if found is None:
                self._unknown(shape, placed, node, name, child, path)
            else:
                field, rest = found
                grouped.setdefault(field.feed, (field, []))[1].append((rest, child))
        for feed, (field, parts) in grouped.items():
            here = (*path, field.display)
            below = known.children.get(feed) if known else None
            placed.children[feed] = self.place(field.shape, self._joined(parts, node, here), below, here)
        return placed

    def _joined(self, parts: list[tuple[str, Node]], node: Branch, path: Path) -> Node:
        """What one source says of one name in several places: `a.b: 1` beside `a: {c: 2}`."""
        whole: Node | None = None
        for rest, child in parts:
            each: Node = Branch({rest: child}, _origin(child), node.loose) if rest else child
            whole = each if whole is None else self._both(whole, each, path)
        assert whole is not None
        return whole

    def _both(self, first: Node, second: Node, path: Path) -> Node:
        if not (isinstance(first, Branch) and isinstance(second, Branch)):
            text = f"`{'.'.join(path)}` stands twice, first at {_origin(first)}"
            self._problem(path, _origin(second), text, "delete one of the two")
            return first
        children = dict(first.children)
        for name, child in second.children.items():
            children[name] = self._both(children[name], child, (*path, name)) if name in children else child
        return Branch(children, first.origin, first.loose or second.loose)

    def _find(self, shape: Shape, name: str, child: Node, *, loose: bool) -> tuple[Field, str] | None:
        field = shape.field(name)
        if field is not None and (_room(field.shape, child) or not loose):
            return field, ""
        first: tuple[Field, str] | None = None
        for before, after in splits(name, loose=loose):
            field = shape.field(before)
            if field is None:
                continue
            if reaches(field.shape, after, child, loose=loose):
                return field, after
            first = first or (field, after)
        return first

    def _unknown(self, shape: Shape, placed: Branch, node: Branch, name: str, child: Node, path: Path) -> None:
        forbidden = shape.extra == "forbid" or (self.strict and shape.extra == "ignore")
        if not forbidden or (node.loose and not (self.strict or shape.sections)):
            if shape.extra in {"allow", "open"} and not node.loose:
                placed.children[name] = merge(placed.children.get(name), child)
            return
        shown = ".".join((*path, name.lower().replace("_", "-") if node.loose else name))
        self.problems.append(Problem(shown, _origin(child), f"unknown key `{shown}`", advise(name, shape.names())))

    def _free(self, shape: Shape, node: Branch, known: Branch | None, path: Path) -> Branch:
        value = shape_of(shape.values)
        grouped: dict[str, list[tuple[str, Node]]] = {}
        for name, child in _flattened(node) if shape.flat else node.children.items():
            key, rest = self._key(value, name, child, known, loose=node.loose)
            grouped.setdefault(key, []).append((rest, child))
        placed = Branch({}, node.origin)
        for key, parts in grouped.items():
            below = known.children.get(key) if known else None
            placed.children[key] = self.place(value, self._joined(parts, node, (*path, key)), below, (*path, key))
        return placed

    def _key(self, value: Shape, name: str, child: Node, known: Branch | None, *, loose: bool) -> tuple[str, str]:
        """Where a free name ends: as late as what follows it still has a place in the type of its value."""
        for key in known.children if known else ():
            if loose and relaxed(key) == relaxed(name) and _room(value, child):
                return key, ""
        if _room(value, child) and not (value.items is not None and _index(name.rpartition(_mark(loose=loose))[2])):
            return (_spelled(name, value, known) if loose else name), ""
        for before, after in splits(name, loose=loose):
            if reaches(value, after, child, loose=loose):
                return (_spelled(before, value, known) if loose else before), after
        if value.fields is not None and (self.strict or not loose):  # a misspelt field, to be named as such
            for before, after in splits(name, loose=loose):
                return (_spelled(before, value, known) if loose else before), after
        return (_spelled(name, value, known) if loose else name), ""

    def _problem(self, path: Path, origin: Origin, text: str, todo: str) -> None:
        self.problems.append(Problem(".".join(path), origin, text, todo))


def splits(name: str, *, loose: bool) -> Iterator[tuple[str, str]]:
    """A name cut in two at each of its separators, the longest beginning first."""
    mark = _mark(loose=loose)
    at = name.rfind(mark)
    while at > 0:
        if at + 1 < len(name):
            yield name[:at], name[at + 1 :]
        at = name.rfind(mark, 0, at)


def reaches(shape: Shape, name: str, child: Node, *, loose: bool) -> bool:
    """Whether the type has a place for this value under this name."""
    if shape.items is not None and _index(name.partition(_mark(loose=loose))[0]):
        _, _, rest = name.partition(_mark(loose=loose))
        item = shape_of(shape.items)
        return reaches(item, rest, child, loose=loose) if rest else _room(item, child)
    if shape.fields is not None:
        field = shape.field(name)
        if field is not None and _room(field.shape, child):
            return True
        for before, after in splits(name, loose=loose):
            field = shape.field(before)
            if field is not None and reaches(field.shape, after, child, loose=loose):
                return True
    if shape.values is not None:
        value = shape_of(shape.values)
        return _room(value, child) or any(
            reaches(value, after, child, loose=loose) for _, after in splits(name, loose=loose)
        )
    return False


def _room(shape: Shape, node: Node) -> bool:
    if shape.anything:
        return True
    if isinstance(node, Leaf):
        return shape.scalar or shape.items is not None or node.value is None
    if isinstance(node, Items):
        return shape.items is not None
    if shape.fields is not None:
        return all(reaches(shape, name, child, loose=node.loose) for name, child in node.children.items())
    return shape.values is not None


def _flattened(node: Branch) -> Iterator[tuple[str, Node]]:
    for name, child in node.children.items():
        if isinstance(child, Branch):
            yield from ((f"{name}.{below}", each) for below, each in _flattened(child))
        else:
            yield name, child


def _spelled(name: str, value: Shape, known: Branch | None) -> str:
    """A variable's words as a free name: one that a lower source has, else dots among scalars and `_` among models."""
    for key in known.children if known else ():
        if relaxed(key) == relaxed(name):
            return key
    return name.lower() if value.fields is not None else name.lower().replace("_", ".")


def _first_steps(node: Branch) -> list[str]:
    return [name.partition(_mark(loose=node.loose))[0] for name in node.children]


def _index(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 6


def _mark(*, loose: bool) -> str:
    return "_" if loose else "."


def _origin(node: Node) -> Origin:
    if isinstance(node, Branch) and node.children and not node.origin.line:
        return next(leaves(node), node).origin
    return node.origin
