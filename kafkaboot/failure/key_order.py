"""Which keys have a record in the retry topic that is not resolved: later records of those keys go behind it.

What is known of a partition is read when it is assigned: the retry topic holds, behind the offset that its own group
has committed, exactly the records that are not resolved. A key is free again when that offset has passed its last
record. Until a partition's keys are known, its records wait. All of it happens on a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafkaboot.client import TP, Committed
from kafkaboot.consumer import commit_note
from kafkaboot.errors import ClientError
from kafkaboot.failure.letter_headers import digits
from kafkaboot.failure.retry_topics import FollowsError, NotDueError, RetryTopics, ThereAlreadyError
from kafkaboot.message.headers import KB_ORIGINAL_OFFSET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.client import AdminPort, ClientFactory, ReaderPort
    from kafkaboot.message import RawRecord

log = logging.getLogger("kafkaboot.failure")

LOOK = 0.25
"""Seconds between two looks at which keys are free again."""
LOADING = 0.02
"""Seconds until a record is looked at again whose partition is not known yet."""
TIMEOUT = 10.0
CHUNK = 1000


@dataclass(slots=True)
class _Waiting:
    """A key with unresolved records.

    Attributes:
        pending: Records on their way to the retry topic.
        last: The offset there of the last one that arrived.
        seen: The highest offset in the source of those that arrived before this process had the partition.
    """

    pending: int = 0
    last: int = -1
    seen: int = -1


class KeyOrder:
    """The keys of one handler that wait; it is an `OnRebalance` of the handler's group.

    Args:
        group: The handler's group.
        detours: The retry topic of each topic that it takes.
        retries: The group that handles the retry topics.
        clients: Make the reader and the admin client.
    """

    def __init__(self, group: str, detours: Mapping[str, str], retries: str, clients: ClientFactory) -> None:
        self._group, self._detours, self._retries, self._clients = group, dict(detours), retries, clients
        self._held: dict[TP, dict[bytes | None, _Waiting]] = {}
        self._wanted: set[TP] = set()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def check(self, topics: RetryTopics) -> Callable[[RawRecord], None]:
        """What is asked before the handler is called with a record of the source."""
        held = self._held
        follows = FollowsError(topics)

        def check(raw: RawRecord) -> None:
            keys = held.get((raw.topic(), raw.partition()))  # type: ignore[call-overload]  # equal to a TP
            if keys is None:
                raise NotDueError(LOADING)
            if keys and (waiting := keys.get(raw.key())) is not None:
                raise ThereAlreadyError if raw.offset() <= waiting.seen else follows.with_traceback(None)

        return check

    def leaves(self, record: RawRecord) -> Callable[[RawRecord], None]:
        """A record goes to the retry topic; answers what is to be called with it as it stands there."""
        keys, key = self._held.get(TP(record.topic(), record.partition()), {}), record.key()
        with self._change:
            waiting = keys.setdefault(key, _Waiting())
            waiting.pending += 1
            self._change.notify_all()

        def arrived(written: RawRecord) -> None:
            with self._change:
                waiting.pending -= 1
                waiting.last = max(waiting.last, written.offset())

        return arrived

    # --- rebalances, on the poller's thread

    def on_rebalance(self, group: str, kind: str, partitions: list[tuple[str, int]]) -> None:
        """See `OnRebalance`."""
        if group != self._group:
            return
        mine = {TP(*tp) for tp in partitions if tp[0] in self._detours}
        with self._change:
            if kind == "assigned":
                self._wanted |= mine
                if self._thread is None and mine:
                    self._thread = threading.Thread(target=self._run, name="kafkaboot-key-order", daemon=True)
                    self._thread.start()
            else:
                self._wanted -= mine
                for tp in mine:
                    self._held.pop(tp, None)
            self._change.notify_all()

    def close(self) -> None:
        """Stop looking."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    # --- the thread

    def _run(self) -> None:
        admin, reader = self._clients.admin(), self._clients.reader()
        try:
            while self._go_on():
                try:
                    self._load(admin, reader)
                    self._free(admin)
                except ClientError as error:
                    log.warning("group %s: which keys wait for a retry is not known yet: %s", self._group, error.line)
        finally:
            reader.close()
            admin.close()

    def _go_on(self) -> bool:
        """Wait until there is something to do; answers whether there is."""
        with self._change:
            if not self._wanted - self._held.keys():
                self._change.wait(LOOK if any(self._held.values()) else None)
            return not self._closed

    def _load(self, admin: AdminPort, reader: ReaderPort) -> None:
        """Read the keys of partitions that are new here."""
        new = self._wanted - self._held.keys()
        if not new:
            return
        sources = {TP(self._detours[tp.topic], tp.partition): tp for tp in new}
        ends = admin.end_offsets(list(sources), TIMEOUT)
        begins = admin.begin_offsets(list(sources), TIMEOUT)
        stand = admin.group_offsets(self._retries, TIMEOUT)
        found: dict[TP, dict[bytes | None, _Waiting]] = {tp: {} for tp in sources}
        starts = {tp: max(begins[tp], stand.get(tp, Committed(None)).offset or 0) for tp in sources}
        unread = {tp: start for tp, start in starts.items() if start < ends[tp]}
        done = {tp: commit_note.read(stand.get(tp)).done for tp in unread}
        if unread:
            reader.begin(unread)
        while any(reader.positions[tp] < ends[tp] for tp in unread):
            for record in reader.poll(CHUNK, LOOK):
                tp = TP(record.topic(), record.partition())
                if not any(record.offset() in run for run in done[tp]):
                    waiting = found[tp].setdefault(record.key(), _Waiting())
                    waiting.last = max(waiting.last, record.offset())
                    waiting.seen = max(waiting.seen, _source_offset(record))
            with self._change:
                if self._closed:
                    return
        with self._change:
            for tp, source in sources.items():
                if source in self._wanted:
                    self._held[source] = found[tp]

    def _free(self, admin: AdminPort) -> None:
        """Let go of the keys whose records are all resolved."""
        if not any(self._held.values()):
            return
        stand = admin.group_offsets(self._retries, TIMEOUT)
        with self._change:
            for source, keys in self._held.items():
                committed = stand.get(TP(self._detours[source.topic], source.partition))
                if committed is None or committed.offset is None:
                    continue
                done = commit_note.read(committed).done
                for key, waiting in list(keys.items()):
                    passed = waiting.last < committed.offset or any(waiting.last in run for run in done)
                    if not waiting.pending and passed:
                        del keys[key]


def _source_offset(record: RawRecord) -> int:
    found = next((value for name, value in record.headers() or () if name == KB_ORIGINAL_OFFSET), None)
    offset = digits(found or b"")
    return -1 if offset is None else offset
