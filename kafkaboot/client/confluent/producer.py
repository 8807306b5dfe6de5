"""A connection that writes, on confluent-kafka.

Delivery callbacks run wherever librdkafka's queue is served. A thread of our own serves it, so that a report arrives
even if nobody calls. Under load that thread is in the way: it must get the interpreter's lock back for each
callback, and the thread that produces holds that lock, which costs a fifth of the throughput. So whoever produces
without a pause serves the queue itself, every `BURST` records, and the thread rests meanwhile.

librdkafka gives an idempotent client up for good when a broker denies it an id or has lost its sequence. That thread
puts another one in its place.
"""

from __future__ import annotations

import logging
import threading
import time
from time import monotonic
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from kafkaboot.client.confluent.comeback import Comeback
from kafkaboot.client.confluent.translate import client_error, kafka_exception
from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.message import Headers, RawRecord

log = logging.getLogger("kafkaboot.client")

BURST = 256
"""Records handed over, with no report served in between, after which the producing thread serves the queue."""
FEW = 32
"""Records after which something is a burst, which the thread that produces is going to serve."""
REST = 0.003
"""Seconds that the serving thread stays away when another thread serves."""
HURRY = 0.15
"""Seconds for which lingering is switched off at most; librdkafka needs no more than a round trip."""
STRETCH = 0.01
"""Seconds of flushing after which those who wait are woken."""
WAIT = 0.1
"""Seconds that it waits for a first report; closing waits as long for it."""
LAST = 1.0
"""Seconds for the reports of a client that is given up."""
SOON, LATE = 0.25, 30.0
"""Seconds until a lost client is replaced: after a life of `LATE` none, else from `SOON` on twice as long each time."""
SETTLED = 5.0
"""Seconds after which a new client is trusted."""
LOST = "the client is lost; another one takes its place"
_PURGED = frozenset({"_PURGE_QUEUE", "_PURGE_INFLIGHT"})


class ConfluentProducer:
    """`ProducerPort` on librdkafka.

    Args:
        config: librdkafka properties.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        self._config = config
        self._comeback = Comeback(config)
        self._open()
        self._losing = threading.Lock()
        self._loss: ClientError | None = None
        self._gone = False
        self._delay = 0.0
        self._after_burst: Callable[[], None] = _nobody
        self._work = threading.Event()
        self._idle = False
        self._unserved = 0
        self._relieved = False
        self._hurried = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="kafkaboot-deliveries", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        # Told of errors by a function of nobody's: the client would keep the adapter alive through a method of it.
        self._producer: Any = Producer({"error_cb": _heard, **self._config})
        self._produce: Any = self._producer.produce
        self._poll: Any = self._producer.poll
        self._opened = monotonic()

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        partition: int,
        on_delivery: Callable[[object | None, RawRecord], None] | None,
        timestamp: int = 0,
    ) -> None:
        """See `ProducerPort`. The callback may run inside a later call of `produce`, on the calling thread."""
        produce = self._produce
        try:
            produce(topic, value, key, partition, on_delivery, None, timestamp, headers)
        except KafkaException as error:
            refused = client_error(error, where=topic, fate="the record was not sent")
            raise (self._lose(refused, produce.__self__) if refused.fatal else refused) from error
        if self._idle:
            self._idle = False
            self._work.set()
        self._unserved += 1
        if self._unserved >= BURST:
            self.serve(0)

    def serve(self, timeout: float) -> None:
        """See `ProducerPort`."""
        self._relieved = True
        self._unserved = 0
        self._serve(self._poll, timeout)

    def hurry(self) -> None:
        """See `ProducerPort`."""
        self._hurried = True

    def translate(self, error: object) -> ClientError:
        """See `ProducerPort`."""
        if isinstance(error, ClientError):
            return error
        if isinstance(error, KafkaError | KafkaException):
            made = client_error(error)
            # What a client had when it was lost is only said to be purged.
            return self.lost or made if made.code in _PURGED else made
        return ClientError(str(error), code="UNKNOWN")

    def after_burst(self, call: Callable[[], None]) -> None:
        """See `ServesBursts`."""
        self._after_burst = call

    def flush(self, timeout: float) -> int:
        """See `ProducerPort`."""
        return self._flush(monotonic() + timeout)

    def close(self, timeout: float) -> int:
        """See `ProducerPort`. Calling it again changes nothing and answers 0."""
        if self._closed:
            return 0
        undelivered = self.flush(timeout)
        with self._losing:
            self._closed = True
            self._produce = _refuse
        if undelivered:
            # What is given up is still reported, so that whoever waits for it hears of it.
            self._producer.purge()
            self.flush(1.0)
        self._thread.join(1.0)
        # The client goes with the last reference to it, and its threads and connections with it: not at some garbage
        # collection, until which it would go on looking for its broker.
        self._producer = closed = _Closed()
        self._poll = closed.poll
        return undelivered

    @property
    def lost(self) -> ClientError | None:
        """See `ProducerPort`."""
        return self._loss if self._gone or monotonic() - self._opened < SETTLED else None

    # --- serving

    def _run(self) -> None:
        while not self._closed:
            self._comeback.look(self._producer)
            if self._gone:
                self._replace()
            elif self._hurried:
                # While librdkafka flushes it does not linger.
                self._hurried = False
                self._flush(monotonic() + HURRY)
            elif self._relieved:
                self._relieved = False
                time.sleep(REST)
            elif len(self._producer):
                self._serve(self._poll, WAIT)
                self._unserved = 0
            else:
                self._await_work()

    def _await_work(self) -> None:
        # Not inside the client: a burst that begins there would find this thread taking its first reports away, one
        # by one, against the thread that produces.
        self._idle = True
        if not len(self._producer):
            self._work.wait(WAIT)
        self._idle = False
        self._work.clear()
        if self._unserved >= FEW:
            time.sleep(REST)
        else:
            self._serve(self._poll, 0)

    def _flush(self, until: float) -> int:
        # In short stretches, since a burst ends only when the call returns.
        while True:
            left = until - monotonic()
            undelivered = self._serve(self._producer.flush, max(0.0, min(left, STRETCH)))
            if not undelivered or left <= STRETCH:
                return undelivered

    # --- a client that is lost

    def _lose(self, error: ClientError, lost: Any) -> Exception:
        """The client is lost; answers what is to be said to those who publish meanwhile."""
        with self._losing:
            if lost is self._producer and not self._gone and not self._closed:
                self._loss, self._gone, self._produce = error, True, _wait
                self._work.set()
        return BufferError(LOST)

    def _replace(self) -> None:
        """All reports of the lost one come before the first record goes to the next."""
        lived = monotonic() - self._opened
        self._delay = 0.0 if lived > LATE else min(max(SOON, self._delay * 2), LATE)
        assert self._loss is not None
        log.error(
            "the producer is lost: %s; what it had not delivered is reported as undelivered, and another one takes its "
            "place in %.2f s; to do: %s",
            self._loss.what,
            self._delay,
            self._loss.todo or "nothing, unless it is lost again",
        )
        until = monotonic() + self._delay
        self._producer.purge()
        self._flush(monotonic() + LAST)
        while not self._closed and (left := until - monotonic()) > 0:
            time.sleep(min(left, WAIT))
        with self._losing:
            if not self._closed:
                self._open()
                self._gone = False

    def _serve(self, serving: Any, timeout: float) -> int:
        try:
            undelivered: int = serving(timeout)
            return undelivered
        except Exception as raised:
            # A loss is not told to `error_cb`: it is raised out of whatever serves the queue.
            found = kafka_exception(raised)
            if found is not None and (error := client_error(found)).fatal:
                self._lose(error, serving.__self__)
                return len(serving.__self__)
            # The queue must be served on: one callback's mistake may not silence all others.
            log.exception("a delivery callback raised; the report that it was given is lost to it")
            return len(self._producer)
        finally:
            self._after_burst()


class _Closed:
    """In the place of a client that is closed: nothing is on its way there, and transactions are refused."""

    def __len__(self) -> int:
        return 0

    def flush(self, _: float = 0) -> int:
        return 0

    poll = purge = flush

    def __getattr__(self, name: str) -> Any:
        raise ClientError("the producer is closed", code="_DESTROY")


def _heard(error: KafkaError) -> None:
    log.debug("librdkafka: %s", error)


def _nobody() -> None:
    """Nobody waits for the ends of bursts."""


def _wait(*_: object) -> None:
    raise BufferError(LOST)


def _refuse(topic: str, *_: object) -> None:
    raise ClientError("the producer is closed", code="_DESTROY", where=topic, fate="the record was not sent")
