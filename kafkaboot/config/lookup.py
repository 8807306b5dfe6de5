"""Finds a key where no type is known: for placeholders, `get` and `explain`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kafkaboot.config.names import relaxed
from kafkaboot.config.node import Branch, Items, Leaf, Node, merge

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDEX = re.compile(r"\[([0-9]+)\]")


def find(node: Node, key: str) -> Node | None:
    """What stands under the key, by relaxed names; dots in a name and dots between names are the same."""
    steps = _INDEX.sub(r".\1", key).split(".")
    if isinstance(node, Branch) and node.loose:
        return _variable(node, steps)
    return _walk(node, steps)


def _walk(node: Node, steps: list[str]) -> Node | None:
    if not steps:
        return node
    if isinstance(node, Items):
        at = int(steps[0]) if steps[0].isdigit() else len(node.children)
        return _walk(node.children[at], steps[1:]) if at < len(node.children) else None
    if isinstance(node, Leaf):
        return None
    found: Node | None = None
    for name, child in node.children.items():
        own = name.split(".")
        shared = min(len(own), len(steps))
        if [relaxed(each) for each in own[:shared]] != [relaxed(each) for each in steps[:shared]]:
            continue
        if len(own) > len(steps):
            below: Node | None = Branch({".".join(own[shared:]): child}, child.origin)
        else:
            below = _walk(child, steps[shared:])
        if below is not None:
            found = merge(found, below)
    return found


def _variable(node: Branch, steps: list[str]) -> Node | None:
    """A variable spells a key without saying where its names end, so keys are compared as a whole."""
    if len(steps) < 2:
        return None
    wanted = relaxed("".join(steps))
    rest: dict[str, Node] = {}
    for name, child in node.children.items():
        if relaxed(name) == wanted:
            return child
        for before, after in _cuts(name):
            if relaxed(before) == wanted:
                rest[after] = child
    if not rest:
        return None
    origin = next(iter(rest.values())).origin
    if all(name.isdigit() for name in rest):
        return Items([rest[name] for name in sorted(rest, key=int)], origin=origin)
    return Branch({name.lower().replace("_", "."): child for name, child in rest.items()}, origin)


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    at = name.find("_", 1)
    while at > 0:
        yield name[:at], name[at + 1 :]
        at = name.find("_", at + 1)


def remove(node: Branch, key: str) -> Branch:
    """The branch without what stands under the key; maps that become empty go as well."""
    steps = [relaxed(each) for each in key.split(".")]
    children: dict[str, Node] = {}
    for name, child in node.children.items():
        own = [relaxed(each) for each in name.split(".")]
        if own == steps:
            continue
        if own == steps[: len(own)] and isinstance(child, Branch):
            kept = remove(child, ".".join(steps[len(own) :]))
            if kept.children or not child.children:
                children[name] = kept
        else:
            children[name] = child
    return Branch(children, node.origin, node.loose)
