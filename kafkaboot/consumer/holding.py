"""One partition as this process holds it: its offsets, its lanes, and whether it is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.consumer.lanes import Lanes

if TYPE_CHECKING:
    from kafkaboot.client import Committed
    from kafkaboot.consumer.offsets import Assignment
    from kafkaboot.consumer.route import Route


class Holding:
    """The poller's view of an assigned partition."""

    __slots__ = ("assignment", "full_since", "lanes", "paused", "replay_at", "replay_from", "replays")

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.lanes: dict[str, Lanes] = {}
        self.paused = False
        self.full_since: float | None = None
        self.replay_at: float | None = None
        self.replay_from: int | None = None
        self.replays = 0

    def lanes_of(self, route: Route) -> Lanes:
        """The lanes of one handler here."""
        lanes = self.lanes.get(route.id)
        if lanes is None:
            lanes = self.lanes[route.id] = Lanes(route, self.assignment)
        return lanes

    def buffered(self) -> int:
        """Records handed to lanes and not handled yet; those that wait for a retry count."""
        return sum(lanes.pending() for lanes in self.lanes.values())

    def to_commit(self) -> Committed | None:
        """What a commit should say now, or `None` when the broker knows it already."""
        for lanes in self.lanes.values():
            lanes.settle_row()
        return self.assignment.to_commit()

    def quiet(self) -> bool:
        """Nobody is in a lane, and every output that was handed over has been answered for.

        Only meaningful once the assignment is not live: nobody enters a lane any more.
        """
        if any(lanes.running for lanes in self.lanes.values()):
            return False
        return self.assignment.unsettled() <= self.buffered() + sum(self.assignment.refused)

    def forget(self) -> None:
        """The partition goes: its failing records are somebody else's now."""
        for lanes in self.lanes.values():
            lanes.route.counters.failed -= lanes.failing
            lanes.failing = 0
