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
    """

    def __init__(self, door: Door, bind: Callable[[Door], Sequence[Binding]], *, many: bool = False) -> None:
        self.bindings = tuple(bind(door))
        self._door, self._bind, self._many = door, bind, many

    def behind(self, door: Door) -> EnclosedForward:
        """The same into another group's transactions."""
        return EnclosedForward(door, self._bind, many=self._many)

    def forward(self, result: Any, delivered: Any) -> None:
        """See `Forwarding`. Of one call either all outputs are in the transaction that settles its record, or none.

        Raises:
            BufferError: The transaction has enough, or none is open.
            PublishError: No record can be made of a payload.
        """
        door, of = self._door, delivered.args[0]
        made = [
            (binding, binding.make(payload))
            for payload in outputs(result, many=self._many)
            for binding in self.bindings
        ]
        with door.lock:
            assignment = of.assignment
            if assignment.over or door.ended:
                # Its record is handled again, here or by the next owner: then it publishes this.
                assignment.left.append(1 if len(delivered.args) > 1 else len(of.records))
                return
            if not door.takes():
                raise BufferError("the transaction has enough")
            begun = door.count
            try:
                for binding, record in made:
                    binding.hand(record, None)
            except Exception:
                if door.count > begun + 1:
                    # Some of its outputs are in already, so that the transaction falls with it.
                    chunk, i = delivered.args if len(delivered.args) > 1 else of.first()
                    door.note(None, chunk, i)
                raise
            delivered(None, None)
