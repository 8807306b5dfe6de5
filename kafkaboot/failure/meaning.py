"""What an exception means for its record: worth another attempt, or not."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from kafkaboot.errors import CircuitOpenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FATAL = (
    "kafkaboot.errors.UndecodableError",
    "kafkaboot.errors.UnencodableError",
    "kafkaboot.errors.DeclarationError",
    "kafkaboot.errors.WiringError",
    "kafkaboot.errors.ConfigurationError",
    "pydantic_core._pydantic_core.ValidationError",
    "msgspec.ValidationError",
)
"""What no further attempt mends, unless a policy says otherwise: decoding, validation and wiring."""
CIRCUITS = "kafkaboot_circuits"
"""The attribute of an exception that has the circuits, by name, which counted it as a failure."""
DEPTH = 20
"""Causes that are looked at."""


class Meanings:
    """Tells fatal exceptions from those that are worth another attempt.

    The class nearest to the exception's own decides, along its method resolution order; an exception of which no rule
    speaks has the meaning of what it was raised from (`raise ... from cause`). What nobody speaks of is retriable.

    Args:
        fatal: Classes, or their dotted names.
        retriable: The same, for what is retriable; they win over the house's own list.
    """

    def __init__(self, fatal: Iterable[type | str] = (), retriable: Iterable[type | str] = ()) -> None:
        self._rules = dict.fromkeys(FATAL, True)
        self._rules.update((dotted(one), False) for one in retriable)
        self._rules.update((dotted(one), True) for one in fatal)
        self._known: dict[type, bool | None] = {}

    def fatal(self, error: BaseException) -> bool:
        """Whether no further attempt mends it."""
        for cause in causes(error):
            if isinstance(cause, BaseExceptionGroup):
                return all(self.fatal(each) for each in cause.exceptions)
            said = self._said_of(type(cause))
            if said is not None:
                return said
        return False

    def _said_of(self, kind: type) -> bool | None:
        if kind not in self._known:
            spoken = (self._rules[name] for name in map(dotted, kind.__mro__) if name in self._rules)
            self._known[kind] = next(spoken, None)
        return self._known[kind]


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and what it was raised from."""
    cause: BaseException | None = error
    for _ in range(DEPTH):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


def open_circuit(error: BaseException) -> CircuitOpenError | None:
    """The circuit that kept the handler, or what it calls, from being called."""
    return next((cause for cause in causes(error) if isinstance(cause, CircuitOpenError)), None)


def held_back(error: BaseException) -> bool:
    """Whether a circuit that the failed call went through is not closed: the dependency is down, not the record bad."""
    return any(not each.closed for cause in causes(error) for each in vars(cause).get(CIRCUITS, {}).values())


def dotted(kind: type | str) -> str:
    """The name by which a class is known in rules."""
    return kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


def exception_named(name: str) -> type[BaseException]:
    """The exception class of that dotted name; a plain name is one of Python's own.

    Raises:
        LookupError: There is none; the text says what of the name was not found.
    """
    module_name, _, class_name = name.rpartition(".")
    try:
        module = import_module(module_name or "builtins")
    except ImportError as error:
        raise LookupError(f"there is no module {module_name!r}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type) or not issubclass(found, BaseException):
        kind = "has no" if found is None else "has something else of the name"
        raise LookupError(f"module {module.__name__!r} {kind} {class_name!r}")  # noqa: TRY004 - the name is wrong
    return found
