"""Transactions, in memory: fencing by id, timeouts on the cluster's clock, offsets that come with the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from kafkaboot.client.memory.faults import refusal
from kafkaboot.client.memory.kafka import METADATA_LIMIT
from kafkaboot.client.memory.producer import MemoryProducer
from kafkaboot.client.ports import TP
from kafkaboot.errors import ClientError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.client.memory.consumer import Membership
    from kafkaboot.client.memory.kafka import MemoryKafka
    from kafkaboot.client.memory.log import MemoryRecord
    from kafkaboot.client.ports import Committed
    from kafkaboot.message import Headers, RawRecord


class MemoryTransactional(MemoryProducer):
    """`TransactionalPort` on a `MemoryKafka`.

    Args:
        kafka: The cluster.
        transactional_id: The id.
        config: librdkafka properties; beside those of a `MemoryProducer`, `transaction.timeout.ms` is heeded.
    """

    worn = False

    def __init__(self, kafka: MemoryKafka, transactional_id: str, config: Mapping[str, object]) -> None:
        super().__init__(kafka, config)
        self._id = transactional_id
        self._limit = int(str(config["transaction.timeout.ms"])) / 1000
        self._state: Literal["new", "ready", "begun", "failed", "lost"] = "new"
        self._begun: float | None = None
        self._loss: TransactionError | None = None
        self._cause: ClientError | None = None
        self._touched: set[TP] = set()
        self._offsets: list[tuple[Membership, dict[TP, Committed]]] = []

    @property
    def lost(self) -> ClientError | None:
        """See `ProducerPort`."""
        return self._loss

    def prepare(self, timeout: float) -> None:  # noqa: ARG002 - nothing is waited for
        """See `TransactionalPort`."""
        self._fault("init_transactions")
        if self._limit * 1000 > int(self._kafka.settings["transaction.max.timeout.ms"]):
            raise self._lose(self._error("INVALID_TRANSACTION_TIMEOUT", "the broker allows less", fatal=True))
        with self._kafka.lock:
            before = self._kafka.transactional.get(self._id)
            if before is not None and before is not self:
                before.fence("another producer has taken over the transactional id, and this one is fenced")
            self._kafka.transactional[self._id] = self
            self._state = "ready"

    def begin(self) -> None:
        """See `TransactionalPort`."""
        if self._state != "ready":
            raise self._loss or self._error("_STATE", f"no transaction can begin, it is {self._state}", fatal=True)
        self._state, self._begun = "begun", None

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
        """See `ProducerPort`."""
        if self._loss is not None:
            raise self._loss
        if self._state not in {"begun", "failed"} and not self._closed:
            raise ClientError("no transaction has begun", code="_STATE", where=topic, fate="the record was not sent")
        self._kafka.end_old_transactions()

        def reported(error: object | None, record: Any) -> None:
            if error is not None and self._state == "begun":
                self._state, self._cause = "failed", self.translate(error)
            if on_delivery is not None:
                on_delivery(error, record)

        super().produce(topic, value, key, headers, partition, reported, timestamp)

    def send_offsets(self, offsets: Mapping[TP, Committed], membership: object, timeout: float) -> None:  # noqa: ARG002
        """See `TransactionalPort`."""
        self._alive()
        self._fault("send_offsets")
        member = cast("Membership", membership)
        with self._kafka.lock:
            refused = member.refuses(offsets) or _too_long(offsets)
            if refused is not None:
                self._state, self._cause = "failed", refused
                raise self._error(refused.code, refused.what, outcome="open")
            self._begin_there()
            self._offsets.append((member, dict(offsets)))
            member.group.pending[self._id] = {tp for _, sent in self._offsets for tp in sent}

    def commit(self, timeout: float) -> None:
        """See `TransactionalPort`."""
        self.flush(timeout)
        self._alive()
        if self._state == "failed":
            assert self._cause is not None
            raise self._error(self._cause.code, self._cause.what, outcome="open")
        fault = self._kafka.faults.transactions.get("commit")
        if fault is not None and not fault.applied:
            self._fault("commit", outcome="unknown")
        with self._kafka.lock:
            self._end(keep=True)
        if fault is not None:
            self._fault("commit", outcome="unknown")

    def abort(self, timeout: float) -> None:
        """See `TransactionalPort`."""
        self.flush(timeout)
        self._alive()
        self._fault("abort")
        with self._kafka.lock:
            self._end(keep=False)

    def vanish(self) -> None:
        """The process dies: its transaction stays open until somebody takes over the id, or its time is over."""
        super().vanish()
        self._loss = self._error("_DESTROY", "the process is dead", fatal=True)

    # --- the cluster's

    def fence(self, why: str, *, fenced: bool = True) -> None:
        """Abort what is open and let nothing more in."""
        self._end(keep=False)
        if self._loss is None:
            self._loss = self._error("_FENCED", why, fatal=True, fenced=fenced)
            self._state = "lost"

    def end_if_old(self, now: float) -> None:
        """A transaction that is older than its timeout is aborted."""
        if self._begun is not None and now - self._begun >= self._limit:
            self.fence(f"the transaction took longer than its timeout of {self._limit:g} s", fenced=False)

    # --- inside

    def _write(self, *args: Any) -> MemoryRecord:
        with self._kafka.lock:
            record = self._kafka.append(*args)
            tp = TP(record.topic(), record.partition())
            self._begin_there()
            self._touched.add(tp)
            self._kafka.log(tp).hold(self, record.offset())
            return record

    def _begin_there(self) -> None:
        if self._begun is None:
            self._begun = self._kafka.clock.monotonic()

    def _end(self, *, keep: bool) -> None:
        for tp in self._touched:
            self._kafka.log(tp).end_transaction(self, keep=keep)
        for member, offsets in self._offsets:
            member.group.pending.pop(self._id, None)
            if keep:
                self._kafka.write_commit(member.group, member.name, offsets)
        self._touched, self._offsets, self._begun, self._cause = set(), [], None, None
        self._state = "ready"

    def _alive(self) -> None:
        self._kafka.end_old_transactions()
        if self._loss is not None:
            raise self._loss
        if self._state not in {"begun", "failed"}:
            raise self._error("_STATE", "no transaction has begun", fatal=True)

    def _fault(self, call: str, outcome: Literal["aborted", "unknown"] = "aborted") -> None:
        fault = self._kafka.faults.transactions.pop(call, None)
        if fault is not None:
            code = fault.error.code
            fenced = code == "_FENCED"
            raise self._lose(self._error(code, fault.error.what, fatal=True, fenced=fenced, outcome=outcome))

    def _lose(self, error: TransactionError) -> TransactionError:
        self._loss, self._state = error, "lost"
        return error

    def _error(
        self,
        code: str,
        what: str,
        *,
        fatal: bool = False,
        fenced: bool = False,
        outcome: Literal["open", "aborted", "unknown"] = "aborted",
    ) -> TransactionError:
        where, todo = f"transactional id {self._id}", "give every process a slot of its own" if fenced else ""
        return TransactionError(what, outcome=outcome, fenced=fenced, code=code, fatal=fatal, where=where, todo=todo)


def _too_long(offsets: Mapping[TP, Committed]) -> ClientError | None:
    for tp, committed in offsets.items():
        if len(committed.metadata.encode()) > METADATA_LIMIT:
            return refusal("OFFSET_METADATA_TOO_LARGE", where=f"{tp.topic}[{tp.partition}]")
    return None
