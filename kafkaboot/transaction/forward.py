"""What a transactional handler returns, sent on: its outputs and its settling are one; nobody waits for deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.producer import outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.producer import Binding
    from kafkaboot.transaction.door import Door


class EnclosedForward:
    """The engine's `Forwarding` for one transactional handler.

    Args:
        door: The way into its group's transaction.
        bind: Makes the handler's publishers, which publish through a door.
        many: Whether a returned value holds several payloads.

    Attributes:
        forward: See `Forwarding`. Of one call either all outputs are in the transaction that settles its record, or
            none. It raises `BufferError` when the transaction has enough or none is open, and `PublishError` when no
            record can be made of a payload.
    """

    def __init__(self, door: Door, bind: Callable[[Door], Sequence[Binding]], *, many: bool = False) -> None:
        self.bindings = tuple(bind(door))
        self._door, self._bind, self._many = door, bind, many
        self.forward = self._all if many or len(self.bindings) != 1 else self._one

    def behind(self, door: Door) -> EnclosedForward:
        """The same into another group's transactions."""
        return EnclosedForward(door, self._bind, many=self._many)

    def _one(self, result: Any, delivered: Any) -> None:
        """The common case, one publisher and one payload."""
        door, (binding,) = self._door, self.bindings
        made = binding.make(result)
        with door.lock:
            if self._enters(delivered):
                binding.hand(made, None)
                delivered(None, None)

    def _all(self, result: Any, delivered: Any) -> None:
        door = self._door
        made = [
            (binding, binding.make(payload))
            for payload in outputs(result, many=self._many)
            for binding in self.bindings
        ]
        with door.lock:
            if not self._enters(delivered):
                return
            begun = door.count
            try:
                for binding, record in made:
                    binding.hand(record, None)
            except Exception:
                if door.count > begun + 1:
                    # Some of its outputs are in already, so that the transaction falls with it.
                    chunk, i = delivered.args if len(delivered.args) > 1 else delivered.args[0].first()
                    door.note(None, chunk, i)
                raise
            delivered(None, None)

    def _enters(self, delivered: Any) -> bool:
        """Whether a call's outputs may come in, or are left to whoever handles its record again; under the lock.

        Raises:
            BufferError: Not now.
        """
        of = delivered.args[0]
        assignment = of.assignment
        if assignment.over or self._door.ended:
            # Its record is handled again, here or by the next owner: then it publishes this.
            assignment.left.append(1 if len(delivered.args) > 1 else len(of.records))
            return False
        if not self._door.takes():
            raise BufferError("the transaction has enough")
        return True
