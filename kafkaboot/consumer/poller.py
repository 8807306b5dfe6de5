"""The poller: the one thread that owns the group's consumer. It always polls and never runs user code.

`turn` is one round; `run` repeats it until it is told to stop. Rebalances arrive inside `poll_chunk`, on this thread.
"""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING

from kafkaboot.client import TP
from kafkaboot.consumer import commit_note
from kafkaboot.consumer.backpressure import BackPressure
from kafkaboot.consumer.careful import Beginnings
from kafkaboot.consumer.holding import Holding
from kafkaboot.consumer.replays import Replays
from kafkaboot.consumer.stands import Stands, starts
from kafkaboot.consumer.window import Window
from kafkaboot.errors import BrokerUnreachableError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client import Committed, ConsumerPort, RebalanceListener
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.backpressure import Gate
    from kafkaboot.consumer.committer import Committer
    from kafkaboot.consumer.dispatch import Dispatch
    from kafkaboot.consumer.offsets import Chunk
    from kafkaboot.consumer.route import Route
    from kafkaboot.consumer.settings import ConsumerSettings
    from kafkaboot.consumer.transacting import Transacting
    from kafkaboot.hooks import OnRebalance
    from kafkaboot.message import RawRecord

    Work = list[tuple[Route, Holding, Chunk, Sequence[int]]]

log = logging.getLogger("kafkaboot.consumer")

POLL = 0.1
"""Seconds that a poll waits for a first record."""
SHORTLY = 0.002
"""The same while a partition is handed out carefully, row by row."""
CATCH_UP = 2.0
"""Seconds beyond the drain's deadline in which a last commit that a rebalance refused may be tried again."""
PATIENT = 5.0
"""Seconds without partitions after which that is said, once."""
ENDS = 1.0
"""Seconds between two looks at where the partitions end."""
AGAIN = 0.2
"""Seconds that a broker which was gone gets to answer, once between two such looks."""


class Poller:
    """Polls, hands out, commits, and answers rebalances, for one group in this process.

    Args:
        consumer: The client; nobody else may touch it.
        dispatch: Which handler takes which record.
        hand_out: Gives work to the crews; called on this thread.
        rebalanced: Who wants to hear of rebalances.
        transacting: The group's transactions, where a handler has some.
    """

    def __init__(
        self,
        consumer: ConsumerPort,
        dispatch: Dispatch,
        settings: ConsumerSettings,
        clock: Clock,
        hand_out: Callable[[Work], None],
        committer: Committer,
        gate: Gate,
        rebalanced: Sequence[OnRebalance] = (),
        transacting: Transacting | None = None,
    ) -> None:
        self.consumer = consumer
        self.holdings: dict[TP, Holding] = {}
        self.gate = gate
        self.heartbeat = clock.monotonic()
        self.rebalances = 0
        self.ends: dict[TP, int] = {}
        self.trouble: ClientError | None = None
        self.joined = False
        self.stopping = False
        self.drain_until = 0.0
        self._dispatch = dispatch
        self._settings = settings
        self._clock = clock
        self._hand_out = hand_out
        self._committer = committer
        self._rebalanced = rebalanced
        self._pressure = BackPressure(settings, clock, self.gate)
        self._transacting = transacting
        self._replays = Replays(consumer, dispatch, self.holdings, clock, self._take_again)
        self.undelivered = self._replays.undelivered
        self._beginnings = Beginnings(committer, clock)
        self._stands = Stands(consumer, dispatch.group, clock)
        self._next_ends = 0.0
        self._patient_until = clock.monotonic() + PATIENT
        self._one_topic = len(dispatch.subscription()) == 1 and not any(r.pattern for r in dispatch.routes)

    # --- the loop

    def run(self, listener: RebalanceListener | None = None) -> bool:
        """Poll until `stop`; answers whether everything at work was finished by the deadline."""
        self.consumer.subscribe(self._dispatch.subscription(), listener or self)
        while not self.stopping:
            self.turn()
        return self._drain()

    def turn(self) -> None:
        """One round."""
        wait = SHORTLY if self._beginnings.careful else POLL
        if self._transacting is None:
            self._pressure.hold(self.holdings.values())
        else:
            wait = min(wait, self._transacting.wait(self.holdings))
            self._pressure.hold(self.holdings.values(), wait)
        self._poll(wait)
        self._committer.due(self.consumer, self.holdings)
        if self._transacting is not None:
            self._transacting.turn(self.consumer, self.holdings)
        self._replays.begin()
        self._begin_awaited()
        self._hand_out_more()
        self._tend()

    def stop(self, drain_until: float) -> None:
        """Stop polling for new work and finish what is at work until `drain_until` (monotonic); from any thread."""
        self.drain_until = drain_until
        self.stopping = True
        self.gate.progressed()

    def _poll(self, timeout: float) -> None:
        try:
            records = self.consumer.poll_chunk(self._pressure.limit(), timeout)
        except ClientError as error:
            if error.fatal:
                raise
            self._say(error)
            return
        finally:
            self.heartbeat = self._clock.monotonic()
        if records:
            self.trouble = None
            if not self.stopping:
                self._take(records)

    def _say(self, error: ClientError) -> None:
        if self.trouble is None or self.trouble.code != error.code:
            log.error("group %s: %s", self._dispatch.group, error.line)
        self.trouble = error

    # --- records in

    def _take(self, records: list[RawRecord]) -> None:
        self._pressure.took(records)
        work: Work = []
        kind = type(records[0])  # a poll's records are of one type; its unbound methods cost a quarter of a bound call
        if self._one_topic:
            topic, partitions = records[0].topic(), list(map(kind.partition, records))
            if partitions.count(partitions[0]) == len(partitions):  # a backlog comes partition by partition
                self._take_run(TP(topic, partitions[0]), records, work)
            else:
                for partition, run in groupby(records, kind.partition):
                    self._take_run(TP(topic, partition), list(run), work)
        else:
            for topic, of_topic in groupby(records, kind.topic):
                for partition, run in groupby(of_topic, kind.partition):
                    self._take_run(TP(topic, partition), list(run), work)
        if self._beginnings.unmarked:
            self._beginnings.mark(self.consumer, self.holdings)
        if work:
            self._hand_out(work)

    def _take_run(self, tp: TP, records: list[RawRecord], work: Work) -> None:
        holding = self.holdings.get(tp)
        if holding is None or not holding.assignment.live:
            # Given back, so it is the next owner's; or paused to be handled again from memory. Dropping is safe only
            # because `ConsumerPort.pause` promises that a paused partition gives out nothing.
            return
        chunk, todo = holding.assignment.take(records)
        if not todo:
            return
        if holding.careful is not None:
            holding.careful.put(chunk, todo)
        else:
            self._pass_on(holding, chunk, todo, work)

    def _pass_on(self, holding: Holding, chunk: Chunk, todo: Sequence[int], work: Work) -> None:
        """Hand out, as far as it may be."""
        if holding.window is None:
            self._allot(holding, chunk, todo, work)
            return
        holding.window.put(chunk, todo)
        for part, of_it in holding.window.next(holding.assignment):
            self._allot(holding, part, of_it, work)

    def _allot(self, holding: Holding, chunk: Chunk, todo: Sequence[int], work: Work) -> None:
        """Each record to the handler that takes it; what none takes is settled."""
        claimed, tp = 0, holding.assignment.tp
        for route, mine in self._dispatch.split(tp.topic, chunk.records, todo):
            claimed += len(mine)
            holding.lanes_of(route).handed += len(mine)
            work.append((route, holding, chunk, mine))
        if claimed < len(todo):
            claims = {i for _, _, of, mine in work if of is chunk for i in mine}
            for i in todo:
                if i not in claims:
                    chunk.done[i] = 1

    def _hand_out_more(self) -> None:
        """What was kept, now that records before it are settled."""
        work: Work = []
        if self._beginnings.careful:
            for holding, chunk, todo in self._beginnings.next_rows(self.consumer, self.holdings):
                self._pass_on(holding, chunk, todo, work)
        for holding in self.holdings.values() if self._transacting is not None else ():
            if holding.window is not None and holding.assignment.live:
                for chunk, todo in holding.window.next(holding.assignment):
                    self._allot(holding, chunk, todo, work)
        if work:
            self._hand_out(work)

    def _take_again(self, tp: TP, kept: list[list[RawRecord]]) -> None:
        """Hand out what was polled before, under a new epoch."""
        work: Work = []
        for records in kept:
            self._take_run(tp, records, work)
        if work:
            self._hand_out(work)

    def _tend(self) -> None:
        pause, resume = self._pressure.judge(self.holdings)
        for holding in pause:
            holding.paused = True
            self.consumer.pause([holding.assignment.tp])
            log.info("%s[%d] is paused: its lanes are full", *holding.assignment.tp)
        for holding in resume:
            holding.paused, holding.full_since = False, None
            if holding.replay_at is None:
                self.consumer.resume([holding.assignment.tp])
        now = self._clock.monotonic()
        if now >= self._next_ends:
            self._next_ends = now + ENDS
            self.ends = self.consumer.high_watermarks()
            self._say_that_it_waits(now)
            self._ask_again()
        self._replays.due()

    def _ask_again(self) -> None:
        """Whether brokers that were gone are back, where no record comes to tell."""
        if not isinstance(self.trouble, BrokerUnreachableError) or not self.holdings:
            return
        try:
            self.consumer.committed([next(iter(self.holdings))], AGAIN)
        except ClientError:
            return
        self.trouble = None

    def _say_that_it_waits(self, now: float) -> None:
        if not self.joined and now >= self._patient_until:
            self._patient_until = float("inf")
            log.info(
                "group %s: waits for partitions; if a member was killed, until its session ends (%.0f s at most)",
                self._dispatch.group,
                self._settings.session_timeout,
            )

    # --- rebalances, on this thread, inside poll_chunk

    def assigned(self, partitions: Sequence[TP]) -> Mapping[TP, int | None]:
        """New partitions: read where the group stands on them, offsets and the map of records done beyond."""
        self.joined = True
        known = self._stands.of(partitions)
        for tp in partitions:
            holding = self.holdings[tp] = Holding(self._replays.assignment(tp, None, None))
            if tp in known:
                self._begin(holding, known[tp])
            else:
                holding.assignment.live, holding.awaited = False, True
        self._announce("assigned", partitions)
        return starts(partitions, known)

    def start_at(self, offsets: Mapping[TP, int]) -> Mapping[TP, int | None]:
        """Something else than Kafka says where these new partitions start; answers what is to be told of them."""
        self._stands.awaited |= {tp: at for tp, at in offsets.items() if tp in self._stands.awaited}
        return {tp: None if tp in self._stands.awaited else at for tp, at in offsets.items()}

    def _begin(self, holding: Holding, committed: Committed) -> None:
        assignment, note = holding.assignment, commit_note.read(committed)
        assignment.stands(committed, note)
        if assignment.transactional:
            holding.window = Window(by_key=not assignment.in_order)
        self._beginnings.begin(assignment.tp, holding, note.mark, self._dispatch.deaths(assignment.tp.topic))

    def _begin_awaited(self) -> None:
        """What has become known of partitions that waited for it: now they are read."""
        for tp, committed in self._stands.news():
            holding = self.holdings[tp]
            self._begin(holding, committed)
            holding.assignment.live, holding.awaited = True, False

    def revoked(self, partitions: Sequence[TP]) -> None:
        """Finish what is at work on them, commit once, forget."""
        until = self._clock.monotonic() + self._settings.revoke_timeout
        self.give_back(partitions, min(until, self.drain_until) if self.stopping else until)
        self._announce("revoked", partitions)

    def lost(self, partitions: Sequence[TP]) -> None:
        """They belong to somebody else already: forget at once."""
        self.joined = False
        self._stands.forget(partitions)
        gone = [self.holdings.pop(tp) for tp in partitions if tp in self.holdings]
        for holding in gone:
            holding.assignment.live = False
            holding.forget()
        if self._transacting is not None:
            self._transacting.lose(holding.assignment for holding in gone)
        self._announce("lost", partitions)

    def give_back(self, partitions: Sequence[TP], until: float) -> bool:
        """Let the lanes finish the record they are at, commit, forget; answers whether they did by `until`."""
        self._stands.forget(partitions)
        leaving = {tp: self.holdings[tp] for tp in partitions if tp in self.holdings}
        for holding in leaving.values():
            holding.assignment.live = False
        quiet = self._wait_quiet(list(leaving.values()), until, poll=False)
        self._committer.last(self.consumer, leaving, self.holdings)
        if self._transacting is not None:
            self._transacting.finish(self.consumer, leaving, self.holdings, until, None)
        for tp, holding in leaving.items():
            holding.forget()
            del self.holdings[tp]
        return quiet

    def _wait_quiet(self, holdings: list[Holding], until: float, *, poll: bool) -> bool:
        while not all(holding.quiet() for holding in holdings):
            self.heartbeat = self._clock.monotonic()
            if self.heartbeat >= until:
                return False
            if poll:
                self._poll(0.01)
            self._committer.due(self.consumer, self.holdings, wait=not poll)
            if self._transacting is not None:
                self._transacting.turn(self.consumer, self.holdings)
            self.gate.wait(0.01)
        return True

    def _announce(self, kind: str, partitions: Sequence[TP]) -> None:
        self.rebalances += 1
        named = [tuple(tp) for tp in partitions]
        log.info("group %s: %s %s", self._dispatch.group, kind, ", ".join(f"{t}[{p}]" for t, p in named) or "nothing")
        for listener in self._rebalanced:
            try:
                listener.on_rebalance(self._dispatch.group, kind, named)  # type: ignore[arg-type]
            except Exception:
                log.exception("a rebalance listener raised")

    # --- the end

    def _drain(self) -> bool:
        """Finish what is at work, commit, leave the group. The client is polled on, so that it stays a member."""
        held = list(self.holdings.values())
        for holding in held:
            holding.assignment.live = False
        quiet = False
        try:
            if self.holdings:
                self.consumer.pause(list(self.holdings))
            quiet = self._wait_quiet(held, self.drain_until, poll=True)
        except ClientError as error:
            # Whatever it is, the last commit is still tried: it costs a request and may save a repetition.
            log.warning("group %s: draining was cut short: %s", self._dispatch.group, error.line)
        until = max(self.drain_until, self._clock.monotonic() + CATCH_UP)
        self._committer.last(self.consumer, self.holdings, self.holdings, lambda: self._catch_up(until))
        if self._transacting is not None:
            self._transacting.finish(self.consumer, self.holdings, self.holdings, until, self._stay)
        self.holdings.clear()
        return quiet

    def _stay(self) -> None:
        """Poll, so that this process stays a member until its last transaction has ended."""
        try:
            self._poll(SHORTLY)
        except ClientError as error:
            log.debug("group %s: %s", self._dispatch.group, error.line)

    def _catch_up(self, until: float) -> bool:
        """Poll, so that a rebalance goes on; answers whether there is time for another try."""
        if self._clock.monotonic() >= until:
            return False
        try:
            self._poll(POLL)
        except ClientError as error:
            log.warning("group %s: draining was cut short: %s", self._dispatch.group, error.line)
            return False
        return True
