"""Makes a settings object of placed values: text becomes what a type wants, pydantic judges, errors find their line."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, cast

from kafkaboot.config.masking import MASK, is_secret, scrub
from kafkaboot.config.node import Branch, Items, Leaf, Node, core_scalar
from kafkaboot.config.problem import InvalidConfigurationError, Problem
from kafkaboot.config.shape import Field, Shape, is_model, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_settings import BaseSettings

    from kafkaboot.config.environment import Placeholders

Path = tuple[str, ...]

_WANTED = {
    "int_parsing": "a whole number is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_parsing": "a number is wanted",
    "float_type": "a number is wanted",
    "decimal_parsing": "a number is wanted",
    "decimal_type": "a number is wanted",
    "bool_parsing": "true or false is wanted",
    "bool_type": "true or false is wanted",
    "string_type": "text is wanted",
    "list_type": "a list is wanted",
    "set_type": "a list is wanted",
    "tuple_type": "a list is wanted",
    "dict_type": "a map is wanted",
    "model_type": "a map is wanted",
    "model_attributes_type": "a map is wanted",
    "time_delta_parsing": "a duration is wanted",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


class Absent:
    """Nothing is fed to the model here."""


ABSENT = Absent()


class Feed:
    """Turns placed values into what a model is fed with."""

    def __init__(self, placeholders: Placeholders) -> None:
        self.placeholders = placeholders
        self.problems: list[Problem] = []
        self.failed: set[Path] = set()
        self.secrets: set[str] = set()

    def feed(self, shape: Shape, node: Node, path: Path, loc: Path = ()) -> Any:
        """Plain data for pydantic; `ABSENT` where there is none."""
        if isinstance(node, Leaf):
            return self._leaf(shape, node, path, loc)
        if isinstance(node, Items):
            item = shape_of(shape.items) if shape.items is not None else _ANYTHING
            row = (self.feed(item, each, (*path, str(at)), (*loc, str(at))) for at, each in enumerate(node.children))
            return [each for each in row if each is not ABSENT]
        fed = {}
        for name, child in node.children.items():
            below, shown = descend(shape, name)
            value = self.feed(below, child, (*path, shown), (*loc, name))
            if value is not ABSENT:
                fed[name] = value
        return fed

    def _leaf(self, shape: Shape, leaf: Leaf, path: Path, loc: Path) -> Any:
        key = ".".join(path)
        try:
            resolved, secret = self.resolved(leaf, key)
        except InvalidConfigurationError as error:
            self.problems.extend(error.problems)
            self.failed.add(loc)
            return ABSENT
        if secret or shape.secret:
            self.secrets.add(resolved.text)
        if resolved.value is None:
            return None if shape.optional or shape.scalar else ABSENT
        if shape.items is not None and not shape.scalar:
            item = shape_of(shape.items)
            parts = [part.strip() for part in resolved.text.split(",")] if resolved.text.strip() else []
            leaves_ = (Leaf(core_scalar(part), part, leaf.origin, resolved.quoted, literal=True) for part in parts)
            return [self._value(item, each) for each in leaves_]
        return self._value(shape, resolved)

    def resolved(self, leaf: Leaf, key: str) -> tuple[Leaf, bool]:
        """The leaf without placeholders, and whether it is a secret."""
        secret = leaf.secret or is_secret(key, leaf.text)
        if leaf.literal or "${" not in leaf.text:
            return leaf, secret
        text, brought = self.placeholders.resolve(leaf.text, leaf.origin, key)
        value = text if leaf.quoted or not text else core_scalar(text)
        return Leaf(value, text, leaf.origin, leaf.quoted, literal=True, secret=leaf.secret), secret or brought

    def _value(self, shape: Shape, leaf: Leaf) -> Any:
        if shape.span:
            from kafkaboot.config.units import parse_duration

            try:
                return dt.timedelta(seconds=parse_duration(leaf.text))
            except ValueError:
                return leaf.text
        return fitting(shape, leaf)


_ANYTHING = shape_of(Any)


def fitting(shape: Shape, leaf: Leaf) -> Any:
    """The scalar as YAML reads it if the type has room for that, else as it was written."""
    if leaf.value is None or leaf.quoted:
        return leaf.value
    kind = "bool" if isinstance(leaf.value, bool) else "number" if isinstance(leaf.value, int | float) else "text"
    return leaf.value if kind in shape.takes else leaf.text


def descend(shape: Shape, name: str) -> tuple[Shape, str]:
    """The shape of what stands under a placed name, and the name as people write it."""
    field = _fed(shape, name)
    if field is not None:
        return field.shape, field.display
    return (shape_of(shape.values) if shape.values is not None else _ANYTHING), name


def _fed(shape: Shape, name: str) -> Field | None:
    return next((each for each in (shape.fields or {}).values() if each.feed == name), None)


def construct(model: Any, data: Any) -> Any:
    """The settings object.

    Raises:
        ValidationError: pydantic's.
    """
    if is_model(model):
        if hasattr(model, "settings_customise_sources"):
            from kafkaboot.config.settings_source import construct_settings

            return construct_settings(cast("type[BaseSettings]", model), data)
        return model.model_validate(data)
    from pydantic import TypeAdapter

    return TypeAdapter(model).validate_python(data)


def explain_invalid(error: ValidationError, shape: Shape, node: Node, path: Path, feed: Feed) -> Iterator[Problem]:
    """What pydantic complains of, each at the place where the value was written, in the words of a configuration."""
    wanted: dict[Path, list[str]] = {}
    of_model: set[Path] = set()
    found: dict[Path, tuple[Node, Path, bool]] = {}
    for each in error.errors(include_url=False, include_context=True):
        spot, at, secret, loc, missing = _locate(shape, node, path, each["loc"])
        if any(loc[: len(failed)] == failed or failed[: len(loc)] == loc for failed in feed.failed):
            continue
        if each["type"] == "missing":
            loc, at = (*loc, missing), (*at, _shown_name(shape, loc, missing))
            wanted.setdefault(loc, []).append("a value is wanted, and there is none")
        else:
            wanted.setdefault(loc, []).append(_text(each, secret=secret, feed=feed))
            if not isinstance(spot, Leaf) and each["type"] in {"value_error", "assertion_error"}:
                of_model.add(loc)
        found[loc] = spot, at, secret
    for loc, texts in wanted.items():
        spot, at, secret = found[loc]
        key, said = ".".join(at), " or ".join(dict.fromkeys(texts))
        if said.startswith("a value is wanted"):
            yield Problem(key, spot.origin if loc[:-1] else None, f"`{key}` has no value", f"set `{key}`")
        else:
            secret = secret or (isinstance(spot, Leaf) and (spot.secret or is_secret(key, spot.text)))
            shown = "" if loc in of_model else f" is {_shown(spot, key, feed, secret=secret)}"
            yield Problem(key, spot.origin, f"`{key}`{shown}: {said}")


def _shown_name(shape: Shape, loc: Path, missing: str) -> str:
    for name in loc:
        shape = descend(shape, name)[0] if not name.isdigit() or shape.items is None else shape_of(shape.items)
    return descend(shape, missing)[1]


def _locate(shape: Shape, node: Node, path: Path, loc: tuple[int | str, ...]) -> tuple[Node, Path, bool, Path, str]:
    """Follows pydantic's path as far as values go; what it adds for the arms of a union has none, and is left out."""
    secret, taken, last = shape.secret, (), str(loc[-1]) if loc else ""
    walked: Path = taken
    for step in loc:
        name = str(step)
        if isinstance(node, Branch) and name in node.children:
            shape, shown = descend(shape, name)
            node, path, walked = node.children[name], (*path, shown), (*walked, name)
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.children):
            shape = shape_of(shape.items) if shape.items is not None else _ANYTHING
            node, path, walked = node.children[step], (*path, name), (*walked, name)
        secret = secret or shape.secret
    return node, path, secret, walked, last


def _text(error: Any, *, secret: bool, feed: Feed) -> str:
    kind, message = error["type"], str(error["msg"])
    if kind in _WANTED:
        return _WANTED[kind]
    if kind in {"enum", "literal_error"}:
        return f"one of {error['ctx']['expected']} is wanted"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        bound = error["ctx"][name]
        return f"{words} {f'{bound:g}' if isinstance(bound, float) else bound} is wanted"
    if secret:
        return "this is not valid"
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ").removeprefix("Input ")
    return scrub(message, feed.secrets)


def _shown(node: Node, key: str, feed: Feed, *, secret: bool) -> str:
    if not isinstance(node, Leaf):
        return "a list" if isinstance(node, Items) else "a map"
    try:
        leaf, brought = feed.resolved(node, key)
    except InvalidConfigurationError:
        return "unknown"
    if leaf.value is None:
        return "empty"
    return MASK if secret or brought else repr(leaf.text)
