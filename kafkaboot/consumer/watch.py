"""What can be seen of a running group from outside: lag, and handlers that do not come back.

Nothing is noted per record: each look compares what the workers are at with the look before. How long a call has
run is therefore known to within the time between two looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.message import place

if TYPE_CHECKING:
    from kafkaboot.consumer.group import ConsumerGroup
    from kafkaboot.consumer.lanes import Lane
    from kafkaboot.message import RawRecord


class Watch:
    """Looks at one group; called about once a second, on the event loop."""

    def __init__(self, group: ConsumerGroup) -> None:
        self._group = group
        self._seen: dict[Lane, tuple[tuple[int, int], float]] = {}

    def stuck(self) -> list[str]:
        """`handler at topic[partition]@offset for n s`, for every call that runs for longer than it may.

        The age counts from the handler's start, not from the time its record waited in a queue.
        """
        now = self._group.clock.monotonic()
        found, seen = [], {}
        for crew in self._group.crews.values():
            limit = crew.route.stuck_after or self._group.settings.stuck_after
            for lane in crew.at_work():
                record = _record(lane)
                if record is None:
                    continue
                at = record.offset(), lane.attempt
                known = self._seen.get(lane)
                since = known[1] if known is not None and known[0] == at else now
                seen[lane] = (at, since)
                if now - since > limit:
                    where = place(record.topic(), record.partition(), record.offset())
                    found.append(f"{crew.route.id} at {where} for {now - since:.0f} s")
        self._seen = seen
        return found

    def lag(self) -> dict[tuple[str, int], int]:
        """Records behind the end that are not settled, by partition; measured from what the client last heard."""
        poller = self._group.poller
        if poller is None:
            return {}
        lag = {}
        for tp, end in poller.ends.items():
            holding = poller.holdings.get(tp)
            if holding is None or end < 0:
                continue
            position = holding.assignment.position
            if position is None and holding.assignment.committed is not None:
                position = holding.assignment.committed.offset
            if position is not None:
                lag[tp.topic, tp.partition] = max(0, end - position)
        return lag


def _record(lane: Lane) -> RawRecord | None:
    """What is being handled; the lane may move on while it is looked at."""
    try:
        at = lane.begun()
        return lane.pieces[0][0].records[at] if at >= 0 else None
    except IndexError:
        return None
