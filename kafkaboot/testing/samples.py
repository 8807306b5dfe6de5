"""Samples of a payload's type: as many as a test wants, and the same ones for the same seed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import types
import typing
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kafkaboot.declare import type_name
from kafkaboot.errors import DeclarationError
from kafkaboot.testing import sample_values as values
from kafkaboot.testing.sample_values import Limits, Place

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

DEEPEST = 4
"""Levels of nesting beyond which what may be left out is left out."""
NONE = 0.2
"""Share of optional fields that are `None`; more of them the deeper they stand."""
_TRIES = 20
_MISSING: Any = object()


def generate(kind: type[T], n: int = 1, *, seed: int = 0, **given: Any) -> list[T]:
    """Samples of a pydantic model, a dataclass, a `msgspec.Struct` or a `TypedDict`.

    The same seed gives the same samples, and the first ones don't depend on how many are asked for. Fields that
    identify (`id`, `order_id`, `key`) are different in each sample; numbers called `seq`, `number` or `version` count;
    times go up; names, cities, currencies look like such. Constraints are kept.

    Args:
        kind: The type.
        n: How many.
        seed: Any number.
        given: Values for fields of `kind`, or callables that get the sample's number from 0 and answer the value.

    Raises:
        DeclarationError: A field's type is not known here, or the type refuses what is made for it.
    """
    unknown = set(given) - {field.name for field in fields_of(kind)}
    if unknown:
        raise DeclarationError(f"{type_name(kind)} has no field {', '.join(sorted(unknown))}")
    return [_sample(kind, number, seed, given) for number in range(n)]


class Field(NamedTuple):
    """A field of a payload's type: its name in the code, its annotation, its limits, and what it is when left out."""

    name: str
    annotation: Any
    marks: Sequence[Any]
    default: Any
    argument: str


def fields_of(kind: Any) -> list[Field]:
    """The fields of a type that has some; none for every other."""
    if hasattr(kind, "__pydantic_fields__") and not dataclasses.is_dataclass(kind):
        return [
            Field(
                name,
                info.annotation,
                info.metadata,
                info.get_default(call_default_factory=False),
                _argument(name, info),
            )
            for name, info in kind.__pydantic_fields__.items()
        ]
    hints: dict[str, Any] = {}
    if dataclasses.is_dataclass(kind) or hasattr(kind, "__struct_fields__") or typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return [
            Field(one.name, hints[one.name], (), one.default, one.name) for one in dataclasses.fields(kind) if one.init
        ]
    return [Field(name, annotation, (), _MISSING, name) for name, annotation in hints.items()]


def _argument(name: str, info: Any) -> str:
    alias = info.validation_alias if isinstance(info.validation_alias, str) else info.alias
    return alias or name


def _sample(kind: type[T], number: int, seed: int, given: Mapping[str, Any]) -> T:
    refused: Exception | None = None
    for attempt in range(_TRIES):
        random = Random(f"{seed}/{number}/{attempt}")
        maker = _Maker(number, seed, random)
        try:
            made: T = maker.built(kind, type_name(kind), 0, given)
        except ValueError as error:  # a validator of the type's own: pydantic's and msgspec's errors are ValueErrors
            refused = error
        else:
            return made
    raise DeclarationError(
        f"{type_name(kind)} refuses every sample that is made for it: {refused}",
        todo="give the field a value: generate(..., field=lambda number: ...)",
    ) from refused


class _Maker:
    """Makes one sample."""

    def __init__(self, number: int, seed: int, random: Random) -> None:
        self.number, self.seed, self.random = number, seed, random
        self.again: Counter[tuple[str, str]] = Counter()

    def built(self, kind: Any, path: str, depth: int, given: Mapping[str, Any]) -> Any:
        made: dict[str, Any] = {}
        for field in fields_of(kind):
            if field.name in given:
                said = given[field.name]
                made[field.argument] = said(self.number) if callable(said) else said
                continue
            owner = type_name(kind)
            place = Place(
                field.name, owner, self.number, self.seed, f"{path}.{field.name}", self.again[owner, field.name]
            )
            self.again[owner, field.name] += 1
            try:
                made[field.argument] = self.value(field.annotation, place, depth + 1, Limits.of(field.marks))
            except DeclarationError:
                if field.default is _MISSING or field.default is dataclasses.MISSING or _is_undefined(field.default):
                    raise
        if hasattr(kind, "model_validate"):
            return kind.model_validate(made)
        built = kind(**made)
        if hasattr(kind, "__struct_fields__"):
            import msgspec

            return msgspec.convert(msgspec.to_builtins(built), kind)  # the constructor checks nothing
        return built

    def value(self, annotation: Any, place: Place, depth: int, limits: Limits) -> Any:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            return self.value(arguments[0], place, depth, limits.with_(Limits.of(annotation.__metadata__)))
        if origin in {typing.Required, typing.NotRequired, typing.Final, typing.ClassVar}:
            return self.value(arguments[0], place, depth, limits)
        if isinstance(annotation, typing.TypeVar):
            return self.value(annotation.__bound__ or str, place, depth, limits)
        if hasattr(annotation, "__supertype__"):
            return self.value(annotation.__supertype__, place, depth, limits)
        if origin in {typing.Union, types.UnionType}:
            members = [one for one in arguments if one is not types.NoneType]
            if len(members) < len(arguments) and (depth > DEEPEST or self.random.random() < NONE * depth):
                return None
            return self.value(self.random.choice(members), place, depth, limits)
        if origin is typing.Literal:
            return self.random.choice(arguments)
        container = origin or annotation
        if isinstance(container, type) and not issubclass(container, str | bytes | bytearray):
            if issubclass(container, tuple):
                return self.tuple_(arguments, place, depth, limits)
            if issubclass(container, Sequence | AbstractSet):
                return self.many(container, arguments, place, depth, limits)
            if issubclass(container, Mapping) and not typing.is_typeddict(container):
                return self.mapping(arguments, place, depth, limits)
        return self.plain(annotation, place, depth, limits)

    def plain(self, annotation: Any, place: Place, depth: int, limits: Limits) -> Any:
        if annotation is typing.Any:
            return values.text(place, limits, self.random)
        if fields_of(annotation):
            return self.built(annotation, place.path, depth, {})
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return self.random.choice(list(annotation))
        for known, make in self.scalars(place, limits).items():
            if isinstance(annotation, type) and issubclass(annotation, known):
                return make()
        name = getattr(annotation, "__name__", "")
        if name in {"EmailStr", "SecretStr", "AnyUrl", "HttpUrl", "AnyHttpUrl"}:
            field = {"EmailStr": "email", "SecretStr": place.name}.get(name, "url")
            return values.text(dataclasses.replace(place, name=field), limits, self.random)
        raise DeclarationError(
            f"{place.path}: no sample can be made of {type_name(annotation)}",
            todo="give the field a value: generate(..., field=lambda number: ...)",
        )

    def scalars(self, place: Place, limits: Limits) -> dict[type, Callable[[], Any]]:
        """By type; a subclass stands before its superclass."""
        random = self.random
        return {
            bool: lambda: random.random() < 0.5,
            int: lambda: values.integer(place, limits, random),
            float: lambda: values.real(limits, random),
            Decimal: lambda: values.decimal(limits, random, place.path),
            str: lambda: values.text(place, limits, random),
            bytes: lambda: values.raw(limits, random),
            uuid.UUID: lambda: values.identity(random),
            dt.datetime: lambda: values.moment(place, random),
            dt.date: lambda: values.moment(place, random).date(),
            dt.time: lambda: values.moment(place, random).time(),
            dt.timedelta: lambda: dt.timedelta(seconds=random.randrange(1, 3600)),
            types.NoneType: lambda: None,
        }

    def many(self, container: type, arguments: Sequence[Any], place: Place, depth: int, limits: Limits) -> Any:
        items: list[Any] = []
        unique = issubclass(container, AbstractSet)
        count = self.count(limits, depth)
        for _ in range(count * (_TRIES if unique else 1)):
            if len(items) == count:
                break
            item = self.value(arguments[0] if arguments else str, place, depth + 1, Limits())
            if not unique or item not in items:
                items.append(item)
        return (frozenset if issubclass(container, frozenset) else set)(items) if unique else items

    def tuple_(self, arguments: Sequence[Any], place: Place, depth: int, limits: Limits) -> Any:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            arguments = [arguments[0]] * self.count(limits, depth)
        return tuple(self.value(one, place, depth + 1, Limits()) for one in arguments)

    def mapping(self, arguments: Sequence[Any], place: Place, depth: int, limits: Limits) -> dict[Any, Any]:
        key, value = arguments or (str, str)
        found: dict[Any, Any] = {}
        count = self.count(limits, depth)
        for _ in range(count * _TRIES):
            if len(found) == count:
                break
            found[self.value(key, place, depth + 1, Limits())] = self.value(value, place, depth + 1, Limits())
        return found

    def count(self, limits: Limits, depth: int) -> int:
        """How many items: few, and none where it is deep enough."""
        low, high = limits.lengths(0 if depth > DEEPEST else 1, 0 if depth > DEEPEST else 3)
        return self.random.randint(low, high)


def _is_undefined(default: Any) -> bool:
    return type(default).__name__ == "PydanticUndefinedType"
