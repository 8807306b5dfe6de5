"""YAML with line numbers, read by the core schema of YAML 1.2. The only file that knows a YAML parser.

Built from the parser's events and not from its own composer, which recurses in C, reads `no` and `1:30` by the rules
of YAML 1.1, and accepts a key twice. Size, depth and the number of values that aliases unfold to are checked before
they can cost anything (a "billion laughs" file is refused, not expanded).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.config.node import Branch, Items, Leaf, Node, core_scalar
from kafkaboot.config.origin import Origin
from kafkaboot.config.problem import InvalidConfigurationError, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 1 << 20
MOST_DEPTH = 64
MOST_VALUES = 20_000

_CORE = "tag:yaml.org,2002:"


def read_yaml(path: Path, shown: str) -> list[Branch]:
    """The documents of a file, each a map.

    Args:
        path: The file.
        shown: Its name in origins and errors.

    Raises:
        InvalidConfigurationError: It cannot be read, or is no YAML that a configuration may hold.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise invalid(f"{shown} cannot be read: {error.strerror}", Origin("file", shown)) from None
    if len(raw) > MOST_BYTES:
        raise invalid(f"{shown} is larger than {MOST_BYTES >> 20} MiB", Origin("file", shown), todo="split the file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise invalid("this is not UTF-8", Origin("file", shown, line), todo="save the file as UTF-8") from None
    return parse_yaml(text, shown)


def parse_yaml(text: str, shown: str) -> list[Branch]:
    """The documents of a text; see `read_yaml`."""
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return list(_Documents(yaml.parse(text, Loader=loader), shown))
    except yaml.MarkedYAMLError as error:
        raise _unreadable(text, shown, error) from None
    except yaml.YAMLError as error:
        raise invalid(f"this is not YAML: {str(error).splitlines()[0]}", Origin("file", shown)) from None


def _unreadable(text: str, shown: str, error: Any) -> InvalidConfigurationError:
    mark = error.problem_mark or error.context_mark
    origin = Origin("file", shown, mark.line + 1, mark.column + 1) if mark else Origin("file", shown)
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    blank = line[: len(line) - len(line.lstrip())]
    if "\t" in blank:
        origin = Origin("file", shown, origin.line, blank.index("\t") + 1)
        return _at(origin, "a tab in the indentation", "YAML is indented with spaces: put spaces for the tab")
    todo = "put quotes around the value that begins with `${`" if "${" in line else ""
    reason = " ".join(part for part in (error.context, error.problem) if part)
    return _at(origin, f"this is not YAML: {reason}", todo)


def _at(origin: Origin, text: str, todo: str = "") -> InvalidConfigurationError:
    return invalid(text, origin, todo=todo, exact=True)


class _Documents:
    """Builds the nodes of each document from the parser's events."""

    def __init__(self, events: Iterator[Any], shown: str) -> None:
        self.events, self.shown = events, shown
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.open_anchors: set[str] = set()
        self.values = 0

    def __iter__(self) -> Iterator[Branch]:
        for event in self.events:
            if type(event).__name__ != "DocumentStartEvent":
                continue
            self.anchors, self.values = {}, 0
            root = self.node(next(self.events), 0)
            if isinstance(root, Branch):
                yield root
            elif not (isinstance(root, Leaf) and root.value is None):
                raise _at(root.origin, "a configuration is a map of names to values", "begin with `name: value`")

    def origin(self, event: Any) -> Origin:
        return Origin("file", self.shown, event.start_mark.line + 1, event.start_mark.column + 1)

    def node(self, event: Any, depth: int) -> Node:
        kind, origin = type(event).__name__, self.origin(event)
        if depth > MOST_DEPTH:
            raise _at(origin, f"values nested more than {MOST_DEPTH} deep")
        if kind == "AliasEvent":
            return self.alias(event.anchor, origin)
        before = self.values
        self.count(1, origin)
        if event.anchor:
            self.open_anchors.add(event.anchor)
        if kind == "ScalarEvent":
            node: Node = self.scalar(event, origin)
        elif kind == "SequenceStartEvent":
            self.check_tag(event, "seq", origin)
            node = Items(list(self.items(depth)), origin=origin)
        else:
            self.check_tag(event, "map", origin)
            node = self.branch(origin, depth)
        if event.anchor:
            self.open_anchors.discard(event.anchor)
            self.anchors[event.anchor] = node, self.values - before
        return node

    def count(self, values: int, origin: Origin) -> None:
        self.values += values
        if self.values > MOST_VALUES:
            raise _at(origin, f"more than {MOST_VALUES} values in one document, with its aliases unfolded")

    def alias(self, name: str, origin: Origin) -> Node:
        if name in self.open_anchors:
            raise _at(origin, f"`*{name}` stands inside of what it means")
        if name not in self.anchors:
            raise _at(origin, f"`*{name}` has no `&{name}` before it")
        node, values = self.anchors[name]
        self.count(values, origin)
        return node

    def check_tag(self, event: Any, expected: str, origin: Origin) -> None:
        if event.tag not in {None, "!", _CORE + expected}:
            shown = event.tag.replace(_CORE, "!!")
            raise _at(origin, f"the tag `{shown}` means nothing in a configuration", "take the tag away")

    def scalar(self, event: Any, origin: Origin) -> Leaf:
        text, quoted = event.value, bool(event.style)
        if event.tag is None:
            return Leaf(text if quoted else core_scalar(text), text, origin, quoted)
        if event.tag in {"!", _CORE + "str"}:
            return Leaf(text, text, origin, quoted=True)
        value = core_scalar(text)
        for tag, types in (("int", int), ("float", (int, float)), ("bool", bool), ("null", type(None))):
            if event.tag == _CORE + tag and isinstance(value, types) and (tag == "bool" or not isinstance(value, bool)):
                return Leaf(float(value or 0) if tag == "float" else value, text, origin)
        self.check_tag(event, "str", origin)
        return Leaf(text, text, origin, quoted)

    def items(self, depth: int) -> Iterator[Node]:
        while type(event := next(self.events)).__name__ != "SequenceEndEvent":
            yield self.node(event, depth + 1)

    def branch(self, origin: Origin, depth: int) -> Branch:
        children: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        while type(event := next(self.events)).__name__ != "MappingEndEvent":
            key = self.node(event, depth + 1)
            if not isinstance(key, Leaf):
                raise _at(self.origin(event), "a map or a list cannot be a name")
            value = self.node(next(self.events), depth + 1)
            if key.text == "<<" and not key.quoted:
                merged.extend(value.children if isinstance(value, Items) else [value])
                continue
            if key.text in lines:
                text = f"the key `{key.text}` stands twice: in line {lines[key.text]} and in line {key.origin.line}"
                raise invalid(text, key.origin, key=key.text, todo="delete one of the two lines")
            lines[key.text] = key.origin.line
            children[key.text] = value
        for source in merged:
            if not isinstance(source, Branch):
                raise _at(source.origin, "`<<` takes a map, or a list of maps")
            children = children | {name: child for name, child in source.children.items() if name not in children}
        return Branch(children, origin)
