"""Values with their origins, before anybody knows what type they should have."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafkaboot.config.origin import Origin

Scalar = str | int | float | bool | None

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_NUMBER = 400


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar.

    Attributes:
        value: What YAML 1.2's core schema makes of it.
        text: What was written: a field that wants text gets `012`, one that wants a number gets 12.
        origin: Where it was written.
        quoted: It was written as text, so what a placeholder brings stays text.
        literal: Placeholders in it mean nothing; a secret from a file is taken as it is.
        secret: It is masked whatever its name.
    """

    value: Scalar
    text: str
    origin: Origin
    quoted: bool = False
    literal: bool = False
    secret: bool = False


@dataclass(slots=True)
class Branch:
    """Named values.

    Attributes:
        children: By name as written; a name may hold dots.
        origin: Where the map begins.
        loose: The names are variables: words in upper case joined by `_`, where `_` may stand for any separator.
    """

    children: dict[str, Node]
    origin: Origin
    loose: bool = False


@dataclass(slots=True)
class Items:
    """Values in a row."""

    children: list[Node] = field(default_factory=list)
    origin: Origin = field(kw_only=True)


Node = Leaf | Branch | Items


def core_scalar(text: str) -> Scalar:
    """A plain scalar by YAML 1.2's core schema: `no`, `1:30` and `2024-01-01` are text, `012` is twelve."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.fullmatch(text)
    if special:
        return float("nan") if special[3] else float(f"{special[1]}inf")
    return text


def plain_leaf(text: str, origin: Origin) -> Leaf:
    """A leaf from a source that has only text: a variable, a flag. Nothing written is empty text, not null."""
    return Leaf(core_scalar(text) if text else "", text, origin)


def merge(low: Node | None, high: Node) -> Node:
    """`high` over `low`: maps merge, everything else replaces. Neither is changed."""
    if not (isinstance(low, Branch) and isinstance(high, Branch)):
        return high
    children = dict(low.children)
    for name, child in high.children.items():
        children[name] = merge(children.get(name), child)
    return Branch(children, high.origin, high.loose)


def leaves(node: Node) -> Iterator[Leaf]:
    """Every scalar in the node."""
    if isinstance(node, Leaf):
        yield node
        return
    for child in node.children.values() if isinstance(node, Branch) else node.children:
        yield from leaves(child)
