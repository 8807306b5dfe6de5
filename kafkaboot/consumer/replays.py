"""Partitions whose records are handled again: an output was not delivered, or a transaction was aborted."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from kafkaboot.consumer import commit_note
from kafkaboot.consumer.offsets import Assignment

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.client import TP, Committed, ConsumerPort
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.commit_note import Note
    from kafkaboot.consumer.dispatch import Dispatch
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.message import RawRecord

log = logging.getLogger("kafkaboot.consumer")


class Replays:
    """Makes assignments anew.

    Args:
        consumer: The client.
        dispatch: Who takes which record.
        holdings: The poller's own.
        clock: Time.
        take: Takes over records that were polled before, and hands them out.
    """

    def __init__(
        self,
        consumer: ConsumerPort,
        dispatch: Dispatch,
        holdings: dict[TP, Holding],
        clock: Clock,
        take: Callable[[TP, list[list[RawRecord]]], None],
    ) -> None:
        self._consumer, self._dispatch, self._holdings, self._clock = consumer, dispatch, holdings, clock
        self._take = take
        self._undelivered: deque[tuple[Assignment, object]] = deque()
        self._epoch = 0

    def assignment(self, tp: TP, committed: Committed | None, note: Note | None) -> Assignment:
        """A new epoch of the partition."""
        self._epoch += 1
        routes = self._dispatch.routes_of(tp.topic)
        return Assignment(
            tp,
            self._epoch,
            committed=committed,
            note=note,
            in_order=len(routes) == 1 and routes[0].ordering == "partition",
            may_replay=any(route.forwarding is not None for route in routes),
            transactional=any(route.transactional for route in routes),
        )

    def undelivered(self, assignment: Assignment, error: object) -> None:
        """An output was not delivered; from any thread."""
        self._undelivered.append((assignment, error))

    def begin(self) -> None:
        """Set aside the partitions of which something was not delivered."""
        while self._undelivered:
            assignment, error = self._undelivered.popleft()
            holding = self._holdings.get(assignment.tp)
            if holding is None or holding.assignment is not assignment or not assignment.live:
                continue
            assignment.live = False
            self._consumer.pause([assignment.tp])
            delay = holding.replay_later(self._clock.monotonic())
            log.error(
                "group %s: %s[%d]: what a handler returned was not delivered: %s; "
                "nothing is lost: its record and those after it are handled again in %.1f s",
                self._dispatch.group,
                assignment.tp.topic,
                assignment.tp.partition,
                error,
                delay,
            )

    def due(self) -> None:
        """Hand out again what is due and at which nobody is any more."""
        now = self._clock.monotonic()
        for tp, holding in list(self._holdings.items()):
            if holding.replay_at is not None and now >= holding.replay_at and holding.quiet():
                self._replay(tp, holding)

    def _replay(self, tp: TP, holding: Holding) -> None:
        """Handle again everything from the first unsettled record on, under a new epoch."""
        old = holding.assignment
        # What a transaction settled and did not commit is as if it had never been; the broker's word is all there is.
        note = commit_note.read(old.committed)._replace(mark=None) if old.transactional else None
        fresh = self.assignment(tp, old.committed, note)
        renewed = holding.renewed(fresh)
        holding.forget()
        self._holdings[tp] = renewed
        self._take(tp, old.remaining())
        if not old.transactional:
            fresh.position = old.position
        self._consumer.resume([tp])
