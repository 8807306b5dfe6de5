"""A member of a group, in memory."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from kafkaboot.client.memory.faults import refusal
from kafkaboot.client.memory.group import Member
from kafkaboot.client.memory.kafka import METADATA_LIMIT
from kafkaboot.client.ports import RESET, TP, Committed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kafkaboot.client.memory.group import Group
    from kafkaboot.client.memory.kafka import MemoryKafka
    from kafkaboot.client.ports import RebalanceListener
    from kafkaboot.errors import ClientError
    from kafkaboot.message import RawRecord


class Membership:
    """Who a member was when it was asked."""

    def __init__(self, group: Group, member: Member, generation: int) -> None:
        self.group, self.name = group, member.name
        self._member, self._generation = member, generation

    def refuses(self, partitions: Iterable[TP]) -> ClientError | None:
        """Why its offsets may not be committed any more."""
        if self._member in self.group.members and self._generation != self.group.generation:
            return refusal("ILLEGAL_GENERATION", f"group {self.group.name} has gone on to another generation")
        return self.group.refuses(self._member, partitions)


class MemoryConsumer:
    """`ConsumerPort` on a `MemoryKafka`. A poll never waits: without records it answers an empty list at once.

    Args:
        kafka: The cluster.
        group: The group's id.
        config: librdkafka properties. `auto.offset.reset`, `isolation.level`, `partition.assignment.strategy`,
            `group.protocol`, `session.timeout.ms` and `max.poll.interval.ms` mean what they mean there, all others are
            a network's.
    """

    def __init__(self, kafka: MemoryKafka, group: str, config: Mapping[str, object]) -> None:
        protocol = str(config.get("group.protocol", "classic")).lower()
        strategy = str(config.get("partition.assignment.strategy", "range,roundrobin"))
        self._kafka = kafka
        self._group = kafka.group(group)
        self._eager = protocol == "classic" and "cooperative" not in strategy
        self._earliest = str(config.get("auto.offset.reset", "latest")) in {"earliest", "smallest", "beginning"}
        self._session = float(str(config.get("session.timeout.ms", 45_000))) / 1000
        self._max_poll = float(str(config.get("max.poll.interval.ms", 300_000))) / 1000
        self.name = kafka.enrol(self)
        self._member = Member(self.name)
        self._committed_only = str(config.get("isolation.level", "read_committed")) == "read_committed"
        self._topics: list[str] = []
        self._listener: RebalanceListener | None = None
        self._missing: set[str] = set()
        self._known: list[TP] = []
        self._positions: dict[TP, int] = {}
        self._paused: set[TP] = set()
        self._answers: deque[tuple[Callable[[ClientError | None], None], ClientError | None]] = deque()
        self._to_revoke: set[TP] = set()
        self._to_lose: set[TP] = set()
        self._turn = 0
        self._gone = False

    # --- the port

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `ConsumerPort`."""
        self._alive()
        self._listener = listener
        if list(topics) != self._topics:
            self._topics = list(topics)
            self._missing = set()
            self.topics_changed()

    def poll_chunk(self, limit: int, timeout: float) -> list[RawRecord]:  # noqa: ARG002 - it never waits
        """See `ConsumerPort`."""
        self._alive()
        self._bury()
        self._member.dead_at = None
        self._answer()
        try:
            if self._listener is not None and self._rebalance(self._listener):
                return []
            self._complain()
            return self._fetch(limit)
        finally:
            if not self._gone:
                self._member.dead_at = self._kafka.clock.monotonic() + self._max_poll

    def commit(self, offsets: Mapping[TP, Committed], done: Callable[[ClientError | None], None] | None) -> None:
        """See `ConsumerPort`."""
        self._alive()
        self._bury()
        error = self._commit(offsets)
        if done is not None:
            self._answers.append((done, error))
        elif error is not None:
            raise error

    def committed(self, partitions: Sequence[TP], timeout: float) -> dict[TP, Committed]:  # noqa: ARG002
        """See `ConsumerPort`."""
        self._alive()
        if self._kafka.faults.reads:
            raise self._kafka.faults.reads.popleft()
        with self._kafka.lock:
            self._kafka.end_old_transactions()
            pending = set().union(*self._group.pending.values()) if self._committed_only else set()
            if not pending.isdisjoint(partitions):
                raise refusal("UNSTABLE_OFFSET_COMMIT", "a transaction with these offsets is open")
            return {tp: self._group.offsets.get(tp, Committed(None)) for tp in partitions}

    def pause(self, partitions: Sequence[TP]) -> None:
        """See `ConsumerPort`."""
        self._paused |= set(partitions) & set(self._known)

    def resume(self, partitions: Sequence[TP]) -> None:
        """See `ConsumerPort`."""
        self._paused -= set(partitions)

    def start(self, partition: TP, offset: int) -> None:
        """See `ConsumerPort`."""
        with self._kafka.lock:
            self._positions[partition] = self._reset(partition) if offset == RESET else offset
        self.resume([partition])

    def membership(self) -> Membership | None:
        """See `ConsumerPort`."""
        if self._member not in self._group.members:
            return None
        return Membership(self._group, self._member, self._group.generation)

    def high_watermarks(self) -> dict[TP, int]:
        """See `ConsumerPort`."""
        with self._kafka.lock:
            return {tp: self._kafka.log(tp).end for tp in self._known}

    def close(self, timeout: float) -> None:  # noqa: ARG002
        """See `ConsumerPort`."""
        if self._gone:
            return
        self._bury()
        self._answer()
        if self._listener is not None and self._known:
            alive = self._member in self._group.members
            (self._listener.revoked if alive else self._listener.lost)(sorted(self._known))
        self._answer()
        self._gone = True
        with self._kafka.lock:
            self._group.leave(self._member)
        self._kafka.dismiss(self)

    # --- a test's hand

    @property
    def assigned(self) -> list[TP]:
        """What this consumer believes to hold."""
        return sorted(self._known)

    def vanish(self) -> None:
        """The process dies: no call works any more, and the group hears of it when the session has run out."""
        self._gone = True
        self._member.dead_at = self._kafka.clock.monotonic() + self._session
        self._kafka.dismiss(self)

    def expire(self) -> None:
        """The group has not heard of this member for too long: it is out, and learns of it when it polls next."""
        with self._kafka.lock:
            self._group.leave(self._member)

    def lose(self, partitions: Sequence[TP]) -> None:
        """These are taken from it at once, as if somebody else had them; it learns of it when it polls next."""
        with self._kafka.lock:
            self._to_lose |= set(partitions) & self._member.held
            self._group.given_back(self._member, partitions)

    def give_up(self, partitions: Sequence[TP]) -> None:
        """The next poll revokes these; the poll after it gives out anew."""
        self._to_revoke |= set(partitions) & set(self._known)

    # --- the cluster's

    def topics_changed(self) -> None:
        """There are other topics than before, or others are wanted."""
        with self._kafka.lock:
            if self._member in self._group.members:
                self._group.wants(self._member, self._kafka.partitions(self._wanted))

    # --- inside

    def _alive(self) -> None:
        if self._gone:
            raise refusal("_STATE", f"{self.name} is closed")

    def _wanted(self, name: str) -> bool:
        return any(re.match(t, name) if t.startswith("^") else t == name for t in self._topics)

    def _bury(self) -> None:
        with self._kafka.lock:
            self._group.bury(self._kafka.clock.monotonic())

    def _answer(self) -> None:
        while self._answers:
            done, error = self._answers.popleft()
            done(error)

    def _complain(self) -> None:
        unknown = {t for t in self._topics if not t.startswith("^") and t not in self._kafka.topics}
        news = sorted(unknown - self._missing)
        self._missing = unknown - set(news[1:])
        if news:
            raise refusal("UNKNOWN_TOPIC_OR_PART", f"topic {news[0]} does not exist", where=news[0])

    def _rebalance(self, listener: RebalanceListener) -> bool:
        """One step towards what the group wants; answers whether the listener was called."""
        group, member = self._group, self._member
        if member not in group.members:
            lost, self._to_lose, self._to_revoke = sorted(self._known), set(), set()
            if lost:
                self._drop(lost, listener.lost)
            with self._kafka.lock:
                group.join(member, self._kafka.partitions(self._wanted), eager=self._eager)
            return bool(lost)
        if self._to_lose:
            lost, self._to_lose = sorted(self._to_lose), set()
            self._drop(lost, listener.lost)
            return True
        with self._kafka.lock:
            back = sorted(set(group.to_give_back(member)) | (self._to_revoke & member.held))
        self._to_revoke = set()
        if back:
            self._drop(back, listener.revoked)
            with self._kafka.lock:
                group.given_back(member, back)
            return True
        with self._kafka.lock:
            given = group.to_give(member)
        if given is None:
            return False
        self._take(given, listener)
        return True

    def _drop(self, partitions: list[TP], tell: Callable[[Sequence[TP]], None]) -> None:
        try:
            tell(partitions)
        finally:
            self._known = [tp for tp in self._known if tp not in partitions]
            for tp in partitions:
                self._positions.pop(tp, None)
                self._paused.discard(tp)

    def _take(self, partitions: list[TP], listener: RebalanceListener) -> None:
        self._known += partitions
        starts = listener.assigned(partitions)
        with self._kafka.lock:
            for tp in partitions:
                start = starts.get(tp, self._group.offsets.get(tp, Committed(None)).offset)
                self._positions[tp] = self._reset(tp) if start in {None, RESET} else start
                self._paused.discard(tp)
            self._paused |= {tp for tp, start in starts.items() if start is None}

    def _reset(self, tp: TP) -> int:
        log = self._kafka.log(tp)
        return log.start if self._earliest else log.end

    def _fetch(self, limit: int) -> list[RawRecord]:
        """Partitions take turns at being the first."""
        found: list[RawRecord] = []
        with self._kafka.lock:
            self._kafka.end_old_transactions()
            open_ = [tp for tp in self._known if tp not in self._paused and tp in self._member.held]
            self._turn += 1
            for i in range(len(open_)):
                tp = open_[(self._turn + i) % len(open_)]
                log = self._kafka.log(tp)
                if not log.start <= self._positions[tp] <= log.end:
                    self._positions[tp] = self._reset(tp)
                records = log.read(self._positions[tp], limit - len(found), committed=self._committed_only)
                if records:
                    self._positions[tp] = records[-1].offset() + 1
                    found += records
                if len(found) >= limit:
                    break
        return found

    def _commit(self, offsets: Mapping[TP, Committed]) -> ClientError | None:
        with self._kafka.lock:
            error = self._group.refuses(self._member, offsets)
            if error is not None:
                return error
            for tp, committed in offsets.items():
                if len(committed.metadata.encode()) > METADATA_LIMIT:
                    return refusal("OFFSET_METADATA_TOO_LARGE", where=f"{tp.topic}[{tp.partition}]")
            fault = self._kafka.faults.commits.popleft() if self._kafka.faults.commits else None
            if fault is None or fault.applied:
                self._kafka.write_commit(self._group, self.name, offsets)
            return fault and fault.error
