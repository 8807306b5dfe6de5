"""Writes dead letters. A record whose letter cannot be written is kept: its letter is tried again until it can be."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from kafkaboot.clock import SystemClock
from kafkaboot.consumer import Away, Backoff
from kafkaboot.errors import ClientError, KafkabootError
from kafkaboot.failure.alarm import Alarm
from kafkaboot.failure.announcements import Announcements, Written
from kafkaboot.failure.fingerprints import fingerprint
from kafkaboot.failure.letter import letter_at
from kafkaboot.failure.letter_headers import headers_of, origin_of
from kafkaboot.failure.letter_job import TOO_LARGE, LetterJob
from kafkaboot.failure.letter_properties import ALONE, PROPERTIES
from kafkaboot.health import Health, Status
from kafkaboot.message.headers import KB_RETRY_DUE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.client import ClientFactory, ProducerPort
    from kafkaboot.clock import Clock
    from kafkaboot.consumer import Failed
    from kafkaboot.failure.dead_letter_settings import DeadLetterSettings
    from kafkaboot.failure.enclosed_letters import EnclosedLetters
    from kafkaboot.failure.letter_topics import LetterTopics
    from kafkaboot.message import Headers, RawRecord

log = logging.getLogger("kafkaboot.failure")

BACKOFF = Backoff(0.2, 30.0)
ROOM = 0.02
"""Seconds until a full buffer is tried again."""
SLOW = 5.0
"""Seconds without an answer after which the alarm is raised, though nothing is refused."""
FLUSH = 10.0
"""Seconds that stopping waits for letters on their way."""
_NO_TOPIC = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_ID"})


@dataclass(order=True, slots=True)
class _Due:
    at: float
    turn: int
    job: LetterJob = field(compare=False)


class DeadLetters:
    """The writer of dead letters; it is a `HealthIndicator`, DOWN while letters cannot be written.

    Letters are made and handed over on a thread of its own, which begins with the first one; so do its clients. Each
    inherits the application's address and security, and is idempotent with acks=all.

    Args:
        clients: Makes the producer.
        settings: `kafkaboot.dead-letter`.
        topics: Sees to it that a letter's topic exists; `None`: it does.
        properties: librdkafka properties of the producer.
        backoff: Between attempts to write one letter.
        clock: What letters say of the time.

    Attributes:
        written: Letters that the broker has acknowledged.
        given_up: Letters that were not: their records went to another member, or the application stopped. Each is kept.
        announcements: Who is told of letters.
    """

    name = "dead-letters"

    def __init__(
        self,
        clients: ClientFactory,
        settings: DeadLetterSettings,
        *,
        topics: LetterTopics | None = None,
        properties: Mapping[str, object] = PROPERTIES,
        backoff: Backoff = BACKOFF,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.written = 0
        self.given_up = 0
        self.announcements = Announcements()
        self._clients, self._topics, self._properties = clients, topics, properties
        self._backoff, self._clock = backoff, clock or SystemClock()
        self._alarm = Alarm()
        self._change = threading.Condition()
        self._waiting: list[_Due] = []
        self._flying: dict[LetterJob, None] = {}
        self._ports: dict[bool, ProducerPort] = {}
        self._turns = itertools.count()
        self._at_hand = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._spread: set[str] = set()

    async def start(self) -> None:
        """Note the running loop: `@on_dead_letter` coroutines run on it."""
        self.announcements.loop = asyncio.get_running_loop()

    # --- what judges call

    def away(self, failed: Failed, handler: str, group: str, enclosed: EnclosedLetters | None = None) -> Away:
        """The way of a failed record to the dead letters of its group; `enclosed` in its handler's transaction."""
        origin = origin_of(failed.record, group)
        topic = self.settings.topic_for(origin.topic, group)
        partition = origin.partition if self.settings.partition == "same" else -1
        return Away(
            partial(self.send, failed, handler, group, topic, partition, enclosed=enclosed),
            "dead_lettered",
            f"the record goes to the dead letters in {topic}",
        )

    def send(
        self,
        failed: Failed,
        handler: str,
        group: str,
        topic: str,
        partition: int,
        settled: Callable[[], None],
        wanted: Callable[[], bool],
        *,
        due: float | None = None,
        delivered: Callable[[RawRecord], None] | None = None,
        enclosed: EnclosedLetters | None = None,
    ) -> None:
        """Write the letter of a failed record, or its copy in a retry topic; any thread, returns at once.

        Args:
            failed: The record and what was raised.
            handler: The handler's id.
            group: Its consumer group.
            topic: Where the letter goes.
            partition: Its partition there; -1: chosen by the key.
            settled: Called once, on any thread, when the broker has acknowledged the letter; never otherwise.
            wanted: Asked before each attempt; after a no the letter is left to the record's next owner.
            due: See `LetterJob`.
            delivered: See there.
            enclosed: See there.
        """
        job = LetterJob(failed, handler, group, topic, partition, settled, wanted, due, delivered, enclosed)
        self.later(job, enclosed.delay(job) if enclosed else 0.0)

    # --- what operators see

    @property
    def failing(self) -> int:
        """Letters that wait after a failed write."""
        return self._alarm.failing

    @property
    def pending(self) -> int:
        """Letters that are neither acknowledged nor given up."""
        with self._change:
            return self._unfinished()

    def health(self) -> Health:
        """See `HealthIndicator`."""
        troubles = self._alarm.details()
        details: dict[str, object] = {"written": self.written, "pending": self.pending, **troubles}
        return Health(Status.DOWN if troubles else Status.UP, details)

    # --- the end

    def flush(self, timeout: float = FLUSH) -> int:
        """Try every waiting letter now, and wait; answers how many are not acknowledged."""
        until = monotonic() + timeout
        with self._change:
            self._waiting = [_Due(0.0, due.turn, due.job) for due in self._waiting]
            heapq.heapify(self._waiting)
            self._change.notify_all()
            while self._unfinished():
                left = until - monotonic()
                if left <= 0:
                    break
                self._change.wait(left)
            return self._unfinished()

    def close(self, timeout: float = FLUSH) -> int:
        """Flush and stop; answers how many letters are given up. Their records are handled again at the next start."""
        left = self.flush(timeout)
        with self._change:
            self._closed = True
            self._waiting.clear()
            self.given_up += left
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)
        for port in self._ports.values():
            port.close(0.0)
        self._ports.clear()
        if left:
            log.warning(
                "%d dead letters are not written; their records' offsets are not committed, so that they are handled "
                "again at the next start",
                left,
            )
        self.announcements.close(timeout)
        return left

    # --- the writer's thread

    def later(self, job: LetterJob, delay: float) -> None:
        """Write it so many seconds later."""
        with self._change:
            self._flying.pop(job, None)
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kafkaboot-dead-letters", daemon=True)
                self._thread.start()
            heapq.heappush(self._waiting, _Due(monotonic() + delay, next(self._turns), job))
            self._change.notify_all()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._write(job)
            finally:
                with self._change:
                    self._at_hand = 0
                    self._change.notify_all()

    def _next(self) -> LetterJob | None:
        with self._change:
            while not self._closed:
                now = monotonic()
                if self._waiting and self._waiting[0].at <= now:
                    self._at_hand = 1
                    return heapq.heappop(self._waiting).job
                self._look_at_slow(now)
                pauses = [self._waiting[0].at - now] if self._waiting else []
                pauses += [SLOW] if self._flying else []
                self._change.wait(min(pauses, default=None))
            return None

    def _look_at_slow(self, now: float) -> None:
        for job in self._flying:  # in the order of their sending
            if now - job.sent < SLOW:
                return
            slow = ClientError(
                f"no broker has acknowledged a letter for {SLOW:g} s",
                code="_TIMED_OUT",
                retriable=True,
                todo="check that the topic's leader is up and that enough replicas are in sync (min.insync.replicas)",
            )
            self._alarm.failed(job.topic, job, job.where, slow)

    def _write(self, job: LetterJob) -> None:
        if not job.wanted():
            self.leave(job)
            return
        try:
            if job.headers is None:
                job.headers = self._headers(job)
            if self._topics is not None:
                self._topics.see_to(job.topic, job.failed.record.topic())
            self._produce(job)
        except ClientError as error:
            self._failed(job, error)
        except KafkabootError as error:
            self._failed(job, ClientError(error.what, todo=error.todo))
        except Exception as error:
            if not job.failures:
                log.exception("the dead letter of %s cannot be made", job.where)
            self._failed(job, ClientError(f"{type(error).__name__}: {error}", todo="report it, with the log"))

    def _produce(self, job: LetterJob) -> None:
        if job.enclosed is not None:
            job.enclosed.write(job)
            return
        record, port = job.failed.record, self._port(job.alone)
        job.sent = monotonic()
        with self._change:
            self._flying[job] = None
        try:
            port.produce(
                job.topic, record.value(), record.key(), job.headers, job.partition, partial(self._reported, job, port)
            )
        except BufferError:
            if (lost := port.lost) is not None:
                self._failed(job, lost)
            else:
                port.serve(ROOM)
                self.later(job, ROOM)

    def _headers(self, job: LetterJob) -> Headers:
        due = [] if job.due is None else [(KB_RETRY_DUE, str(round(job.due * 1000)).encode())]
        return due + headers_of(
            job.failed,
            handler=job.handler,
            group=job.group,
            fingerprint=fingerprint(job.failed.error, job.handler),
            now=self._clock.time(),
            dialect="kafkaboot" if due else self.settings.dialect,
            traceback_size=self.settings.traceback_size,
        )

    def _port(self, alone: bool) -> ProducerPort:
        port = self._ports.get(alone)
        if port is None:
            port = self._clients.producer({**self._properties, **ALONE} if alone else self._properties)
            self._ports[alone] = port
        return port

    # --- what becomes of it, on the producer's thread or the writer's

    def _reported(self, job: LetterJob, port: ProducerPort, error: object | None, record: RawRecord) -> None:
        if error is not None:
            self._failed(job, port.translate(error), reported=True)
            return
        self._alarm.ended(job.topic, job, written=True)
        try:
            if job.delivered is not None:
                job.delivered(record)
            job.settled()
            self.announce(job, record)
        finally:
            with self._change:
                self._flying.pop(job, None)
                self.written += job.due is None
                self._change.notify_all()

    def announce(self, job: LetterJob, written: RawRecord) -> None:
        """Tell whoever wants to hear of letters."""
        if job.due is not None or not self.announcements.wanted:
            return
        record = job.failed.record
        kind, stamp = written.timestamp()
        at = (job.topic, written.partition(), written.offset())
        letter = letter_at(at, stamp if kind else None, record.key(), record.value(), job.headers or [])
        self.announcements.tell(Written(job.handler, job.where, job.failed.error, letter))

    def _failed(self, job: LetterJob, error: ClientError, *, reported: bool = False) -> None:
        """`reported` tells an answer from what the client refuses at once."""
        if error.code in TOO_LARGE:
            if reported and not job.alone:
                job.alone = True
                self.later(job, 0.0)
                return
            if job.shorten():
                self.later(job, 0.0)
                return
            error = job.too_large(error)
        elif error.code == "_UNKNOWN_PARTITION" and job.partition >= 0:
            self._to_any_partition(job)
            return
        elif error.code in _NO_TOPIC and self._topics is not None:
            self._topics.forget(job.topic)
        job.failures += 1
        if not self._closed:
            self._alarm.failed(job.topic, job, job.where, error)
        self.later(job, self._backoff.delay(job.failures))

    def refused(self, job: LetterJob, error: ClientError) -> None:
        """A transaction fell because of this letter, and will again."""
        self._alarm.failed(job.topic, job.where, job.where, error)

    def stands(self, job: LetterJob, record: RawRecord | None) -> None:
        """The transaction with this letter is committed."""
        self._alarm.ended(job.topic, job.where, written=True)
        with self._change:
            self.written += job.due is None
        if record is not None:
            self.announce(job, record)

    def _to_any_partition(self, job: LetterJob) -> None:
        with self._change:
            first = job.topic not in self._spread
            self._spread.add(job.topic)
        if first:
            log.warning(
                "%s has no partition %d, and %s came from it: letters of such partitions go to one chosen by their "
                "key; to do: give it as many partitions as its source has",
                job.topic,
                job.partition,
                job.where,
            )
        job.partition = -1
        self.later(job, 0.0)

    def leave(self, job: LetterJob) -> None:
        """It is its record's next owner's."""
        self._alarm.ended(job.topic, job, written=False)
        with self._change:
            self.given_up += 1

    def _unfinished(self) -> int:
        return len(self._waiting) + len(self._flying) + self._at_hand
