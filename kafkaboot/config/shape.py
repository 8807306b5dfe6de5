"""What a type has room for: named fields, free names, rows, scalars. Read once a type, followed by `binding`."""

from __future__ import annotations

import datetime as dt
import enum
import types
import typing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeGuard

from kafkaboot.config.names import kebab, relaxed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Extra = Literal["allow", "ignore", "forbid", "open"]

_NOTHING: frozenset[str] = frozenset()
_EVERYTHING = frozenset({"bool", "number"})
_ROWS = (list, tuple, set, frozenset)


@dataclass(slots=True)
class Field:
    """A field of a model.

    Attributes:
        feed: The name by which the model takes it.
        display: The name by which people write it.
        annotation: Its type.
        info: What pydantic knows of it; `None` for a section.
    """

    feed: str
    display: str
    annotation: Any
    info: FieldInfo | None = None

    @property
    def shape(self) -> Shape:
        """The shape of its type, read when asked for: models may hold themselves."""
        return self.annotation if isinstance(self.annotation, Shape) else shape_of(self.annotation)

    def default(self) -> Any:
        """The default in code; `...` where there is none, or none that can be known beforehand."""
        if self.info is None or self.info.is_required() or self.info.default_factory_takes_validated_data:
            return ...
        return self.info.get_default(call_default_factory=True)


@dataclass(slots=True)
class Shape:
    """What a type has room for; a union has room for what each of its types has.

    Attributes:
        fields: By relaxed name, where the type is a model; several names may lead to one field.
        values: The type of what free names stand for, where the type is a `dict`.
        items: The type of what stands in a row, where the type is a `list`.
        scalar: There is room for one scalar.
        takes: Whether a scalar that YAML reads as `bool` or `number` is wanted as such; else it is wanted as written.
        optional: There is room for null.
        span: A `timedelta` is wanted.
        anything: Everything fits, as it is.
        extra: Names that the model does not know: kept, ignored or forbidden; above sections they are not ours (open).
        secret: What stands here is masked.
        label: The type's name.
        sections: It stands above sections, and is no type's.
    """

    fields: dict[str, Field] | None = None
    values: Any = None
    items: Any = None
    scalar: bool = False
    takes: frozenset[str] = _NOTHING
    optional: bool = False
    span: bool = False
    anything: bool = False
    extra: Extra = "ignore"
    secret: bool = False
    label: str = ""
    sections: bool = False

    def field(self, name: str) -> Field | None:
        """The field of that name, compared as relaxed names."""
        return self.fields.get(relaxed(name)) if self.fields is not None else None

    def names(self) -> list[str]:
        """The fields' names as people write them."""
        return sorted({each.display for each in (self.fields or {}).values()})

    @property
    def flat(self) -> bool:
        """Free names stand for scalars only, so a map below them can only mean a longer name with dots."""
        return self.values is not None and _is_scalar_only(shape_of(self.values))


def _is_scalar_only(shape: Shape) -> bool:
    return shape.scalar and not (shape.anything or shape.fields is not None or shape.values or shape.items)


@dataclass(slots=True)
class Sections:
    """The sections of an application, each a name with dots and a type, as one shape."""

    types: dict[str, Any] = field(default_factory=dict)

    def shape(self, *, complete: bool) -> Shape:
        """The shape that has room for all of them; if `complete`, anything else below `kafkaboot` is forbidden."""
        root = Shape(fields={}, extra="open", sections=True)
        for name, annotation in self.types.items():
            here = root
            *parents, last = name.split(".")
            for parent in parents:
                found = here.field(parent)
                if found is None or not isinstance(found.annotation, Shape):
                    extra: Extra = "forbid" if complete and name.startswith("kafkaboot.") else "open"
                    found = Field(parent, parent, Shape(fields={}, extra=extra, sections=True))
                    _fields(here)[relaxed(parent)] = found
                here = found.shape
            _fields(here)[relaxed(last)] = Field(last, last, annotation)
        return root


def _fields(shape: Shape) -> dict[str, Field]:
    assert shape.fields is not None
    return shape.fields


def is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Whether this is a pydantic model; asked without importing pydantic, as models bring it along."""
    return (
        isinstance(annotation, type)
        and hasattr(annotation, "__pydantic_validator__")
        and hasattr(annotation, "model_fields")
    )


def shape_of(annotation: Any) -> Shape:
    """The shape of a type."""
    try:
        return _cached_shape(annotation)
    except TypeError:
        return _read_shape(annotation)


@lru_cache(maxsize=1024)
def _cached_shape(annotation: Any) -> Shape:
    return _read_shape(annotation)


def _read_shape(annotation: Any) -> Shape:
    if isinstance(annotation, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        return shape_of(annotation.__value__)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        shape = _union([shape_of(each) for each in arguments if each is not type(None)])
        return replace(shape, optional=shape.optional or type(None) in arguments)
    if origin is Literal:
        return Shape(scalar=True, takes=_takes(arguments), label="literal")
    if is_model(annotation):
        return _model(annotation)
    plain = origin or annotation
    if plain is Any or plain is object:
        return Shape(scalar=True, takes=_EVERYTHING, optional=True, anything=True)
    if isinstance(plain, type):
        if issubclass(plain, dict) or plain.__name__ in {"Mapping", "MutableMapping"}:
            return Shape(values=arguments[1] if len(arguments) == 2 else Any)
        if issubclass(plain, _ROWS) or plain.__name__ in {"Sequence", "Set", "Iterable", "Collection"}:
            return Shape(items=arguments[0] if arguments else Any)
        secret = plain.__name__ in {"SecretStr", "SecretBytes", "Secret"}
        if issubclass(plain, enum.Enum):
            takes = _takes(each.value for each in plain)
        elif plain is bool:
            takes = frozenset({"bool"})
        else:
            takes = frozenset({"number"}) if issubclass(plain, int | float) else _NOTHING
        return Shape(scalar=True, takes=takes, span=plain is dt.timedelta, secret=secret, label=plain.__name__)
    return Shape(scalar=True, takes=_EVERYTHING, optional=True, anything=True)


def _takes(values: Iterable[object]) -> frozenset[str]:
    kinds = {"bool" if isinstance(each, bool) else "number" for each in values if isinstance(each, int | float)}
    return frozenset(kinds)


def _union(shapes: list[Shape]) -> Shape:
    if len(shapes) == 1:
        return shapes[0]
    fields: dict[str, Field] = {}
    for shape in shapes:
        for name, each in (shape.fields or {}).items():
            fields.setdefault(name, each)
    models = [shape for shape in shapes if shape.fields is not None]
    return Shape(
        fields=fields if models else None,
        values=next((shape.values for shape in shapes if shape.values), None),
        items=next((shape.items for shape in shapes if shape.items), None),
        scalar=any(shape.scalar for shape in shapes),
        takes=_NOTHING.union(*(shape.takes for shape in shapes)),
        optional=any(shape.optional for shape in shapes),
        span=any(shape.span for shape in shapes),
        anything=any(shape.anything for shape in shapes),
        extra=models[0].extra if models else "ignore",
        secret=any(shape.secret for shape in shapes),
        label="union",
    )


def _model(model: type[BaseModel]) -> Shape:
    fields: dict[str, Field] = {}
    for name, info in model.model_fields.items():
        alias = info.validation_alias or info.alias
        choices = [each for each in getattr(alias, "choices", [alias]) if isinstance(each, str)]
        feed = choices[0] if choices else name
        display = kebab(feed) if not choices else feed
        each = Field(feed, display, info.annotation, info)
        for known in (*choices, name):
            fields[relaxed(known)] = each
    extra = _extra(model.model_config)
    return Shape(fields=fields, extra=extra, label=model.__name__)


def _extra(config: Mapping[str, Any]) -> Extra:
    extra = config.get("extra")
    return extra if extra in {"allow", "forbid"} else "ignore"
