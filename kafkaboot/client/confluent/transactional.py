"""Transactions on librdkafka.

Its calls raise three kinds of errors: ask again, abort, and the client is lost. What they mean for the transaction
depends on one thing more: whether the commit had been asked for.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, TopicPartition

from kafkaboot.client.confluent import librdkafka
from kafkaboot.client.confluent.producer import HURRY, WAIT, ConfluentProducer
from kafkaboot.client.confluent.translate import client_error, kafka_exception
from kafkaboot.errors import ClientError, TransactionError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Mapping

    from kafkaboot.client.ports import TP, Committed

PAUSE = 0.001
"""Seconds between two looks for reports while a transaction is open."""
AGAIN = 0.01
"""Seconds until a call is made again that librdkafka says may be."""
GRACE = 1.0
"""Seconds beyond its timeout after which a call is taken for one that will not come back."""
SHORTEST = 0.1
"""Seconds that a call gets, however late it is."""
FENCED = frozenset({"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"})
DISTURBED = frozenset({"FAIL", "REQTMOUT"})
"""librdkafka's names for a connection that broke, and for a request that was given up."""

_SLOT = "give every process a slot of its own (kafkaboot.producer.transaction.slot), or end the other one"
_SHORTER = "do less in one transaction, or raise kafkaboot.producer.transaction.timeout"
_COORDINATOR = (
    "see that the cluster has transactions: its topic __transaction_state needs as many brokers as "
    "transaction.state.log.replication.factor says, and min.insync.replicas of them in sync"
)


class _Log:
    """Hands librdkafka's lines on, and notices those that tell of a request whose answer may still be under way.

    Nothing else does: a coordinator's connection that breaks is no error that a client is told of.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.disturbed = False
        self._logger = logger

    def log(self, level: int, text: str, *args: object) -> None:
        """What librdkafka calls; the first argument is its name for what happened."""
        if args and args[0] in DISTURBED:
            self.disturbed = True
        self._logger.log(level, text, *args)


class ConfluentTransactional(ConfluentProducer):
    """`TransactionalPort` on librdkafka. One that is lost stays lost.

    Args:
        config: librdkafka properties, `transactional.id` and `transaction.timeout.ms` among them.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        self._id = str(config["transactional.id"])
        self._limit = int(str(config["transaction.timeout.ms"])) / 1000
        self._begun = monotonic()
        self._log = _Log(librdkafka.logger())
        self._serving = threading.Lock()
        self._ending = False
        super().__init__({**config, "logger": self._log})

    @property
    def worn(self) -> bool:
        """See `TransactionalPort`."""
        return self._log.disturbed

    @property
    def lost(self) -> ClientError | None:
        """See `ProducerPort`."""
        return self._loss

    def prepare(self, timeout: float) -> None:
        """See `TransactionalPort`."""
        self._begun = monotonic()
        self._ask("taking it over", self._producer.init_transactions, monotonic() + timeout)
        self._serve(self._poll, 0)
        self._log.disturbed = False

    def begin(self) -> None:
        """See `TransactionalPort`."""
        self._begun = monotonic()
        self._ask("beginning a transaction", lambda _: self._producer.begin_transaction(), self._begun)

    def send_offsets(self, offsets: Mapping[TP, Committed], membership: object, timeout: float) -> None:
        """See `TransactionalPort`."""
        wanted = [
            TopicPartition(*tp, committed.offset, metadata=committed.metadata)
            for tp, committed in offsets.items()
            if committed.offset is not None
        ]

        def send(left: float) -> None:
            self._answered(partial(self._producer.send_offsets_to_transaction, wanted, membership, left), left + GRACE)

        self._ask("sending offsets", send, monotonic() + timeout)

    def _answered(self, call: Callable[[], object], seconds: float) -> None:
        """Make a call that may never come back: librdkafka keeps no timeout while it looks for a group's coordinator.

        Source: librdkafka #5456 and #5511, open with 2.14. It fits a group that stood still after its broker's restart.

        Raises:
            TransactionError: It has not come back; the client is of no more use.
        """
        answer: Future[object] = Future()

        def make() -> None:
            try:
                answer.set_result(call())
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=make, name="kafkaboot-offsets", daemon=True).start()
        try:
            answer.result(seconds)
        except TimeoutError:
            if answer.done():
                raise
            raise TransactionError(
                f"sending offsets: the client did not come back within {seconds:g} s",
                outcome="aborted",
                code="_TIMED_OUT",
                retriable=True,
                fatal=True,
                where=f"transactional id {self._id}",
            ) from None

    def commit(self, timeout: float) -> None:
        """See `TransactionalPort`."""
        with self._alone():
            self._commit(timeout)

    def _commit(self, timeout: float) -> None:
        until = monotonic() + timeout
        # First, so that what is still on its way at the deadline can be aborted: a commit that was asked for cannot.
        undelivered = self.flush(timeout)
        if self._loss is not None:
            raise self._loss
        if undelivered:
            raise TransactionError(
                f"{undelivered} records were not delivered within {timeout:g} s",
                outcome="open",
                code="_TIMED_OUT",
                retriable=True,
                where=f"transactional id {self._id}",
                todo="see whether the brokers are up and keep pace; a smaller transaction is delivered sooner",
            )
        self._ask("committing", self._producer.commit_transaction, until, commits=True)
        self._serve(self._poll, 0)  # what was logged meanwhile

    def abort(self, timeout: float) -> None:
        """See `TransactionalPort`."""
        with self._alone():
            self._ask("aborting", self._producer.abort_transaction, monotonic() + timeout)
            self._serve(self._poll, 0)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else serves the queue: a flush waits for its whole time if the last report went to another thread."""
        self._ending = True
        try:
            with self._serving:
                yield
        finally:
            self._ending = False

    def _run(self) -> None:
        while not self._closed:
            self._comeback.look(self._producer)
            if self._ending or not len(self._producer):
                self._idle = True
                self._work.wait(WAIT)
                self._idle = False
                self._work.clear()
            if self._serving.acquire(timeout=WAIT):
                try:
                    if self._hurried:
                        self._hurried = False
                        self._flush(monotonic() + HURRY)
                    elif not self._ending:
                        self._serve(self._poll, 0)
                finally:
                    self._serving.release()
            time.sleep(PAUSE)

    def _lose(self, error: ClientError, lost: Any) -> Exception:  # noqa: ARG002 - there is never another one
        with self._losing:
            if self._loss is None:
                self._loss = loss = self._failure(error, "publishing")

                def refuse(*_: object) -> None:
                    raise loss

                if not self._closed:
                    self._produce = refuse
            return self._loss

    def _ask(self, doing: str, call: Callable[[float], object], until: float, *, commits: bool = False) -> None:
        while True:
            try:
                call(max(SHORTEST, until - monotonic()))
            except Exception as raised:
                found = kafka_exception(raised)
                if found is None:
                    raise
                # Asked again, librdkafka goes on with what it has begun.
                if not _again(found) or monotonic() >= until:
                    error = client_error(found)
                    if error.fatal:
                        self._lose(error, self._producer)
                    raise self._failure(error, doing, requires_abort=_requires_abort(found), commits=commits) from found
                self._log.disturbed = self._log.disturbed or commits
                time.sleep(AGAIN)
            else:
                return
            finally:
                self._after_burst()

    def _failure(
        self, error: ClientError, doing: str, *, requires_abort: bool = False, commits: bool = False
    ) -> TransactionError:
        what, todo, taken, lasted = error.what, error.todo, error.code in FENCED, monotonic() - self._begun
        # A broker that aborts a transaction for its age fences its producer, in the same words as another one does.
        late = taken and lasted >= self._limit
        if late:
            what = (
                f"the transaction took {lasted:.1f} s, longer than its timeout of {self._limit:g} s, and the broker "
                f"has ended it"
            )
            todo = _SHORTER
        elif taken:
            what, todo = "another producer has taken over the transactional id, and this one is fenced", _SLOT
        elif error.code == "_TIMED_OUT" or "COORDINATOR" in error.code:
            todo = _COORDINATOR
        return TransactionError(
            f"{doing}: {what}",
            outcome="open" if requires_abort else "unknown" if commits else "aborted",
            fenced=taken and not late,
            code=error.code,
            retriable=error.retriable or late,
            fatal=not requires_abort,
            where=f"transactional id {self._id}",
            todo=todo,
        )


def _requires_abort(error: KafkaException) -> bool:
    return bool(error.args[0].txn_requires_abort())


def _again(error: KafkaException) -> bool:
    inner = error.args[0]
    return bool(inner.retriable()) and not inner.fatal() and not inner.txn_requires_abort()
