"""The list of all values for people: each with its origin, secrets masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafkaboot.config.binding import Feed, descend, fitting
from kafkaboot.config.masking import MASK, is_secret_key, mask_within
from kafkaboot.config.names import relaxed
from kafkaboot.config.node import Branch, Items, Leaf, Node, merge
from kafkaboot.config.origin import Origin
from kafkaboot.config.problem import InvalidConfigurationError
from kafkaboot.config.shape import Shape, is_model, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """One value.

    Attributes:
        key: As people write it.
        value: Placeholders resolved; `******` where it is a secret. As written if a placeholder has no value.
        origin: Where it was written.
        masked: A secret is hidden in `value`.
        wins: It counts; else something higher overrode it.
    """

    key: str
    value: Any
    origin: Origin
    masked: bool = False
    wins: bool = True


Flat = dict[str, tuple[Node, Shape]]


class Listing:
    """The entries of placed sources, the lowest first."""

    def __init__(
        self, layers: Sequence[Branch], unplaced: Sequence[tuple[int, str, Leaf]], shape: Shape, feed: Feed
    ) -> None:
        self.shape, self.feed = shape, feed
        self.flat: list[Flat] = [dict(_flatten(shape, layer, "")) for layer in layers]
        merged: Node | None = None
        for layer in layers:
            merged = merge(merged, layer)
        self.alive = dict(_flatten(shape, merged, "")) if merged is not None else {}
        for at, name, leaf in unplaced:
            key = next((key for key in self.alive if relaxed(key) == relaxed(name)), name.lower().replace("_", "."))
            self.flat[at][key] = self.alive[key] = leaf, shape_of(Any)

    def winners(self, *, defaults: bool) -> list[Entry]:
        """What counts, by key."""
        found = [self.entry(key, node, shape) for key, (node, shape) in self.alive.items()]
        if defaults:
            found += [each for each in self.defaults(self.shape, "") if not self.covered(each.key)]
        return sorted(found, key=lambda entry: entry.key)

    def covered(self, key: str) -> bool:
        """Whether a source has the key, something below it, or a scalar above it."""
        return any(f"{key}.".startswith(f"{each}.") or each.startswith(f"{key}.") for each in self.alive)

    def explain(self, key: str) -> list[Entry]:
        """The entries at and below the key, each with what it overrode behind it."""
        wanted = [relaxed(each) for each in key.split(".")]
        declared = list(self.defaults(self.shape, ""))
        every = sorted({*self.alive, *(key for flat in self.flat for key in flat), *(each.key for each in declared)})
        explained: list[Entry] = []
        for name in every:
            if [relaxed(each) for each in name.split(".")][: len(wanted)] != wanted:
                continue
            rows = [self.entry(name, *flat[name]) for flat in reversed(self.flat) if name in flat]
            rows += [each for each in declared if each.key == name]
            alive = name in self.alive or (bool(rows) and rows[0].origin.kind == "default" and not self.covered(name))
            for at, row in enumerate(rows):
                explained.append(Entry(row.key, row.value, row.origin, row.masked, wins=alive and at == 0))
        return explained

    def entry(self, key: str, node: Node, shape: Shape) -> Entry:
        """One value, masked where it must be."""
        value, masked = self.shown(key, node, shape)
        return Entry(key, value, node.origin, masked)

    def shown(self, key: str, node: Node, shape: Shape) -> tuple[Any, bool]:
        """The value for people's eyes, and whether something in it is hidden."""
        if isinstance(node, Leaf):
            return self.scalar(key, node, shape)
        if isinstance(node, Items):
            item = shape_of(shape.items) if shape.items is not None else shape_of(Any)
            row = [self.shown(key, each, item) for each in node.children]
            return [value for value, _ in row], any(masked for _, masked in row)
        named = {}
        for name, child in node.children.items():
            inner, display = descend(shape, name)
            named[display] = self.shown(f"{key}.{display}", child, inner)
        return {name: value for name, (value, _) in named.items()}, any(masked for _, masked in named.values())

    def scalar(self, key: str, leaf: Leaf, shape: Shape) -> tuple[Any, bool]:
        """One scalar for people's eyes."""
        if shape.secret or leaf.secret or is_secret_key(key):
            return MASK, True
        try:
            resolved, _ = self.feed.resolved(leaf, key)
            if resolved.text != leaf.text and self.feed.placeholders.resolve(leaf.text, leaf.origin, key)[1]:
                return MASK, True
        except InvalidConfigurationError:
            resolved = leaf
        text = mask_within(resolved.text)
        return (text, True) if text != resolved.text else (fitting(shape, resolved), False)

    def defaults(self, shape: Shape, prefix: str, model: str = "") -> Iterator[Entry]:
        """The defaults of all models, by key."""
        for field in {each.display: each for each in (shape.fields or {}).values()}.values():
            key, inner = f"{prefix}{field.display}", field.shape
            default = field.default() if field.info else ...
            if default is None and inner.fields is not None:
                yield Entry(key, None, Origin("default", model))
            elif inner.fields is not None:
                yield from self.defaults(_set_to(inner, default), f"{key}.", inner.label)
            elif default is not ...:
                yield _default_entry(key, default, Origin("default", model), secret=inner.secret)


def _set_to(shape: Shape, instance: Any) -> Shape:
    """The shape of a model whose defaults are those of an instance; a class with other defaults stands for itself."""
    return shape_of(type(instance)) if is_model(type(instance)) else shape


def _default_entry(key: str, value: Any, origin: Origin, *, secret: bool) -> Entry:
    if secret or (is_secret_key(key) and value not in {None, ""}):
        return Entry(key, MASK if value is not None else None, origin, value is not None)
    if isinstance(value, list | tuple | set | frozenset):
        return Entry(key, [str(each) for each in value], origin)
    if isinstance(value, dict):
        return Entry(key, {str(name): str(each) for name, each in value.items()}, origin)
    shown = value if isinstance(value, bool | int | float | None) else mask_within(str(getattr(value, "value", value)))
    return Entry(key, shown, origin)


def _flatten(shape: Shape, node: Node, prefix: str) -> Iterator[tuple[str, tuple[Node, Shape]]]:
    if not isinstance(node, Branch):
        yield prefix, (node, shape)
        return
    if not node.children and prefix:
        yield prefix, (node, shape)
    for name, child in node.children.items():
        inner, display = descend(shape, name)
        yield from _flatten(inner, child, f"{prefix}.{display}" if prefix else display)
