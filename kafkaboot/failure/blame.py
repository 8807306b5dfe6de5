"""Whose fault an exception is: that of the dependency behind a circuit, or of the code and the data before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.errors import BatchFailed
from kafkaboot.failure.meaning import FATAL, dotted, open_circuit

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS = (
    *FATAL,
    "kafkaboot.errors.Signal",
    "builtins.TypeError",
    "builtins.ValueError",
    "builtins.LookupError",
    "builtins.ArithmeticError",
    "builtins.AttributeError",
    "builtins.AssertionError",
    "builtins.NameError",
)
"""What tells of a mistake in code or data, and nothing of what is behind a circuit."""
ITS_OWN = ("builtins.OSError",)
"""What tells of the dependency although libraries derive it from one of those above: a refused certificate, say."""


class Blame:
    """Tells the failures that a circuit counts from those that it passes over.

    The class nearest to the exception's own decides, along its method resolution order; an exception of which no rule
    speaks is a failure. What ends a call from outside (a cancelled task, a process that ends) never is, nor is another
    circuit that is open. A group is a failure if one of its exceptions is, `BatchFailed` if its cause is.

    Args:
        failures: Classes, or their dotted names, that count though the house passes over them.
        ignore: The same, for what is passed over though it would count.
    """

    def __init__(self, failures: Iterable[type | str] = (), ignore: Iterable[type | str] = ()) -> None:
        self._rules = dict.fromkeys(OURS, False) | dict.fromkeys(ITS_OWN, True)
        self._rules.update((dotted(one), False) for one in ignore)
        self._rules.update((dotted(one), True) for one in failures)
        self._known: dict[type, bool] = {}

    def __call__(self, error: BaseException) -> bool:
        """Whether the failure is the dependency's."""
        if isinstance(error, BatchFailed):
            return self(error.cause)
        if isinstance(error, BaseExceptionGroup):
            return any(self(each) for each in error.exceptions)
        return isinstance(error, Exception) and open_circuit(error) is None and self._counts(type(error))

    def _counts(self, kind: type) -> bool:
        if kind not in self._known:
            spoken = (self._rules[name] for name in map(dotted, kind.__mro__) if name in self._rules)
            self._known[kind] = next(spoken, True)
        return self._known[kind]
