"""One partition as this process holds it: its offsets, its lanes, and whether it is paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.consumer.lanes import Lanes

if TYPE_CHECKING:
    from kafkaboot.client import Committed
    from kafkaboot.consumer.careful import Careful
    from kafkaboot.consumer.commit_note import Attempts
    from kafkaboot.consumer.offsets import Assignment
    from kafkaboot.consumer.route import Route
    from kafkaboot.consumer.window import Window


REPLAY_MIN, REPLAY_MAX = 0.2, 30.0
"""Seconds before undelivered outputs are made again."""


class Holding:
    """The poller's view of an assigned partition.

    Attributes:
        awaited: Whether it is not known yet where the group stands on it, so that nothing of it is read.
    """

    __slots__ = (
        "assignment",
        "awaited",
        "careful",
        "full_since",
        "lanes",
        "paused",
        "replay_at",
        "replay_from",
        "replays",
        "window",
    )

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.awaited = False
        self.careful: Careful | None = None
        self.window: Window | None = None
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
        """Records taken and not handled yet; those that wait for a retry count."""
        held = self.careful.waiting() if self.careful is not None else 0
        held += self.window.waiting() if self.window is not None else 0
        return held + sum(lanes.pending() for lanes in self.lanes.values())

    def to_commit(self) -> Committed | None:
        """What a commit should say now, or `None` when the broker knows it already."""
        return self.assignment.to_commit(self._attempts())

    def stand(self) -> Committed | None:
        """The same, whether the broker knows it or not; `None` before the first record."""
        return self.assignment.stand(self._attempts())

    def at_rest(self) -> bool:
        """Whether a commit outside of transactions would not touch what one of them is about to say."""
        return not self.assignment.transactional or self.to_commit() is None

    def _attempts(self) -> list[tuple[int, Attempts]]:
        for lanes in self.lanes.values():
            lanes.settle_row()
        return [one for lanes in self.lanes.values() for one in lanes.attempts()]

    def quiet(self) -> bool:
        """Nobody is in a lane, and every output and record that was handed over has been answered for.

        Only meaningful once the assignment is not live: nobody enters a lane any more.
        """
        if any(lanes.running for lanes in self.lanes.values()):
            return False
        answered = sum(self.assignment.refused) + sum(self.assignment.left)
        return self.assignment.unsettled() <= self.buffered() + answered

    def replay_later(self, now: float) -> float:
        """Everything from the first unsettled record on is to be handled again; answers after how many seconds."""
        position = self.assignment.advance()
        if position != self.replay_from:
            self.replay_from, self.replays = position, 0
        delay: float = min(REPLAY_MAX, REPLAY_MIN * 2 ** min(self.replays, 16))
        self.replays += 1
        self.replay_at = now + delay
        return delay

    def renewed(self, fresh: Assignment) -> Holding:
        """The same partition under a new epoch."""
        fresh.mark, fresh.held = self.assignment.mark, self.assignment.held
        for offset, deaths in self.assignment.suspects.items():
            fresh.suspect(offset, deaths)
        if fresh.transactional:
            # Attempts that fell with their transaction were attempts all the same.
            fresh.attempts |= self.assignment.attempts | dict(self._attempts())
            fresh.judged, fresh.narrow = self.assignment.judged, self.assignment.narrow | fresh.narrow
        renewed = Holding(fresh)
        renewed.replays, renewed.replay_from = self.replays, self.replay_from
        renewed.careful = self.careful
        # What they keep is taken over once more.
        if renewed.careful is not None:
            renewed.careful.rest()
        renewed.window = self.window
        if renewed.window is not None:
            renewed.window.fell()
        return renewed

    def forget(self) -> None:
        """The partition goes: its failing records are somebody else's now."""
        for lanes in self.lanes.values():
            lanes.route.counters.failed -= len(lanes.failing)
            lanes.failing.clear()
