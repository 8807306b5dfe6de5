"""Requests and their answers: one reply topic an application, and a reader in each process that asks.

The reader belongs to no group. It begins at the end of its partition, and that offset is known before the first
request leaves: whatever comes later stands behind it, so that no answer is missed while the reader is still finding its
way. Processes that share a partition know their own answers by the beginning of the id.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from concurrent.futures import Future
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from kafkaboot.client import TP
from kafkaboot.errors import ClientError, KafkabootError, RequestAbandonedError, WiringError
from kafkaboot.health import Health, Status
from kafkaboot.message import Record
from kafkaboot.message.foreign_headers import SPRING_CORRELATION_ID, SPRING_REPLY_PARTITION, SPRING_REPLY_TOPIC
from kafkaboot.message.headers import KB_REPLY_PARTITION, KB_REPLY_TOPIC, KB_REQUEST_ID
from kafkaboot.message.reply import in_words
from kafkaboot.producer.delivery import Hop
from kafkaboot.producer.envelope import header_list
from kafkaboot.producer.outbox import ROOM
from kafkaboot.producer.question import Question, decode_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.client import ClientFactory, ReaderPort
    from kafkaboot.message import Headers, RawRecord
    from kafkaboot.producer.envelope import GivenHeaders
    from kafkaboot.producer.key import Key
    from kafkaboot.producer.outbox import Handover, Outbox

log = logging.getLogger("kafkaboot.producer")

CHUNK = 500
"""Answers of one poll."""
POLL = 0.1
"""Seconds that a poll waits; stopping takes as long."""
IDLE = 0.002
"""Seconds between two polls of a reader that does not wait itself."""
AGAIN = 0.5
"""Seconds after a reader's failure until it tries again."""
OPENING = 10.0
"""Seconds in which the cluster must tell of the reply topic."""


class Requests:
    """Asks, and gives each answer to whoever waits for it; any thread and any event loop may use the same one.

    Nothing is made before the first request, or `open`. It is a `HealthIndicator`.

    Args:
        clients: Makes the reader.
        topic: Where answers are to go.
        see_to: Called before the topic is read for the first time: sees to it that it is there. It may block.
        eager: Whether an application opens it at start.
        dialect: In whose headers a request says where its answer goes; answers in both are understood.

    Attributes:
        pending: Requests that wait for their answer, by id.
        late: Answers that nobody waited for any more; they are dropped.
        trouble: Why answers cannot be read at the moment.
    """

    name = "requests"

    def __init__(
        self,
        clients: ClientFactory,
        topic: str,
        *,
        see_to: Callable[[], object] = lambda: None,
        dialect: Literal["kafkaboot", "spring"] = "kafkaboot",
        eager: bool = False,
    ) -> None:
        self.topic, self.eager = topic, eager
        self.pending: dict[bytes, Question] = {}
        self.late = 0
        self.trouble: ClientError | None = None
        self._clients, self._see_to, self._dialect = clients, see_to, dialect
        self._prefix = secrets.token_hex(8).encode() + b"-"
        self._numbers = count(1).__next__
        self._lock = threading.Lock()
        self._opened: Future[int] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._hops: dict[asyncio.AbstractEventLoop, Hop] = {}

    # --- asking

    async def ask(
        self,
        outbox: Outbox,
        topic: str,
        payload: Any,
        key: Key,
        headers: GivenHeaders | None,
        partition: int | None,
        timeout: float,
        reply_type: Any,
    ) -> Any:
        """See `Producer.request`."""
        until = self._until(timeout, reply_type)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        hop = self._hop(loop)
        question = self._question(outbox, topic, lambda: hop.wake(answered))
        try:
            async with asyncio.timeout(max(0.0, until - monotonic())):
                opened = self._opening()
                if not opened.done():
                    # Not wrapped: whoever gives up must not cancel what others wait for as well.
                    ready: asyncio.Future[None] = loop.create_future()
                    opened.add_done_callback(lambda _: hop.wake(ready))
                    await asyncio.wait({ready, answered}, return_when=asyncio.FIRST_COMPLETED)
                if not question.ended:
                    record = self._record(question, outbox, opened.result(), payload, key, headers, partition)
                    while not record.done():  # noqa: ASYNC110 - the client tells nobody when there is room
                        await asyncio.sleep(ROOM)
                await answered
        except TimeoutError:
            if not question.ended:
                raise question.late(timeout) from None
        finally:
            self.pending.pop(question.request_id, None)
        return question.answer(reply_type)

    def ask_blocking(
        self,
        outbox: Outbox,
        topic: str,
        payload: Any,
        key: Key,
        headers: GivenHeaders | None,
        partition: int | None,
        timeout: float,
        reply_type: Any,
    ) -> Any:
        """See `SyncProducer.request`."""
        until = self._until(timeout, reply_type)
        answered = threading.Event()
        question = self._question(outbox, topic, answered.set)
        try:
            opened = self._opening().result(timeout)
            if not question.ended:
                record = self._record(question, outbox, opened, payload, key, headers, partition)
                while not record.done():
                    if monotonic() > until:
                        raise question.late(timeout)
                    self._stopping.wait(ROOM)
            if not answered.wait(max(0.0, until - monotonic())):
                raise question.late(timeout)
        except TimeoutError as error:
            if isinstance(error, KafkabootError):
                raise
            raise question.late(timeout) from None
        finally:
            self.pending.pop(question.request_id, None)
        return question.answer(reply_type)

    def open(self, timeout: float = OPENING) -> None:
        """Be ready for the first request; blocks.

        Raises:
            KafkabootError: The reply topic cannot be read.
            TimeoutError: The cluster did not tell of it in time.
        """
        self._opening().result(timeout)

    def health(self) -> Health:
        """See `HealthIndicator`: DOWN while answers cannot be read."""
        details: dict[str, object] = {"topic": self.topic, "pending": len(self.pending), "late": self.late}
        trouble = self.trouble
        if trouble is None:
            return Health(Status.UP, details)
        return Health(Status.DOWN, {**details, "error": trouble.what, "code": trouble.code})

    def close(self) -> None:
        """End what is pending, and the reader. A request that is made afterwards is refused."""
        with self._lock:
            self._stopping.set()
            thread = self._thread
        for question in list(self.pending.values()):
            question.end(_abandoned(question.topic, question.request_id))
        if thread is not None:
            thread.join(POLL + 1.0)

    # --- one request

    def _until(self, timeout: float, reply_type: Any) -> float:
        if timeout <= 0:
            raise ValueError(f"timeout must be longer than nothing, not {timeout!r} s")
        if reply_type is not None and reply_type is not Record:
            decode_as(reply_type)  # what cannot be decoded into is told before anything is sent
        return monotonic() + timeout

    def _question(self, outbox: Outbox, topic: str, wake: Callable[[], object]) -> Question:
        request_id = b"%b%d" % (self._prefix, self._numbers())
        question = self.pending[request_id] = Question(outbox, topic, request_id, wake)
        # Entered first and looked at afterwards: `close` does it the other way round.
        if self._stopping.is_set():
            self.pending.pop(request_id, None)
            raise _abandoned(topic, request_id)
        return question

    def _record(
        self,
        question: Question,
        outbox: Outbox,
        reply_partition: int,
        payload: Any,
        key: Key,
        headers: GivenHeaders | None,
        partition: int | None,
    ) -> Handover:
        where: Headers = [
            (KB_REPLY_TOPIC, self.topic.encode()),
            (KB_REPLY_PARTITION, str(reply_partition).encode()),
            (KB_REQUEST_ID, question.request_id),
        ]
        if self._dialect == "spring":
            where = [
                (SPRING_REPLY_TOPIC, self.topic.encode()),
                (SPRING_REPLY_PARTITION, in_words(reply_partition)),
                (SPRING_CORRELATION_ID, question.request_id),
            ]
        given: Any = [*header_list(headers), *where]
        return outbox.record(question.topic, payload, key, given, partition, None, report=question)

    def _hop(self, loop: asyncio.AbstractEventLoop) -> Hop:
        hop = self._hops.get(loop)
        if hop is None:
            with self._lock:
                self._hops = {known: way for known, way in self._hops.items() if not known.is_closed()}
                hop = self._hops[loop] = Hop(loop, at_once=True)
        return hop

    # --- the reader

    def _opening(self) -> Future[int]:
        """The partition that answers go to, once the reader's place in it is known; the first who asks begins it."""
        opened = self._opened
        if opened is None:
            with self._lock:
                opened = self._opened
                if opened is None and self._stopping.is_set():
                    raise _abandoned(self.topic, self._prefix)
                if opened is None:
                    opened = self._opened = Future()
                    self._thread = threading.Thread(
                        target=self._run, args=(opened,), name="kafkaboot-replies", daemon=True
                    )
                    self._thread.start()
        return opened

    def _run(self, opened: Future[int]) -> None:
        reader: ReaderPort | None = None
        try:
            self._see_to()
            at, offset = self._place()
            reader = self._clients.reader()
            reader.begin({at: offset})
        except BaseException as error:
            self._opened = None  # the next request tries again
            if reader is not None:
                reader.close()
            opened.set_exception(error)
            return
        opened.set_result(at.partition)
        try:
            self._read(reader)
        finally:
            reader.close()

    def _place(self) -> tuple[TP, int]:
        admin = self._clients.admin()
        try:
            known = admin.topics(OPENING).get(self.topic)
            if known is None or not known.partitions:
                raise ClientError(
                    f"the topic {self.topic!r}, where answers are to go, does not exist",
                    code="UNKNOWN_TOPIC_OR_PART",
                    where="kafkaboot.requests.topic",
                    fate="the request was not sent",
                    todo="create it, or let it be created: kafkaboot.kafka.topics: auto, or create",
                )
            at = TP(self.topic, secrets.randbelow(known.partitions))
            return at, admin.end_offsets([at], OPENING)[at]
        finally:
            admin.close()

    def _read(self, reader: ReaderPort) -> None:
        while not self._stopping.is_set():
            began = monotonic()
            try:
                records = reader.poll(CHUNK, POLL)
                self.trouble = None
            except ClientError as error:
                if self.trouble is None:
                    log.warning("answers cannot be read from %s at the moment: %s", self.topic, error.line)
                self.trouble, records = error, []
                self._stopping.wait(AGAIN)
            for record in records:
                self._take(record)
            if not records and monotonic() - began < IDLE:
                self._stopping.wait(IDLE)

    def _take(self, record: RawRecord) -> None:
        for name, value in record.headers() or ():
            if name in _IDS and value is not None and value.startswith(self._prefix):
                question = self.pending.pop(value, None)
                if question is None or not question.end(record):
                    self.late += 1
                    log.debug("an answer came too late, or twice: %s", value)
                return


_IDS = frozenset({KB_REQUEST_ID, SPRING_CORRELATION_ID})


def _abandoned(topic: str, request_id: bytes) -> RequestAbandonedError:
    return RequestAbandonedError(
        "the application stops, and nobody waits for the answer any more",
        topic=topic,
        request_id=request_id.decode(),
        fate="whether it was handled is not known",
        todo="ask before the application stops; a request that is made again may be handled twice",
    )


def requests_of(requests: Requests | None) -> Requests:
    """The requests.

    Raises:
        WiringError: There are none.
    """
    if requests is None:
        raise WiringError(
            "this producer was made without requests", todo="use the application's own, or give it a `Requests`"
        )
    return requests
