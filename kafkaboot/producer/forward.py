"""What a handler returns, sent on: it is delivered before the record that it came from is settled.

A handler with one `@publisher` is the common case, and costs nothing here: `forward` is that publisher's own `produce`,
and the engine's acknowledgement is the client's callback.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from kafkaboot.producer.bind import Binding, outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.producer.bind import Acknowledge, Made

AGAIN = 0.005
"""Seconds between two attempts at handing over the rest of a call's outputs."""


class Outlet(Protocol):
    """Takes one output that was made before."""

    def hand(self, made: Made, delivered: Acknowledge) -> None:
        """See `Binding.hand`."""


class Forward:
    """Where one handler's returned values go (the engine's `Forwarding`).

    Args:
        bindings: The handler's publishers.
        many: Whether a returned value holds several payloads, see `bind.returns_many`.

    Attributes:
        forward: `forward(result, delivered)` hands over all outputs of one call. `delivered(error, record)` is called
            once, on any thread and possibly before this returns: with `None` when all are delivered, else with the
            first error. It raises `BufferError` when there is no room, with nothing handed over, and `PublishError`
            when no record can be made of a payload, with nothing handed over either.
    """

    forward: Callable[[Any, Acknowledge], None]

    def __init__(self, bindings: Sequence[Binding], *, many: bool = False) -> None:
        self.bindings = tuple(bindings)
        self._many = many
        self._rest: deque[tuple[Outlet, Made, _Together]] = deque()
        self._handing = threading.Lock()
        self.forward = self._all if many or len(self.bindings) != 1 else self.bindings[0].produce

    def _all(self, result: Any, delivered: Acknowledge) -> None:
        made = self._outlets(result)
        if not made:
            delivered(None, None)
            return
        together = _Together(len(made), delivered)
        with self._handing:
            if self._rest:
                # Nobody overtakes the outputs of an earlier call: their keys' order would be lost.
                raise BufferError("outputs of an earlier call wait for room")
            first, *rest = made
            first[0].hand(first[1], together)
            self._rest.extend((outlet, record, together) for outlet, record in rest)
            room = self._hand_rest()
        if not room:
            self._again()

    def _outlets(self, result: Any) -> list[tuple[Outlet, Made]]:
        """What goes where; all of it can be made."""
        return [
            (binding, binding.make(payload))
            for payload in outputs(result, many=self._many)
            for binding in self.bindings
        ]

    def _hand_rest(self) -> bool:
        while self._rest:
            outlet, made, together = self._rest[0]
            try:
                outlet.hand(made, together)
            except BufferError:
                return False
            except Exception as error:
                together(error, None)
            self._rest.popleft()
        return True

    def _again(self) -> None:
        """The first outputs are on their way, so the call cannot be refused any more: the rest follows when it can."""
        self._timer(self._try_again)

    def _timer(self, call: Callable[[], None]) -> None:
        timer = threading.Timer(AGAIN, call)
        timer.daemon = True
        timer.start()

    def _try_again(self) -> None:
        with self._handing:
            room = self._hand_rest()
        if not room:
            self._again()


class _Together:
    """Counts the outputs of one call; the last one known acknowledges them all."""

    __slots__ = ("_count", "_delivered", "_error", "_tick")

    def __init__(self, count: int, delivered: Acknowledge) -> None:
        self._count, self._delivered = count, delivered
        self._error: object | None = None
        self._tick = itertools.count(1).__next__

    def __call__(self, error: object | None, record: Any) -> None:
        if error is not None and self._error is None:
            self._error = error
        if self._tick() == self._count:
            self._delivered(self._error, record)
