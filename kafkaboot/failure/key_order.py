"""Which keys have a record in the retry topic that is not resolved: later records of those keys go behind it.

What is known of a partition is read when it is assigned: the retry topic holds, behind the offset that its own group
has committed, exactly the records that are not resolved. A key is free again when that group has settled all of its
records there. Until a partition's keys are known, its records wait.

Records of one key are written one after the other, each once the one before has arrived. So what stands in the retry
topic of a key is always a beginning of what went there, and a record that is not behind the last of them is settled.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.client import TP, Committed
from kafkaboot.consumer import commit_note
from kafkaboot.errors import ClientError
from kafkaboot.failure.letter_headers import digits
from kafkaboot.failure.retry_topics import RetryTopics, not_due, there_already
from kafkaboot.message.headers import KB_HANDLER, KB_ORIGINAL_OFFSET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client import AdminPort, ClientFactory, ReaderPort
    from kafkaboot.consumer import Failed
    from kafkaboot.message import RawRecord

    Send = Callable[[Callable[[], None], Callable[[], bool]], None]

log = logging.getLogger("kafkaboot.failure")

LOOK = 0.25
"""Seconds between two looks at which keys are free again."""
SHORTLY = 0.01
"""Seconds between two looks at whether what a record comes behind is settled."""
LOADING, LOADING_MOST = 0.05, 1.0
"""Seconds until a record is looked at again whose partition is not known yet, or whose key is about to be free."""
TIMEOUT = 10.0
CHUNK = 1000
HOLD, PAUSE_MOST = 1.0, 60.0
"""Seconds that a key's records wait in their lane for the last ones in the retry topic, once those get on: a key whose
records never pause would go that way for ever. Where it takes longer they go there, and it is tried again later; more
than a moment, and the partition would be paused behind them, for all its keys."""


@dataclass(slots=True, eq=False)
class _OnItsWay:
    """A record that is to be written to the retry topic.

    Attributes:
        write: Hands it to the writer.
        first: Whether what it comes behind is settled.
        settled, wanted: See `Away`; `None` until the crew has asked to send it.
    """

    write: Callable[..., None]
    first: Callable[[], bool]
    settled: Callable[[], None] | None = None
    wanted: Callable[[], bool] | None = None


@dataclass(slots=True, eq=False)
class _Waiting:
    """A key with unresolved records.

    Attributes:
        queue: Records on their way, in order.
        writing: Whether the first of them is being written.
        places: Where those stand that arrived.
        seen: The highest offset in the source of those that arrived before this process had the partition.
        hold_until: Until then the key's records wait in their lane, on the monotonic clock.
        hold_from: Before this they do not.
        pause: Seconds from a hold that was in vain to the next one.
    """

    queue: deque[_OnItsWay] = field(default_factory=deque)
    writing: bool = False
    places: deque[tuple[TP, int]] = field(default_factory=deque)
    seen: int = -1
    hold_until: float = 0.0
    hold_from: float = 0.0
    pause: float = HOLD

    def gets_on(self, now: float) -> None:
        """A record of it is resolved since the last look."""
        if now >= self.hold_from:
            self.hold_until = now + HOLD
            self.hold_from = self.hold_until + self.pause
            self.pause = min(2 * self.pause, PAUSE_MOST)


Keys = dict[bytes | None, _Waiting]


class KeyOrder:
    """The keys of one handler that wait; it is an `OnRebalance` of the handler's group.

    Its thread and its clients live as long as this process has a partition.

    Args:
        handler: The handler's id.
        group: Its group.
        detours: The retry topic of each topic that it takes.
        retries: The group that handles the retry topics.
        clients: Make the reader and the admin client.
        repeats: Whether the group of the retries may handle again what it has settled beyond its offset: where outputs
            were not delivered.
    """

    def __init__(
        self,
        handler: str,
        group: str,
        detours: Mapping[str, str],
        retries: str,
        clients: ClientFactory,
        *,
        repeats: bool = False,
    ) -> None:
        self._handler, self._group, self._retries = handler.encode(), group, retries
        self._detours, self._clients, self._repeats = dict(detours), clients, repeats
        self._held: dict[TP, Keys] = {}
        self._wanted: dict[TP, float] = {}
        self._blocked: set[_Waiting] = set()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._look_at = 0.0

    # --- asked in place of the handler and by its judge, on any thread

    def check(self, topics: RetryTopics) -> Callable[[RawRecord], None]:
        """What is asked before the handler is called with a record of the source.

        It raises a `Detour` where the handler is not to be called.
        """
        held = self._held

        def check(raw: RawRecord) -> None:
            keys = held.get((raw.topic(), raw.partition()))  # type: ignore[call-overload]  # equal to a TP
            if keys is None:
                raise not_due(self._soon(raw))
            if keys and (waiting := keys.get(raw.key())) is not None:
                if raw.offset() <= waiting.seen:
                    raise there_already()
                raise not_due(LOADING) if monotonic() < waiting.hold_until else topics.follows()

        return check

    def waiting(self) -> int:
        """How many keys wait on the partitions of this process."""
        with self._change:
            return sum(map(len, self._held.values()))

    def in_turn(self, failed: Failed, write: Callable[..., None]) -> Send:
        """A record goes to the retry topic: from now on its key waits. Answers how it is sent, in its turn.

        Args:
            failed: The record.
            write: Hands it to the writer: takes `settled`, `wanted` and `delivered`.
        """
        record = failed.record
        with self._change:
            keys = self._held.get(TP(record.topic(), record.partition()), {})  # taken away meanwhile: nobody looks
            waiting = keys.get(record.key())
            one = _OnItsWay(write, failed.first if waiting is None else _at_once)
            if waiting is None:
                waiting = keys[record.key()] = _Waiting()
            waiting.queue.append(one)

        def send(settled: Callable[[], None], wanted: Callable[[], bool]) -> None:
            one.settled, one.wanted = settled, wanted
            self._write_next(waiting)

        return send

    def _soon(self, raw: RawRecord) -> float:
        began = self._wanted.get(TP(raw.topic(), raw.partition()))
        so_far = LOADING_MOST if began is None else monotonic() - began
        return min(max(LOADING, so_far), LOADING_MOST)

    # --- one after the other

    def _write_next(self, waiting: _Waiting) -> None:
        """Write the first record of the key's queue, unless one is being written."""
        while True:
            with self._change:
                one = waiting.queue[0] if waiting.queue and not waiting.writing else None
                if one is None or one.wanted is None:
                    return
                waiting.writing = True
            if not one.wanted():
                self._gone(waiting)
                continue
            if one.first():
                one.write(one.settled, partial(self._asked, waiting, one), delivered=partial(self._arrived, waiting))
                return
            with self._change:
                waiting.writing = False
                self._blocked.add(waiting)
                self._change.notify_all()
            return

    def _asked(self, waiting: _Waiting, one: _OnItsWay) -> bool:
        """The writer's question whether it is still to be written."""
        if one.wanted is not None and one.wanted():
            return True
        self._gone(waiting)
        self._write_next(waiting)
        return False

    def _arrived(self, waiting: _Waiting, written: RawRecord) -> None:
        self._gone(waiting, (TP(written.topic(), written.partition()), written.offset()))
        self._write_next(waiting)

    def _gone(self, waiting: _Waiting, place: tuple[TP, int] | None = None) -> None:
        """The first of the queue has arrived, or is left to the partition's next owner."""
        with self._change:
            waiting.queue.popleft()
            waiting.writing = False
            if place is not None:
                waiting.places.append(place)
            self._change.notify_all()

    # --- rebalances, on the poller's thread

    def on_rebalance(self, group: str, kind: str, partitions: list[tuple[str, int]]) -> None:
        """See `OnRebalance`."""
        if group != self._group:
            return
        mine = {TP(*tp) for tp in partitions if tp[0] in self._detours}
        with self._change:
            for tp in mine:
                self._held.pop(tp, None)
                self._wanted.pop(tp, None)
                if kind == "assigned":
                    self._wanted[tp] = monotonic()
                    self._look_at = 0.0
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kafkaboot-key-order", daemon=True)
                self._thread.start()
            self._change.notify_all()

    # --- the thread

    def _run(self) -> None:
        admin, reader = self._clients.admin(), self._clients.reader()
        try:
            while self._go_on():
                self._write_blocked()
                if monotonic() < self._look_at:
                    continue
                self._look_at = monotonic() + LOOK
                try:
                    self._load(admin, reader)
                    self._free(admin)
                except ClientError as error:
                    log.warning(
                        "group %s: which keys wait in retry topics cannot be read: %s; records of new partitions wait, "
                        "and keys are not let go, until it can be",
                        self._group,
                        error.line,
                    )
                except Exception:  # without this thread, the records of new partitions would wait for ever
                    log.exception("group %s: which keys wait in retry topics could not be looked up", self._group)
        finally:
            reader.close()
            admin.close()

    def _go_on(self) -> bool:
        """Wait until there is something to do; answers whether there is."""
        with self._change:
            if self._wanted:
                busy = self._wanted.keys() - self._held.keys() or any(self._held.values())
                pause = max(0.0, self._look_at - monotonic()) if busy else None
                if self._blocked:
                    pause = min(SHORTLY, pause or SHORTLY)
                if pause is None or pause > 0:
                    self._change.wait(pause)
            if not self._wanted:
                self._thread = None
            return bool(self._wanted)

    def _write_blocked(self) -> None:
        with self._change:
            blocked, self._blocked = self._blocked, set()
        for waiting in blocked:
            self._write_next(waiting)

    def _load(self, admin: AdminPort, reader: ReaderPort) -> None:
        """Read the keys of partitions that are new here."""
        with self._change:
            new = {tp: began for tp, began in self._wanted.items() if tp not in self._held}
        if not new:
            return
        sources = {TP(self._detours[tp.topic], tp.partition): tp for tp in new}
        ends = admin.end_offsets([*sources, *new], TIMEOUT)
        begins = admin.begin_offsets(list(sources), TIMEOUT)
        stand = self._stand(admin)
        found: dict[TP, Keys] = {tp: {} for tp in sources}
        starts = {tp: max(begins[tp], stand.offset(tp)) for tp in sources}
        unread = {tp: start for tp, start in starts.items() if start < ends[tp]}
        if unread:
            reader.begin(unread)
        while any(reader.positions[tp] < ends[tp] for tp in unread):
            for record in reader.poll(CHUNK, LOOK):
                tp = TP(record.topic(), record.partition())
                if not stand.settled(tp, record.offset()):
                    self._found(found[tp], tp, record, ends[sources[tp]])
            if not self._wanted:
                return
        with self._change:
            for tp, source in sources.items():
                if self._wanted.get(source) == new[source]:
                    self._held[source] = found[tp]

    def _found(self, keys: Keys, tp: TP, record: RawRecord, end: int) -> None:
        """`end`: of the source. What it held before it was made anew must not settle what stands there now."""
        headers = dict(record.headers() or ())
        if headers.get(KB_HANDLER) != self._handler:
            return  # another handler of the group, which takes another type
        waiting = keys.setdefault(record.key(), _Waiting())
        waiting.places.append((tp, record.offset()))
        offset = digits(headers.get(KB_ORIGINAL_OFFSET) or b"")
        if offset is not None and waiting.seen < offset < end:
            waiting.seen = offset

    def _free(self, admin: AdminPort) -> None:
        """Let go of the keys whose records are all resolved."""
        if not any(self._held.values()):
            return
        stand = self._stand(admin)
        with self._change:
            for keys in self._held.values():
                for key, waiting in list(keys.items()):
                    places, before = waiting.places, len(waiting.places)
                    while places and stand.settled(*places[0]):
                        places.popleft()
                    if len(places) < before:
                        waiting.gets_on(monotonic())
                    if not places and not waiting.queue:
                        del keys[key]

    def _stand(self, admin: AdminPort) -> _Stand:
        with self._change:
            partitions = [TP(self._detours[topic], partition) for topic, partition in self._wanted]
        return _Stand(admin.group_offsets(self._retries, TIMEOUT, partitions), beyond=not self._repeats)


class _Part(NamedTuple):
    offset: int
    done: Sequence[range]
    starts: Sequence[int]


class _Stand:
    """What the group of the retries has settled.

    Args:
        committed: What it has committed.
        beyond: Whether what it has settled beyond its offset counts.
    """

    def __init__(self, committed: Mapping[TP, Committed], *, beyond: bool) -> None:
        self._parts: dict[TP, _Part] = {}
        for tp, one in committed.items():
            if one.offset is not None:
                done = commit_note.read(one).done if beyond else []
                self._parts[tp] = _Part(one.offset, done, [each.start for each in done])

    def offset(self, tp: TP) -> int:
        """Where it stands; 0 where it has not begun."""
        return self._parts[tp].offset if tp in self._parts else 0

    def settled(self, tp: TP, offset: int) -> bool:
        """Whether a record of a retry topic is resolved."""
        part = self._parts.get(tp)
        if part is None:
            return False
        at = bisect_right(part.starts, offset) - 1
        return offset < part.offset or (at >= 0 and offset in part.done[at])


def _at_once() -> bool:
    return True
