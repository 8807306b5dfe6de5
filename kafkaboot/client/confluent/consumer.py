"""A member of a group, on confluent-kafka."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from kafkaboot.client import RESET, TP, Committed
from kafkaboot.client.confluent.comeback import Comeback
from kafkaboot.client.confluent.librdkafka import logger
from kafkaboot.client.confluent.translate import client_error
from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client import RebalanceListener
    from kafkaboot.message import RawRecord

log = logging.getLogger("kafkaboot.client")

_error = Message.error  # unbound: a quarter of the cost of `methodcaller`, for every record
_NO_GENERATION = b"CGMDv2:\xff\xff\xff\xff"
"""How librdkafka writes down a member whose generation is -1 (`rd_kafka_consumer_group_metadata_write`)."""
FEW = 8
"""Records of a poll up to which the next poll waits for a first record at once."""
ANY = 0
"""Where a partition is assigned that is paused until it is told where to start."""
RESETS = {
    **dict.fromkeys(("smallest", "earliest", "beginning"), OFFSET_BEGINNING),
    **dict.fromkeys(("largest", "latest", "end"), OFFSET_END),
}
WAIT = 10.0
"""Seconds that a commit which is waited for may take."""
FIRST_ANSWER = 1.0
"""Seconds that closing waits for the coordinator's first answer to a member that has just begun to join."""


class ConfluentConsumer:
    """`ConsumerPort` on librdkafka. Every method belongs to the thread that polls.

    Args:
        config: librdkafka properties. Automatic commits and offset storing must be off.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        protocol = str(config.get("group.protocol", "classic")).lower()
        strategy = str(config.get("partition.assignment.strategy", "range,roundrobin"))
        self._incremental = protocol == "consumer" or "cooperative" in strategy
        self._reset = RESETS.get(str(config.get("auto.offset.reset", "latest")), OFFSET_INVALID)
        self._listener: RebalanceListener | None = None
        self._assigned: list[TP] = []
        self._called_back = False
        # A static member stays in the group when it closes, and KIP-848's heartbeat leaves at any time.
        self._says_goodbye = protocol == "classic" and not config.get("group.instance.id")
        self._answers: list[Callable[[ClientError | None], None]] = []
        self._plenty = False
        self._errors: list[ClientError] = []
        self._fatal: ClientError | None = None
        self._comeback = Comeback(config)
        self._consumer: Any = Consumer(
            {
                **config,
                "on_commit": self._on_commit,
                "error_cb": self._on_error,
                "logger": logger(),
            }
        )

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `ConsumerPort`."""
        self._listener = listener
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll_chunk(self, limit: int, timeout: float) -> list[RawRecord]:
        """See `ConsumerPort`.

        `consume(n, t)` waits until it has n records or the time is over. So what has arrived is taken without
        waiting; only when there is nothing, a first record is waited for. Each call gives up the interpreter's
        lock, and getting it back from busy handlers costs more than the call. After a chunk of a few, nothing has
        arrived yet in all likelihood, and the first look is left out.
        """
        if self._errors:
            raise self._errors.pop(0)
        self._comeback.look(self._consumer)
        messages = self._consumer.consume(limit, 0) if self._plenty or not timeout else []
        if not messages and timeout:
            first = self._consumer.poll(timeout)
            if first is not None:
                messages = self._consumer.consume(limit - 1, 0) if limit > 1 else []
                messages.insert(0, first)
        self._plenty = len(messages) > FEW
        if self._fatal is not None:
            raise self._fatal
        records: list[RawRecord] = messages
        if any(map(_error, messages)):
            records = [message for message in messages if message.error() is None]
            self._sort_out(messages)
            if not records and self._errors:
                raise self._errors.pop(0)
        return records

    def commit(self, offsets: Mapping[TP, Committed], done: Callable[[ClientError | None], None] | None) -> None:
        """See `ConsumerPort`."""
        wanted = [
            TopicPartition(tp.topic, tp.partition, offset, metadata)
            if metadata
            else TopicPartition(tp.topic, tp.partition, offset)
            for tp, (offset, metadata) in offsets.items()
            if offset is not None
        ]
        if done is None:
            self._commit_and_wait(wanted)
            return
        self._answers.append(done)
        try:
            self._consumer.commit(offsets=wanted, asynchronous=True)
        except KafkaException as error:
            self._answers.remove(done)
            raise client_error(error) from error

    def committed(self, partitions: Sequence[TP], timeout: float) -> dict[TP, Committed]:
        """See `ConsumerPort`."""
        try:
            answer = self._consumer.committed([TopicPartition(*tp) for tp in partitions], timeout)
        except KafkaException as error:
            raise client_error(error) from error
        found = {}
        for item in answer:
            if item.error is not None:
                raise client_error(item.error)
            offset = item.offset if item.offset >= 0 else None
            found[TP(item.topic, item.partition)] = Committed(offset, (item.metadata or "").rstrip("\0"))
        return found

    def pause(self, partitions: Sequence[TP]) -> None:
        """See `ConsumerPort`."""
        self._if_assigned(self._consumer.pause, partitions)

    def resume(self, partitions: Sequence[TP]) -> None:
        """See `ConsumerPort`."""
        self._if_assigned(self._consumer.resume, partitions)

    def start(self, partition: TP, offset: int) -> None:
        """See `ConsumerPort`."""
        try:
            self._consumer.seek(TopicPartition(*partition, self._offset(offset)))
        except KafkaException as error:
            raise client_error(error) from error
        self.resume([partition])

    def membership(self) -> object | None:
        """See `ConsumerPort`."""
        written: bytes = self._consumer.consumer_group_metadata()
        return None if written.startswith(_NO_GENERATION) else written

    def high_watermarks(self) -> dict[TP, int]:
        """See `ConsumerPort`."""
        ends = {}
        for tp in self._assigned:
            try:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(*tp), cached=True)
            except KafkaException:
                continue  # assigned a moment ago, nothing fetched yet: there is no figure to give
            if high >= 0:
                ends[tp] = high
        return ends

    def close(self, timeout: float) -> None:
        """See `ConsumerPort`. librdkafka may wait for a broker that is away; then it is left behind.

        The listener is told here, since librdkafka would tell it on the thread that is left behind.
        """
        listener, self._listener = self._listener, None
        until = time.monotonic() + timeout
        try:
            if listener is not None and self._assigned:
                listener.revoked(list(self._assigned))
            if listener is not None and self._says_goodbye:
                self._leave(time.monotonic() + timeout / 2)
        finally:
            _within(max(0.0, until - time.monotonic()), self._consumer.close)

    def _offset(self, start: int | None) -> int:
        """What librdkafka calls it. Without an offset it would ask for the committed one, see `consumer/stands.py`."""
        return ANY if start is None else self._reset if start == RESET else start

    # --- callbacks, on the polling thread

    def _on_assign(self, _: Any, partitions: list[Any]) -> None:
        tps = [TP(item.topic, item.partition) for item in partitions]
        if self._incremental:
            self._assigned += tps
        else:
            self._assigned = list(tps)
        starts = self._listener.assigned(tps) if self._listener else {}
        wanted = [TopicPartition(*tp, self._offset(starts.get(tp, OFFSET_INVALID))) for tp in tps]
        if self._incremental:
            self._consumer.incremental_assign(wanted)
        else:
            self._consumer.assign(wanted)
        # librdkafka keeps a partition paused across a re-assignment (confluent-kafka-go#193).
        if wanted:
            self._consumer.resume(wanted)
        self.pause([tp for tp, start in starts.items() if start is None])

    def _on_revoke(self, _: Any, partitions: list[Any]) -> None:
        self._gone(partitions, self._listener.revoked if self._listener else None)

    def _on_lost(self, _: Any, partitions: list[Any]) -> None:
        self._gone(partitions, self._listener.lost if self._listener else None)

    def _gone(self, partitions: list[Any], tell: Callable[[Sequence[TP]], None] | None) -> None:
        tps = [TP(item.topic, item.partition) for item in partitions]
        if tell is not None:
            self._called_back = True
            try:
                tell(tps)
            finally:
                self._called_back = False
        self._assigned = [tp for tp in self._assigned if tp not in set(tps)]

    def _on_commit(self, error: Any, partitions: list[Any]) -> None:
        if not self._answers:
            return
        if error is None:
            error = next((item.error for item in partitions or () if item.error is not None), None)
        self._answers.pop(0)(None if error is None else client_error(error))

    def _on_error(self, error: Any) -> None:
        if error.fatal():
            self._fatal = client_error(error)
        elif error.name() == "_TRANSPORT":
            log.debug("librdkafka: %s", error)  # one broker of several; _ALL_BROKERS_DOWN follows if it matters
        else:
            self._errors.append(client_error(error))

    # --- inside

    def _leave(self, until: float) -> None:
        """Leave the group before the client is closed.

        When a rebalance is under way and nothing is assigned, librdkafka's own `close` goes without a word to the
        broker, and the whole group stands still until that member's session has run out. Unsubscribed, the client
        waits for the rebalance, leaves, and forgets its member id. Before it has one, the broker may have given it out
        already and wait for it: then it is waited for, shortly.
        """
        known = min(until, time.monotonic() + FIRST_ANSWER)
        try:
            while not self._consumer.memberid() and time.monotonic() < known:
                self._consumer.poll(0.02)
            self._consumer.unsubscribe()
            while self._consumer.memberid() and time.monotonic() < until:
                self._consumer.poll(0.02)
        except KafkaException as error:
            log.warning("leaving the group: %s", client_error(error))

    def _sort_out(self, messages: list[Any]) -> None:
        for message in messages:
            error = message.error()
            if error is not None and error.name() != "_PARTITION_EOF":
                where = f"{message.topic()}[{message.partition()}]" if message.topic() else ""
                self._errors.append(client_error(error, where=where))

    def _commit_and_wait(self, wanted: list[Any]) -> None:
        answer: list[Any] = []

        def commit() -> None:
            answer.extend(self._consumer.commit(offsets=wanted, asynchronous=False) or ())

        try:
            if self._called_back:
                # A call from another thread waits until the callback has returned, which would wait for that call.
                commit()
            elif not _within(WAIT, commit):
                raise ClientError(f"a commit was not answered within {WAIT:.0f} s", code="_TIMED_OUT", retriable=False)
        except KafkaException as error:
            raise client_error(error) from error
        for item in answer:
            if item.error is not None:
                raise client_error(item.error)

    def _if_assigned(self, call: Callable[[list[Any]], None], partitions: Sequence[TP]) -> None:
        mine = set(self._assigned)
        wanted = [TopicPartition(*tp) for tp in partitions if tp in mine]
        if wanted:
            call(wanted)


def _within(timeout: float, call: Callable[[], None]) -> bool:
    """Run a call that has no timeout of its own on a thread that can be left behind; answers whether it ended."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="kafkaboot-client-call", daemon=True)
    thread.start()
    thread.join(timeout)
    if errors:
        raise errors[0]
    return not thread.is_alive()
