"""What a transaction says of a group's offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.consumer import done_map
from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafkaboot.client import TP, Committed
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.transaction.door import Door


def gather(mine: Iterable[tuple[TP, Holding]], door: Door) -> tuple[dict[TP, Committed], bool]:
    """The offsets of every partition that the transaction touches, of those as well that have not moved.

    The broker looks at the group's generation with the offsets, and with nothing else: outputs of a partition without
    an offset could be those of a process that the group has left behind (KIP-447). Under the door's lock.

    Returns:
        The offsets, and whether any of them says something new.
    """
    offsets: dict[TP, Committed] = {}
    moved = False
    for tp, holding in mine:
        stand = holding.stand()
        if stand is None:
            continue
        moves = stand != holding.assignment.committed
        moved = moved or moves
        if moves or holding.buffered() or door.touched(holding.assignment):
            if done_map.may_be_cut(stand.metadata):
                raise KafkabootError(
                    "more records are done out of order than fit beside the offset",
                    where=f"{tp.topic}[{tp.partition}]",
                    fate="nothing was committed: they would be handled twice",
                    todo="report it: a partition must not be handed out as far as this",
                )
            offsets[tp] = stand
    return offsets, moved
