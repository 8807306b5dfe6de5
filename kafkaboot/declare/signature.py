"""What each parameter of a handler is filled with, read once at start."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from kafkaboot.declare.annotations import NOTHING, parameters, resolve
from kafkaboot.declare.lookup import publisher_specs
from kafkaboot.declare.markers import Header, Key, Named, Payload
from kafkaboot.errors import DeclarationError
from kafkaboot.message import Context, Record, decodable, type_name, without_marks, without_none

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable


class Kind(Enum):
    """Where a parameter's value comes from."""

    PAYLOAD = "payload"
    BATCH = "batch"
    RECORD = "record"
    RECORDS = "records"
    HEADER = "header"
    KEY = "key"
    CONTEXT = "context"
    INJECT = "inject"
    TRANSACTION = "transaction"


PAYLOAD, BATCH, RECORD, RECORDS = Kind.PAYLOAD, Kind.BATCH, Kind.RECORD, Kind.RECORDS
HEADER, KEY, CONTEXT, INJECT = Kind.HEADER, Kind.KEY, Kind.CONTEXT, Kind.INJECT
TRANSACTION = Kind.TRANSACTION


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a handler.

    Attributes:
        name: Its name.
        kind: Where its value comes from.
        annotation: For `PAYLOAD` what the decoder takes, `None` included where it is accepted; for `BATCH` the same of
            one element; for `HEADER` and `KEY` `str` or `bytes`; for `INJECT` the annotation as it stands, with
            `Annotated[..., Named(...)]`, `T | None` and `list[T]`.
        default: Its default, or `NOTHING`.
        required: Whether the call cannot be made without a value: it has no default and does not accept `None`.
        header: The header's name, for `HEADER`.
        optional: Whether it accepts `None`.
        keyword_only: Whether it can only be passed by name.
    """

    name: str
    kind: Kind
    annotation: Any
    default: Any = NOTHING
    required: bool = True
    header: str = ""
    optional: bool = False
    keyword_only: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """A handler's parameters in their order, and what it returns (`Any` where it does not say)."""

    parameters: tuple[Parameter, ...]
    returns: Any = Any

    @property
    def batch(self) -> bool:
        """Whether the handler takes lists of records."""
        return any(parameter.kind in {BATCH, RECORDS} for parameter in self.parameters)

    @property
    def payload(self) -> Parameter | None:
        """The parameter that takes the decoded value, or values."""
        return next((parameter for parameter in self.parameters if parameter.kind in {PAYLOAD, BATCH}), None)


def read_signature(
    function: Any,
    where: str,
    *,
    injectable: Callable[[Any], bool] = lambda _: False,
    batch: bool | int | None = None,
    method: bool = False,
    transaction: Callable[[Any], bool] = lambda _: False,
) -> Signature:
    """Decide what fills each parameter.

    The payload is the first parameter that is nothing else and that a value can be decoded into, or the one annotated
    `Annotated[T, Payload()]`. What is left over is `INJECT`: whether anything provides it, the container says.

    Args:
        function: The handler; of a bound method `self` is left out.
        where: File and line for the errors.
        injectable: Whether a type is provided by a component, a settings class or the house.
        batch: The handler's `batch` option; `None` lets `list[T]` decide, `False` reads `list[T]` as one JSON array.
        method: Whether the function's first parameter is `self`.
        transaction: Whether a type is that of the transaction in which the handler is called.

    Raises:
        DeclarationError: A parameter that cannot be filled by name, or contradicts the others.
    """
    return _Reader(function, where, injectable, batch, transaction).read(method=method)


class _Reader:
    def __init__(
        self,
        function: Any,
        where: str,
        injectable: Callable[[Any], bool],
        batch: bool | int | None,
        transaction: Callable[[Any], bool],
    ) -> None:
        self.function, self.where, self.injectable, self.batch = function, where, injectable, batch
        self.transaction = transaction
        self.name = getattr(function, "__name__", repr(function))

    def read(self, *, method: bool) -> Signature:
        found: list[Parameter] = []
        written = parameters(self.function)
        for parameter in written[1:] if method else written:
            self.refuse_unnamed(parameter)
            annotation = resolve(parameter.annotation, self.function, parameter.name, self.where)
            found.append(self.classify(parameter, annotation))
        signature = Signature(tuple(self.choose_payload(found)), self.returns())
        self.check(signature)
        return signature

    def refuse_unnamed(self, parameter: inspect.Parameter) -> None:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            star = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise self.error(
                f"takes {star}{parameter.name}, and nothing says what to fill it with",
                "name each parameter and annotate it",
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise self.error(
                f"has the positional-only parameter {parameter.name!r}, and arguments are passed by name",
                "remove the '/' from its parameters",
            )
        if parameter.annotation is NOTHING:
            raise self.error(
                f"has the parameter {parameter.name!r} without an annotation, so nothing can fill it",
                f"annotate it: the payload's class, Record, Context or a component, for example {parameter.name}: dict",
            )

    def classify(self, parameter: inspect.Parameter, annotation: Any) -> Parameter:
        bare, marks = without_marks(annotation)
        inner, optional = without_none(bare)
        if optional and not marks:
            inner, marks = without_marks(inner)
        ours = [mark for mark in marks if isinstance(mark, Payload | Header | Key | Named)]
        # `Header` instead of `Header("name")` would otherwise make the parameter a payload without a word.
        forgotten = next(
            (mark for mark in marks if any(mark is known for known in (Payload, Header, Key, Named))), None
        )
        if forgotten is not None:
            example = 'Header("name")' if forgotten is Header else f"{forgotten.__name__}()"
            raise self.error(f"marks {parameter.name!r} with the class {forgotten.__name__}", f"write {example}")
        if len(ours) > 1:
            raise self.error(f"marks {parameter.name!r} as several things at once", "keep one of the marks")
        mark = ours[0] if ours else None

        def filled(kind: Kind, wanted: Any, header: str = "") -> Parameter:
            required = parameter.default is NOTHING and not optional
            by_name = parameter.kind is parameter.KEYWORD_ONLY
            return Parameter(parameter.name, kind, wanted, parameter.default, required, header, optional, by_name)

        if isinstance(mark, Header | Key):
            if inner is not str and inner is not bytes:
                raise self.error(
                    f"wants the {type(mark).__name__.lower()} {parameter.name!r} as {type_name(inner)}",
                    "annotate it with str or bytes, or with str | None where it may be absent",
                )
            return filled(HEADER, inner, mark.name) if isinstance(mark, Header) else filled(KEY, inner)
        if isinstance(mark, Named):
            return filled(INJECT, annotation)
        if isinstance(mark, Payload):
            return filled(PAYLOAD, bare)
        if inner is Record:
            return filled(RECORD, Record)
        if inner is Context:
            return filled(CONTEXT, Context)
        element = typing.get_args(inner)[0] if typing.get_origin(inner) is list else None
        if element is Record:
            return filled(RECORDS, Record)
        if self.transaction(inner):
            return filled(TRANSACTION, inner)
        if self.injectable(inner) or (element is not None and self.injectable(element)):
            return filled(INJECT, annotation)
        # Whether it is the payload is decided when all parameters are known.
        return filled(INJECT, annotation)

    def choose_payload(self, found: list[Parameter]) -> list[Parameter]:
        marked = [parameter for parameter in found if parameter.kind is PAYLOAD]
        if len(marked) > 1:
            names = " and ".join(repr(parameter.name) for parameter in marked)
            raise self.error(f"marks {names} as its payload", "a record has one value: keep one Payload()")
        chosen = marked[0] if marked else next((p for p in found if p.kind is INJECT and self.can_be_payload(p)), None)
        return [self.as_payload(parameter) if parameter is chosen else parameter for parameter in found]

    def can_be_payload(self, parameter: Parameter) -> bool:
        bare, marks = without_marks(parameter.annotation)
        inner, _ = without_none(bare)
        element = typing.get_args(inner)[0] if typing.get_origin(inner) is list else inner
        named = any(isinstance(mark, Named) for mark in marks)
        return not named and not self.injectable(inner) and not self.injectable(element) and decodable(inner)

    def as_payload(self, parameter: Parameter) -> Parameter:
        bare, _ = without_marks(parameter.annotation)
        inner, optional = without_none(bare)
        kind, wanted = PAYLOAD, bare
        if self.batch is not False and typing.get_origin(inner) is list:
            if optional:
                raise self.error(
                    f"takes {parameter.name!r} as {type_name(bare)}, and a batch is never None",
                    f"write list[{type_name(typing.get_args(inner)[0])} | None] for values that may be null",
                )
            kind, wanted = BATCH, typing.get_args(inner)[0]
            optional = without_none(wanted)[1]
        elif self.batch:
            raise self.error(
                f"is a batch handler, and its payload {parameter.name!r} is annotated {type_name(bare)}",
                f"annotate it list[{type_name(inner)}]",
            )
        required = parameter.default is NOTHING and not optional
        return Parameter(
            parameter.name, kind, wanted, parameter.default, required, "", optional, parameter.keyword_only
        )

    def check(self, signature: Signature) -> None:
        if not signature.batch:
            if self.batch:
                raise self.error("is a batch handler without a list", "take the payload as list[T], or list[Record]")
            return
        if self.batch is False:
            raise self.error("takes list[Record] and says batch=False", "remove batch=False, or take one Record")
        for parameter in signature.parameters:
            if parameter.kind in {HEADER, KEY, RECORD, PAYLOAD}:
                raise self.error(
                    f"is a batch handler, and {parameter.name!r} ({parameter.kind.value}) belongs to a single record",
                    "take list[Record], and read it from there",
                )

    def returns(self) -> Any:
        target = getattr(self.function, "__func__", self.function)
        written = getattr(target, "__annotations__", {}).get("return", NOTHING)
        if written is NOTHING:
            return Any
        try:
            return resolve(written, self.function, "return", self.where)
        except DeclarationError:
            if publisher_specs(target):
                raise
            return Any  # nobody asks for what is returned, so that a name under TYPE_CHECKING does no harm

    def error(self, what: str, todo: str) -> DeclarationError:
        return DeclarationError(f"handler {self.name} {what}", where=self.where, todo=todo)
