"""The transactions of one consumer group in this process: when each ends, what it says, and what follows its failure.

Everything here happens on the poller's thread and never waits, but for `finish`; what blocks is done by `Ends` on a
thread of its own. There is one transaction at a time for all transactional partitions of the group. It does not wait
for handlers: at its end it holds the outputs of exactly those records that are settled, and a handler that is at work
hands its outputs to the next one. Only a record that has published something itself is waited for.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.clock import SystemClock
from kafkaboot.consumer import Again, Backoff, Failed
from kafkaboot.consumer.transacting import Judged
from kafkaboot.errors import ClientError, KafkabootError, TransactionError
from kafkaboot.transaction.door import Door
from kafkaboot.transaction.ends import Ends, Outcome
from kafkaboot.transaction.final import explained, is_final
from kafkaboot.transaction.offsets import gather
from kafkaboot.transaction.own_thread import OwnThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from kafkaboot.client import TP, Committed, ConsumerPort
    from kafkaboot.clock import Clock
    from kafkaboot.consumer import EnclosedSettings
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.consumer.lanes import Lane
    from kafkaboot.consumer.offsets import Assignment, Chunk
    from kafkaboot.hooks import OnCommit
    from kafkaboot.message import RawRecord
    from kafkaboot.producer import Seat
    from kafkaboot.transaction.door import Sealed

    Run = Callable[[Callable[[], Outcome]], Future[Outcome]]

log = logging.getLogger("kafkaboot.transaction")

IDLE = 0.1
"""Seconds that a poll may wait while nothing is under way."""
SHORTLY = 0.002
"""The same while records are at work, whose outputs must not wait for the poll."""
STILL, SELDOM = 50, 0.02
"""After so many such polls without an output, handlers take their time; then the same so many seconds."""
AT_ONCE = 0.001
"""The same while a transaction is being committed."""
ASK = 0.5
"""Seconds for one question for the committed offsets after an abort; it is asked again until it is answered."""
SOON = 0.1
"""Seconds between two such questions."""
LEAST = 2.0
"""Seconds that the last transaction gets at least, however long handlers were waited for."""
PATIENCE = 0.5
"""Share of a transaction's timeout for which a record is waited for that has published something itself."""
NEVER = float("inf")
BACKOFF = Backoff(0.2, 30.0, jitter=False)
"""Between replays of transactions that fail one after the other."""


class _Ending(NamedTuple):
    sealed: Sealed
    offsets: Mapping[TP, Committed]
    owners: Mapping[TP, Assignment]


class GroupTransactions:
    """The engine's `Transacting` for one group.

    Args:
        group: The group's id.
        seat: The transactional id and its client.
        settings: `kafkaboot.consumer.transaction`.
        timeout: Seconds that a transaction may take.
        offsets_interval: Seconds between two transactions that hold nothing but offsets.
        ended: Told of each transaction's end: how, and how many seconds it was open.
        clock: Time.
        run: Runs what blocks; a thread of its own by default.

    Attributes:
        door: Where records come in.
        trouble: Why no transaction can begin now.
    """

    def __init__(
        self,
        group: str,
        seat: Seat,
        settings: EnclosedSettings,
        *,
        timeout: float,
        offsets_interval: float = 1.0,
        ended: Callable[[str, float], None] = lambda *_: None,
        clock: Clock | None = None,
        run: Run | None = None,
    ) -> None:
        self.group, self.timeout = group, timeout
        self.trouble: KafkabootError | None = None
        self._clock = clock or SystemClock()
        self.door = Door(settings.max_records, self._clock)
        self.ends = Ends(seat, self.door, timeout, self._clock)
        self._settings, self._ended, self._interval = settings, ended, offsets_interval
        self._run: Run = run or OwnThread(f"kafkaboot-transactions-{group}")
        self._reopen: Callable[[], None] = lambda: None
        self._listeners: Sequence[OnCommit] = ()
        self._job: Future[Outcome] | None = None
        self._ending: _Ending | None = None
        self._begin_at = NEVER
        self._ask_at = NEVER
        self._falls = 0
        self._next_offsets = 0.0
        self._closing = False
        self._still = 0

    def prepare(self) -> None:
        """Take over the id and begin; blocks.

        Raises:
            ConfigurationError: The transaction's timeout is longer than the broker allows.
            TransactionError: The broker does not let this process have the id.
        """
        unbegun = self.ends.begin().unbegun
        if unbegun is not None:
            raise unbegun

    # --- what the engine asks

    def attach(self, reopen: Callable[[], None], listeners: Sequence[OnCommit]) -> None:
        """See `Transacting`."""
        self._reopen, self._listeners = reopen, listeners

    def wait(self, holdings: Mapping[TP, Holding]) -> float:
        """See `Transacting`."""
        if self._job is not None:
            return AT_ONCE
        if self.door.count or self._ask_at < NEVER or self._begin_at < NEVER or self._closing:
            self._still = 0
            return SHORTLY
        if not any(holding.buffered() for _, holding in _mine(holdings)):
            return IDLE
        self._still += 1
        return SHORTLY if self._still < STILL else SELDOM

    def stained(self, assignment: Assignment, record: RawRecord) -> bool:
        """See `Transacting`."""
        return self.door.stained(assignment, record)

    def taint(self, why: str) -> None:
        """See `Transacting`."""
        with self.door.lock:
            self.door.tainted = self.door.tainted or why

    def lose(self, assignments: Iterable[Assignment]) -> None:
        """See `Transacting`."""
        with self.door.lock:
            for assignment in assignments:
                if assignment.transactional:
                    assignment.over = True
                    if self.door.count:
                        self.door.tainted = "partitions were lost to another member"

    def turn(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]) -> None:
        """See `Transacting`."""
        if self._job is not None:
            if not self._job.done():
                return
            self._over(consumer, holdings)
        now = self._clock.monotonic()
        if self.door.tainted is not None:
            self._fall(consumer, holdings, self.door.tainted)
        elif now >= self._begin_at:
            self._begin_at = NEVER
            self._job = self._run(self.ends.restart if self._ask_at < NEVER else self.ends.begin)
        elif self._ask_at <= now and self.door.is_open:
            self._ask(consumer, holdings)
        elif self.door.is_open and self._is_due(holdings, now):
            self._end(consumer, holdings)

    def finish(
        self,
        consumer: ConsumerPort,
        leaving: Mapping[TP, Holding],
        holdings: Mapping[TP, Holding],
        until: float,
        poll: Callable[[], None] | None,
    ) -> None:
        """See `Transacting`."""
        mine = [holding for _, holding in _mine(leaving)]
        until = max(until, self._clock.monotonic() + LEAST)
        for holding in mine:
            holding.assignment.mark = None
        while mine and self._clock.monotonic() < until:
            self.turn(consumer, holdings)
            if self._job is None and self.door.is_open and self.door.tainted is None:
                if not self._open_for(mine):
                    break
                self._end(consumer, holdings)
            elif self._job is None and all(holding.assignment.over for holding in mine):
                break
            if poll is not None:
                poll()
            elif self._job is None or not self._job.done():
                time.sleep(AT_ONCE)
        with self.door.lock:
            if self.door.count and self._open_for(mine):
                self.door.tainted = "partitions were given back before it could be committed"
            for holding in mine:
                holding.assignment.over = True

    def _open_for(self, mine: Sequence[Holding]) -> bool:
        """Whether the open transaction holds something of these that no commit has said."""
        with self.door.lock:
            return _unsaid(mine) or any(self.door.touched(holding.assignment) for holding in mine)

    def close(self) -> None:
        """See `Transacting`."""
        self.door.ended = True
        self.door.shut()
        self.ends.close()
        if isinstance(self._run, OwnThread):
            self._run.close()

    # --- its end

    def _is_due(self, holdings: Mapping[TP, Holding], now: float) -> bool:
        door = self.door
        if self._closing or door.is_full or door.count >= self._settings.max_records:
            return True
        if not door.count:
            return now >= self._next_offsets
        if now >= door.since + self._settings.linger:
            return True
        return not any(holding.buffered() for _, holding in _mine(holdings))

    def _end(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]) -> None:
        """Commit what is settled, or wait for those at work that have published something themselves."""
        membership = consumer.membership()
        if membership is None:
            return  # the next poll tells what has become of the partitions
        door, mine = self.door, [(tp, holding) for tp, holding in _mine(holdings) if not holding.assignment.over]
        with door.lock:
            if at_work := door.at_work():
                if self._clock.monotonic() < door.since + self.timeout * PATIENCE:
                    self._close_lanes(holdings, closing=True)
                else:
                    self._give_up(at_work)
                return
            offsets, moved = gather(mine, door)
            self._next_offsets = self._clock.monotonic() + self._interval
            sealed = door.seal() if moved or door.count else None
        self._close_lanes(holdings, closing=False)
        if sealed is None:
            return
        owners = {tp: holding.assignment for tp, holding in mine if tp in offsets}
        for assignment in owners.values():
            assignment.saying = True
        self._ending = _Ending(sealed, offsets, owners)
        self._job = self._run(partial(self.ends.commit, sealed, offsets, membership))

    def _close_lanes(self, holdings: Mapping[TP, Holding], *, closing: bool) -> None:
        if closing is self._closing:
            return
        self._closing = closing
        for _, holding in _mine(holdings):
            holding.assignment.closing = closing
            holding.assignment.review()
        if not closing:
            self._reopen()

    def _give_up(self, at_work: Sequence[tuple[Lane, Chunk, int]]) -> None:
        """Records that have published something and are still at work after half of the timeout: a failed attempt."""
        for lane, chunk, i in at_work:
            record, route = chunk.records[i], lane.lanes.route
            error = TransactionError(
                f"handler {route.id} has published something and is still at work after {self.timeout * PATIENCE:g} s",
                outcome="aborted",
                code="_TIMED_OUT",
                todo="let it publish by returning, or last, or raise kafkaboot.producer.transaction.timeout",
            )
            failed = Failed(record, error, lane.attempt + 1, lane.since if lane.attempt else time.time())
            verdict = route.failing.judge(failed)
            due = monotonic() + verdict.delay if isinstance(verdict, Again) else 0.0
            chunk.assignment.judged[record.offset()] = Judged(failed, verdict, due)
            self.door.tainted = error.what

    # --- what became of it

    def _over(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]) -> None:
        assert self._job is not None
        outcome, ending = self._job.result(), self._ending
        self._job = self._ending = None
        failure, self.trouble = outcome.failure or outcome.unbegun, outcome.unbegun
        if ending is not None:
            for assignment in ending.owners.values():
                assignment.saying = False
            committed = outcome.failure is None
            how = "committed" if committed else getattr(outcome.failure, "outcome", "aborted")
            self._ended(how, self._clock.monotonic() - ending.sealed.since if ending.sealed.records else 0.0)
            self._tell(ending, outcome.failure)
            if committed:
                self._falls = 0
                for tp, sent in ending.offsets.items():
                    ending.owners[tp].acknowledged(sent)
                for _, holding in _mine(holdings):
                    if holding.window is not None:
                        holding.window.committed()
                for call in ending.sealed.answers:
                    self._answer(call)
        if failure is None:
            return
        if is_final(failure):
            raise explained(failure, self.group)
        if outcome.failure is not None:
            self._fall(consumer, holdings, failure.line)
        else:
            self._say(f"no transaction can begin: {failure.line}; it is tried again")
            self._begin_at = self._clock.monotonic() + BACKOFF.delay(min(self._bump(), 6))

    def _fall(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding], why: str) -> None:
        """Abort, and let what is settled and not committed be handled again, from the committed offsets on."""
        mine = _mine(holdings)
        with self.door.lock:
            for _, holding in mine:
                holding.assignment.over = True
            self.door.shut()
        self._close_lanes(holdings, closing=False)
        for _, holding in mine:
            holding.assignment.live = False
            holding.replay_at = NEVER
        if mine:
            consumer.pause([tp for tp, _ in mine])
        self._bump()
        self._say(f"a transaction is aborted: {why}; nothing is lost: its records are handled again")
        self._ask_at = self._clock.monotonic()
        self._job = self._run(self.ends.restart)

    def _ask(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]) -> None:
        """Where the group stands, now that it is decided what became of the transaction; then everything from there on.

        Not from memory: a commit whose answer never came may have been taken, and so may one of a member before.
        """
        now = self._clock.monotonic()
        fallen = [(tp, holding) for tp, holding in _mine(holdings) if holding.replay_at == NEVER]
        try:
            known = consumer.committed([tp for tp, _ in fallen], ASK) if fallen else {}
        except ClientError as error:
            if error.fatal:
                raise
            self._ask_at = now + SOON
            return
        self._ask_at = NEVER
        delay = BACKOFF.delay(self._falls - 1) if self._falls > 1 else 0.0
        for tp, holding in fallen:
            stand = known.get(tp)
            holding.assignment.committed = stand if stand is not None and stand.offset is not None else None
            holding.replay_at = now + delay

    @staticmethod
    def _answer(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            log.exception("what follows a committed transaction raised; it is committed all the same")

    def _tell(self, ending: _Ending, error: BaseException | None) -> None:
        offsets = [(tp.topic, tp.partition, sent.offset or 0) for tp, sent in ending.offsets.items()]
        for listener in self._listeners:
            try:
                listener.on_commit(self.group, offsets, error)
            except Exception:
                log.exception("a commit listener raised")

    def _bump(self) -> int:
        self._falls += 1
        return self._falls

    def _say(self, what: str) -> None:
        log.log(logging.WARNING if self._falls < 2 else logging.ERROR, "group %s: %s", self.group, what)


def _mine(holdings: Mapping[TP, Holding]) -> list[tuple[TP, Holding]]:
    return [(tp, one) for tp, one in holdings.items() if one.assignment.transactional and not one.awaited]


def _unsaid(holdings: Iterable[Holding]) -> bool:
    """Whether something is settled, or to be said at the end, that the broker does not know."""
    return any(not holding.assignment.over and holding.to_commit() is not None for holding in holdings)
