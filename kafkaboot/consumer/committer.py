"""Commits by time, never in a record's path; and at once when a partition is given back or the application stops."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kafkaboot.client import TP, Committed, ConsumerPort
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.consumer.offsets import Assignment
    from kafkaboot.hooks import OnCommit

log = logging.getLogger("kafkaboot.consumer")

TRIES = 3
"""How often a last commit is tried when its failure may pass."""
REBALANCING = frozenset({"ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "STALE_MEMBER_EPOCH"})
"""The group has moved on and this member has not heard of it yet: it hears of it by polling."""
TOO_LONG = "OFFSET_METADATA_TOO_LARGE"
ANSWER = 30.0
"""Seconds after which an unanswered commit is given up and the next one made."""


class Committer:
    """Writes the settled prefix of each partition, one commit under way at a time."""

    def __init__(self, group: str, interval: float, clock: Clock, listeners: Sequence[OnCommit] = ()) -> None:
        self.commits = 0
        self.failures = 0
        self._group = group
        self._interval = interval
        self._clock = clock
        self._listeners = listeners
        self._next = clock.monotonic() + interval
        self._under_way: float | None = None
        self._said = ""

    def due(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding], *, wait: bool = False) -> None:
        """Commit, if it is time.

        Args:
            consumer: The client.
            holdings: What to commit.
            wait: Whether to wait for the answer, inside a rebalance callback: nobody polls for it there.
        """
        now = self._clock.monotonic()
        if now < self._next:
            return
        if not wait and self._under_way is not None and now - self._under_way < ANSWER:
            return
        self._next = now + self._interval
        sent = _gather(holdings)
        if not sent:
            return
        self._under_way = now
        owners = {tp: holdings[tp].assignment for tp in sent}

        def answered(error: ClientError | None) -> None:
            self._under_way = None
            if error is None:
                self._said = ""
                for tp, committed in sent.items():
                    owners[tp].committed = committed
            elif error.code == TOO_LONG:
                self._leave_maps_out(owners.values())
            elif error.code != self._said and error.code not in REBALANCING:
                self._said = error.code
                log.warning(
                    "group %s: a commit failed: %s; nothing is lost: it is made again in %.1f s",
                    self._group,
                    error.line,
                    self._interval,
                )
            self._tell(sent, error)

        try:
            consumer.commit(sent, None if wait else answered)
        except ClientError as error:
            answered(error)
        else:
            if wait:
                answered(None)

    def last(
        self,
        consumer: ConsumerPort,
        leaving: Mapping[TP, Holding],
        holdings: Mapping[TP, Holding],
        catch_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """The commit of an owner that leaves in order, waited for. A failure costs a repetition, never a record.

        Args:
            consumer: The client.
            leaving: What it leaves.
            holdings: All that it holds, which is committed as well: while this member waits to join the group again no
                commit of it is answered, and that takes as long as the slowest member's revoke. Gathered anew for each
                try.
            catch_up: Polls, so that this member hears of a rebalance that refused the commit, and answers whether there
                is time for another try. Impossible inside a rebalance callback, where it is not given.
        """
        for holding in leaving.values():
            holding.assignment.mark = None
        again = TRIES
        while (refused := self._write(consumer, holdings, _gather)) is not None:
            if refused.code in REBALANCING and catch_up():
                continue
            again -= 1
            if not again or refused.code not in REBALANCING or not refused.retriable:
                self._given_up(refused, "what was handled since the one before is repeated")
                return

    def mark(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]) -> bool:
        """Say who is at work before records are handed out, and wait for the answer.

        Returns:
            Whether they may be handed out; not yet where a rebalance refused the commit: it is heard of by polling.
        """
        refused = self._write(consumer, holdings, _gather_marks)
        if refused is not None and refused.code in REBALANCING:
            return False
        if refused is not None:
            self._given_up(refused, "should this process die soon, the next owner does not see it")
        return True

    def _write(
        self,
        consumer: ConsumerPort,
        holdings: Mapping[TP, Holding],
        gather: Callable[[Mapping[TP, Holding]], dict[TP, Committed]],
    ) -> ClientError | None:
        """Commit and wait; answers the failure that further tries did not mend."""
        attempt = 1
        while sent := gather(holdings):
            try:
                consumer.commit(sent, None)
            except ClientError as error:
                self._tell(sent, error)
                if error.code == TOO_LONG:
                    self._leave_maps_out([holdings[tp].assignment for tp in sent])
                    continue
                if error.code in REBALANCING or attempt == TRIES or not error.retriable:
                    return error
                attempt += 1
            else:
                for tp, committed in sent.items():
                    holdings[tp].assignment.committed = committed
                self._tell(sent, None)
                break
        return None

    def _given_up(self, error: ClientError, fate: str) -> None:
        log.warning("group %s: the commit failed: %s; %s", self._group, error, fate)

    def _leave_maps_out(self, assignments: Iterable[Assignment]) -> None:
        """The broker takes less metadata than Kafka's default: commit the offsets alone, as it will never take more."""
        for assignment in assignments:
            assignment.writes_map = False
        log.warning(
            "group %s: the broker refuses the map of records done beyond the offset, so it is left out; a restart "
            "repeats more; to do: raise offset.metadata.max.bytes on the broker to 4096 or more",
            self._group,
        )

    def _tell(self, sent: Mapping[TP, Committed], error: ClientError | None) -> None:
        if error is None:
            self.commits += 1
        else:
            self.failures += 1
            log.debug("group %s: a commit failed: %s", self._group, error)
        if self._listeners:
            offsets = [(tp.topic, tp.partition, committed.offset or 0) for tp, committed in sent.items()]
            for listener in self._listeners:
                try:
                    listener.on_commit(self._group, offsets, error)
                except Exception:
                    log.exception("a commit listener raised")


def _gather(holdings: Mapping[TP, Holding]) -> dict[TP, Committed]:
    """What is to be committed; what transactions commit is left to them."""
    found = ((tp, holding.to_commit()) for tp, holding in holdings.items() if not holding.assignment.transactional)
    return {tp: committed for tp, committed in found if committed is not None}


def _gather_marks(holdings: Mapping[TP, Holding]) -> dict[TP, Committed]:
    """The same, and of what transactions commit the mark alone: their offsets move with their records or not at all."""
    marks = {tp: holding.assignment for tp, holding in holdings.items() if holding.assignment.transactional}
    found = ((tp, assignment.restated()) for tp, assignment in marks.items() if not assignment.over)
    return _gather(holdings) | {tp: one for tp, one in found if one is not None and one != marks[tp].committed}
