"""Where partitions stand in something else than Kafka, a database's inbox for example: asked first, told last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import TP
    from kafkaboot.consumer.offsets import Assignment
    from kafkaboot.consumer.poller import Poller
    from kafkaboot.consumer.route import Positions


class Standing:
    """Hears of rebalances before the poller answers for them (`RebalanceListener`); on the poller's thread.

    Args:
        poller: Who is to hear of them as well.
        positions: What has the last word on where a partition begins.
    """

    def __init__(self, poller: Poller, positions: Positions) -> None:
        self._poller, self._positions = poller, positions
        self._held: dict[TP, Assignment] = {}

    def assigned(self, partitions: Sequence[TP]) -> Mapping[TP, int | None]:
        """See `RebalanceListener`."""
        starts = self._poller.assigned(partitions)
        new = {tp: self._poller.holdings[tp].assignment for tp in partitions}
        self._held |= new
        return {**starts, **self._poller.start_at(self._positions.begin(list(new.values())))}

    def revoked(self, partitions: Sequence[TP]) -> None:
        """See `RebalanceListener`: what is at work on them is finished first."""
        self._poller.revoked(partitions)
        self._ended(partitions)

    def lost(self, partitions: Sequence[TP]) -> None:
        """See `RebalanceListener`."""
        self._poller.lost(partitions)
        for tp in partitions:
            self._held.pop(tp, None)
        self._positions.forget(partitions)

    def end(self) -> None:
        """The poller has finished."""
        self._ended(list(self._held))

    def _ended(self, partitions: Sequence[TP]) -> None:
        self._positions.end([self._held.pop(tp) for tp in partitions if tp in self._held])
