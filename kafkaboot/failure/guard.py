"""Functions that are called through a circuit: `@circuit`, and what the handlers' calls are wrapped with.

Nothing of this loads settings or models before the first call: the decorator costs a plain module next to nothing.
"""

from __future__ import annotations

import inspect
import sys
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kafkaboot.declare import checks
from kafkaboot.declare.place import frame_place
from kafkaboot.errors import DeclarationError
from kafkaboot.failure.circuit import FINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.failure.circuit import Circuit

    F = TypeVar("F", bound=Callable[..., Any])


class Holder:
    """Where a guarded function finds its circuit; the registry of the running application puts it there."""

    __slots__ = ("circuit", "name")

    def __init__(self, name: str, circuit: Circuit | None = None) -> None:
        self.name, self.circuit = name, circuit

    def find(self) -> Circuit:
        """The circuit, at the first call."""
        from kafkaboot.failure.circuits import current

        self.circuit = found = current(self.name)
        return found


HOLDERS: dict[str, Holder] = {}
"""One for each name that a decorator has given, in the whole process."""


def circuit(name: str) -> Callable[[F], F]:
    """Call this function, `def` or `async def`, through a circuit.

    While what it calls is down, it raises `CircuitOpenError` at once instead of calling. A handler in which that is
    raised waits in its lane, which is no attempt. The circuit is the running application's, set up under
    `kafkaboot.circuits.<name>`; where no application runs, it is one with default settings.

    Args:
        name: The circuit's name; functions that name the same share it.

    Raises:
        DeclarationError: At once, when the name cannot be used or the object cannot be called through a circuit.
    """
    where = frame_place(sys._getframe(1))  # noqa: SLF001 - the line of the decorator, for its errors
    if callable(name):
        raise DeclarationError(
            "@circuit needs the circuit's name", where=where, todo='write @circuit("psp"), as under kafkaboot.circuits'
        )
    checks.circuit("circuit", name, where)
    holder = HOLDERS.setdefault(name, Holder(name))

    def decorate(function: F) -> F:
        _check(function, where)
        return around(function, holder)

    return decorate


def _check(function: Any, where: str) -> None:
    what = getattr(function, "__qualname__", repr(function))
    if isinstance(function, staticmethod | classmethod):
        kind = type(function).__name__
        raise DeclarationError(f"@circuit cannot stand on a {kind}", where=where, todo=f"write it below @{kind}")
    if isinstance(function, type) or not callable(function):
        raise DeclarationError(
            f"@circuit stands on a function, not on {what}", where=where, todo="decorate the method that calls out"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(
            f"@circuit: {what} is a generator, whose calls end before anything has been called",
            where=where,
            todo="decorate the function that the generator calls",
        )


def around(function: F, holder: Holder, *, is_async: bool | None = None) -> F:
    """The function, called through the holder's circuit.

    Args:
        function: Any callable.
        holder: Has the circuit.
        is_async: Whether it answers coroutines; by default, whether it is an `async def`.
    """
    if is_async is None:
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object's own, which may be an `async def`
        )

    def guarded(*arguments: Any, **named: Any) -> Any:
        circuit = holder.circuit or holder.find()
        record = circuit.record or circuit.enter()
        circuit.calls += 1
        began = 0.0 if circuit.slow_after is None else circuit.now()
        try:
            answer = function(*arguments, **named)
        except BaseException as error:
            circuit.failed(record, error, began)
            raise
        if circuit.slow_after is None:
            record(FINE)
        else:
            circuit.took(record, began)
        return answer

    async def guarded_async(*arguments: Any, **named: Any) -> Any:
        circuit = holder.circuit or holder.find()
        record = circuit.record or circuit.enter()
        circuit.calls += 1
        began = 0.0 if circuit.slow_after is None else circuit.now()
        try:
            answer = await function(*arguments, **named)
        except BaseException as error:
            circuit.failed(record, error, began)
            raise
        if circuit.slow_after is None:
            record(FINE)
        else:
            circuit.took(record, began)
        return answer

    return cast("F", update_wrapper(guarded_async if is_async else guarded, function))
