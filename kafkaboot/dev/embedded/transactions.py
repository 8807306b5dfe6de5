"""Transactions: who may write in one, what belongs to it, and how it ends."""

from __future__ import annotations

import logging
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.log import BATCH, TRANSACTIONAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kafkaboot.dev.embedded.journal import Entry
    from kafkaboot.dev.embedded.log import PartitionLog
    from kafkaboot.dev.embedded.node import Node
    from kafkaboot.dev.embedded.offsets import Committed

log = logging.getLogger("kafkaboot.embedded")

LONGEST = 900.0
"""Seconds that a transaction may take, Kafka's `transaction.max.timeout.ms`."""
LAST_EPOCH = 2**15 - 1
FIRST_ID = 1000
BLOCK = 1000
"""Producer ids that are taken from the journal at once; after a kill the rest of them is not used."""
NOBODY = -1
"""Where a producer id or an epoch is not given or not known."""
_ATTRIBUTES = 22  # of the two bytes the second


class State(StrEnum):
    """Where a transactional id stands; the names are Kafka's, some requests give and take them."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


class ProducerEpoch(NamedTuple):
    """An instance of a producer: its id, and its epoch, which fences the instances before it."""

    producer_id: int
    epoch: int


class Transaction:
    """What is known of one transactional id.

    Attributes:
        current: Who may write.
        previous: Whom the last bump replaced, if it may ask again: it may have missed the answer (KIP-360).
        timeout: Seconds.
        began: Unix time, while one is going on.
        partitions: What was added to the one that is going on.
        groups: Whose offsets wait for its end.
    """

    def __init__(self, transactional_id: str, producer_id: int) -> None:
        self.transactional_id = transactional_id
        self.current = ProducerEpoch(producer_id, NOBODY)
        self.previous = ProducerEpoch(NOBODY, NOBODY)
        self.timeout = 0.0
        self.state = State.EMPTY
        self.began = 0.0
        self.partitions: set[tuple[str, int]] = set()
        self.groups: set[str] = set()

    def begin(self) -> None:
        """The first partition or group of a transaction begins it."""
        if self.state is not State.ONGOING:
            self.state, self.began = State.ONGOING, time.time()

    @property
    def unfinished(self) -> bool:
        """Whether it is decided, and not all who belong to it know."""
        return self.state is not State.ONGOING and bool(self.partitions or self.groups)

    @property
    def entry(self) -> Entry:
        """It as the journal has it."""
        producers = [*self.current, *self.previous]
        belongs = [sorted(self.partitions), sorted(self.groups)]
        return ["transaction", self.transactional_id, producers, self.timeout, self.state, self.began, *belongs]


class Transactions:
    """The transactional ids of the broker. Every request is answered at once, so that none is ever half done."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._by_id: dict[str, Transaction] = {}
        self._next = self._reserved = FIRST_ID
        node.chores.append(lambda _: self.expire(time.time()))

    def __iter__(self) -> Iterator[Transaction]:
        return iter(list(self._by_id.values()))

    def get(self, transactional_id: str) -> Transaction | None:
        """What is known of an id."""
        return self._by_id.get(transactional_id)

    # --- who may write

    def new_producer(self) -> ProducerEpoch:
        """An id that no other producer has or had."""
        if self._next >= self._reserved:
            self._reserved = self._next + BLOCK
            self._node.journal.write("producers", self._reserved)
        self._next += 1
        return ProducerEpoch(self._next, 0)

    def init(
        self, transactional_id: str, timeout: float, expected: ProducerEpoch
    ) -> tuple[ErrorCode, ProducerEpoch | None]:
        """The next epoch of a transactional id. What its earlier instances left open is aborted, and they are fenced.

        Args:
            transactional_id: Whose.
            timeout: Seconds that its transactions may take.
            expected: Who asks, when it is one that goes on after an error (KIP-360).
        """
        if not transactional_id:
            return ErrorCode.invalid_request, None
        if not 0 < timeout <= LONGEST:
            return ErrorCode.invalid_transaction_timeout, None
        one = self._settled(transactional_id)
        if one is None:
            one = self._by_id[transactional_id] = Transaction(transactional_id, self.new_producer().producer_id)
        if NOBODY in {expected.producer_id, one.current.epoch}:
            if one.state is State.ONGOING:
                self._fence(one)
            self._bump(one, ProducerEpoch(NOBODY, NOBODY))
        elif expected == one.current:
            if one.state is State.ONGOING:
                self._fence(one)
            else:
                self._bump(one, expected)
        else:
            if one.state is State.ONGOING and expected.producer_id == one.current.producer_id:
                self._fence(one)  # a real Kafka looks at the epoch only when nothing is open
            if expected != one.previous:
                return ErrorCode.producer_fenced, None
        one.timeout, one.state = timeout, State.EMPTY
        self._keep(one)
        return ErrorCode.none, one.current

    def _bump(self, one: Transaction, previous: ProducerEpoch) -> None:
        one.previous = previous
        if one.current.epoch >= LAST_EPOCH - 1:
            one.current = self.new_producer()
        else:
            one.current = one.current._replace(epoch=one.current.epoch + 1)

    def refusal(self, transactional_id: str, who: ProducerEpoch) -> ErrorCode:
        """Why a producer must not go on in the name of this id; `none` when it may."""
        one = self._settled(transactional_id)
        if one is None or one.current.producer_id != who.producer_id:
            return ErrorCode.invalid_producer_id_mapping
        return ErrorCode.none if one.current == who else ErrorCode.producer_fenced

    def admits(self, partition: PartitionLog, raw: bytes, transactional_id: str | None) -> ErrorCode:
        """Whether a batch may be written, as far as transactions go."""
        if len(raw) < BATCH.size:
            return ErrorCode.none  # the log says what is wrong with it
        if not raw[_ATTRIBUTES] & TRANSACTIONAL:
            return ErrorCode.none  # the log keeps it apart from a transaction of its producer's
        if transactional_id is None:
            return ErrorCode.transactional_id_authorization_failed
        refused = self.refusal(transactional_id, ProducerEpoch(*BATCH.unpack_from(raw)[9:11]))
        if refused is not ErrorCode.none:
            return ErrorCode.invalid_producer_epoch if refused is ErrorCode.producer_fenced else refused
        one = self._by_id[transactional_id]
        ours = one.state is State.ONGOING and (partition.topic, partition.index) in one.partitions
        return ErrorCode.none if ours else ErrorCode.invalid_txn_state

    # --- what belongs to it

    def add(self, transactional_id: str, partitions: Iterable[tuple[str, int]]) -> None:
        """Partitions that the transaction is about to write to."""
        one = self._by_id[transactional_id]
        one.begin()
        one.partitions |= set(partitions)
        self._keep(one)

    def add_group(self, transactional_id: str, group_id: str) -> None:
        """A group whose offsets will be committed with the transaction."""
        one = self._by_id[transactional_id]
        one.begin()
        one.groups.add(group_id)
        self._keep(one)

    def takes_offsets(self, transactional_id: str, who: ProducerEpoch, group_id: str) -> ErrorCode:
        """Whether a producer may commit a group's offsets in the transaction that is going on."""
        refused = self.refusal(transactional_id, who)
        if refused is not ErrorCode.none:
            return refused
        one = self._by_id[transactional_id]
        ours = one.state is State.ONGOING and group_id in one.groups
        return ErrorCode.none if ours else ErrorCode.invalid_txn_state

    def stage(self, transactional_id: str, group_id: str, offsets: Mapping[tuple[str, int], Committed]) -> None:
        """Offsets that count when the transaction is committed."""
        self._node.groups.remember(group_id)
        self._node.offsets.stage(self._by_id[transactional_id].current.producer_id, group_id, offsets)

    # --- how it ends

    def end(self, transactional_id: str, *, commit: bool) -> ErrorCode:
        """Commit or abort. The same end again is acknowledged again: its first answer may have been lost."""
        one = self._by_id[transactional_id]
        ended = State.COMPLETE_COMMIT if commit else State.COMPLETE_ABORT
        if one.state is State.ONGOING:
            self._finish(one, ended)
        return ErrorCode.none if one.state is ended else ErrorCode.invalid_txn_state

    def expire(self, now: float) -> None:
        """Abort what takes longer than its producer said, and fence that producer: it may be gone or hang."""
        for one in self:
            if one.state is State.ONGOING and now - one.began > one.timeout:
                self._fence(one)

    def _settled(self, transactional_id: str) -> Transaction | None:
        """What is known of an id, after what a full disk kept from being finished was finished."""
        one = self._by_id.get(transactional_id)
        if one is not None and one.unfinished:
            self._finish(one, one.state)
        return one

    def _fence(self, one: Transaction) -> None:
        one.previous = one.current
        one.current = one.current._replace(epoch=one.current.epoch + 1)
        self._finish(one, State.COMPLETE_ABORT)

    def _finish(self, one: Transaction, ended: State) -> None:
        one.state = ended  # what is in the journal now will be finished, whatever happens
        self._keep(one)
        for name, index in sorted(one.partitions):
            partition = self._node.topics.partition(name, index)
            if partition is not None:
                partition.mark(*one.current, commit=ended is State.COMPLETE_COMMIT)
        for group_id in sorted(one.groups):
            self._node.offsets.complete(one.current.producer_id, group_id, ended is State.COMPLETE_COMMIT)
        one.partitions, one.groups = set(), set()
        self._keep(one)

    # --- what outlives the process

    def _keep(self, one: Transaction) -> None:
        self._node.journal.write(*one.entry)

    def entries(self) -> Iterator[Entry]:
        """What a journal must have taken down to come to this."""
        yield ["producers", self._reserved]
        for one in self:
            yield one.entry

    def replay(self, kind: str, *fields: Any) -> None:
        """Take up what the journal has taken down."""
        if kind == "producers":
            self._next = self._reserved = fields[0]
            return
        if kind != "transaction":
            raise ValueError(f"the journal has an entry that is not known: {kind}")
        transactional_id, producers, timeout, state, began, partitions, groups = fields
        one = self._by_id[transactional_id] = Transaction(transactional_id, producers[0])
        one.current, one.previous = ProducerEpoch(*producers[:2]), ProducerEpoch(*producers[2:])
        one.timeout, one.state, one.began = timeout, State(state), began
        one.partitions, one.groups = {(name, index) for name, index in partitions}, set(groups)

    def recover(self) -> None:
        """Finish what was decided when the process ended; what is open then and belongs to nobody is aborted."""
        ongoing: set[tuple[int, str, int]] = set()
        for one in self:
            if one.state is State.ONGOING:
                ongoing |= {(one.current.producer_id, *partition) for partition in one.partitions}
            elif one.unfinished:
                self._finish(one, one.state)
        for topic in self._node.topics:
            for partition in topic.partitions:
                # The journal may have lost more than the log when the machine went down.
                self._next = max(self._next, *partition.producers, FIRST_ID)
                for producer_id in list(partition.open):
                    if (producer_id, topic.name, partition.index) not in ongoing:
                        log.warning(
                            "%s-%d: records of producer %d belong to no transaction that is known: they are aborted",
                            topic.name, partition.index, producer_id,
                        )  # fmt: skip
                        epoch = partition.producers[producer_id].epoch
                        partition.mark(producer_id, epoch, commit=False)
