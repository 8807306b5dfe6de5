"""All that the house asks of Kafka. `client/confluent` and `client/memory` fulfil it; the contract suite tests both.

A consumer belongs to one thread: every method is called from it, and the rebalance listener is called back on
it, inside `poll_chunk`, `close` or `unsubscribe` and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.errors import ClientError
    from kafkaboot.message import Headers, RawRecord


class TP(NamedTuple):
    """A topic and one of its partitions."""

    topic: str
    partition: int


class Committed(NamedTuple):
    """A group's position on one partition: the next offset to read, and what the commit said beside it."""

    offset: int | None
    metadata: str = ""


RESET = -3
"""Instead of a start: where `auto.offset.reset` says."""


class RebalanceListener(Protocol):
    """Called on the consumer's own thread."""

    def assigned(self, partitions: Sequence[TP]) -> Mapping[TP, int | None]:
        """New partitions; answers where each starts: an offset, `RESET`, or `None`: it waits for `ConsumerPort.start`.

        One that is left out starts where the client finds that the group stands.
        """

    def revoked(self, partitions: Sequence[TP]) -> None:
        """These partitions go to another member when this returns: commit now or never."""

    def lost(self, partitions: Sequence[TP]) -> None:
        """These partitions already belong to another member: a commit would be refused."""


class ConsumerPort(Protocol):
    """One member of one group."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group; a topic beginning with `^` is a pattern."""

    def poll_chunk(self, limit: int, timeout: float) -> list[RawRecord]:
        """Up to `limit` records, at once when there are any, else after `timeout` seconds an empty list.

        Raises:
            ClientError: A subscription's own error (unknown topic, permission). `fatal` ones end the consumer.
        """

    def commit(self, offsets: Mapping[TP, Committed], done: Callable[[ClientError | None], None] | None) -> None:
        """Commit.

        With `done` it returns at once and `done` is called back on this thread from a later call; without, it waits
        for the answer.

        Raises:
            ClientError: Refused or unanswered, when waited for.
        """

    def committed(self, partitions: Sequence[TP], timeout: float) -> dict[TP, Committed]:
        """What the group has committed; `offset` is `None` where it has not.

        Raises:
            ClientError: Unanswered within `timeout` seconds.
        """

    def pause(self, partitions: Sequence[TP]) -> None:
        """Stop giving out records of these partitions."""

    def resume(self, partitions: Sequence[TP]) -> None:
        """Give them out again."""

    def start(self, partition: TP, offset: int) -> None:
        """Read one that was assigned with `None`, from this offset on, which may be `RESET`.

        Raises:
            ClientError: It is too early; to be tried again.
        """

    def high_watermarks(self) -> dict[TP, int]:
        """The last known end offset of each assigned partition, from memory, without asking the broker."""

    def membership(self) -> object | None:
        """Who this member is, as of its last poll: what `TransactionalPort.send_offsets` is fenced by (KIP-447).

        `None` while it is in no generation of its group: a broker takes offsets of such a one without a look.
        """

    def close(self, timeout: float) -> None:
        """Leave the group. The listener's `revoked` is called first for what is still assigned."""


class Delivered(NamedTuple):
    """Where a published record stands."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None


class ProducerPort(Protocol):
    """One connection that writes. Any thread may call it.

    A client that is lost for good is replaced: what it had not delivered is reported as undelivered, and `produce`
    raises `BufferError` until there is another one.
    """

    @property
    def lost(self) -> ClientError | None:
        """Why the client was lost, while there is none or the new one is not trusted yet; else `None`."""

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
        """Hand over one record; partition -1 lets the partitioner choose.

        The list of headers is read before this returns and never kept: the caller may use it again.

        The callback's first argument is the client's own error object, or `None`: translating it costs more than
        delivering, so that `translate` is called on failure only.

        Raises:
            BufferError: There is no room now, or no client (`lost`): call again later.
            ClientError: Refused at once, for example because the record is too large.
        """

    def serve(self, timeout: float) -> None:
        """Run the callbacks of what is delivered, on this thread; waits up to `timeout` seconds for the first.

        Nobody has to call it: callbacks come anyway. A thread that produces without a pause calls it to make room.
        """

    def hurry(self) -> None:
        """Don't linger with what was handed over so far; returns at once."""

    def translate(self, error: object) -> ClientError:
        """The error object of a delivery callback, in the house's own words."""

    def flush(self, timeout: float) -> int:
        """Wait for what was handed over; answers how many are still undelivered."""

    def close(self, timeout: float) -> int:
        """Flush and stop; answers how many are given up."""


class TransactionalPort(ProducerPort, Protocol):
    """A producer whose records, and a group's offsets, become visible together or not at all.

    One transaction at a time, and between `begin` and its end every record belongs to it. All that is added here
    blocks and is called by one thread at a time, never by an event loop. Each call ends within its `timeout`, give or
    take a second. Whatever goes wrong is a `TransactionError`: `outcome` says what is to be believed of the
    transaction, `fatal` that this client is to be closed and never used again. A client that is lost is not replaced:
    whoever owns the id makes another one, unless the error is `fenced`.
    """

    @property
    def worn(self) -> bool:
        """Whether the client must be replaced before its next transaction, though this one ended well.

        Without KIP-890, a request that the network has kept back may still end, or add to, the next transaction of
        the same client; one that begins under a new epoch is safe.
        """

    def prepare(self, timeout: float) -> None:
        """Take over the id: whoever had it is fenced, what it left open is aborted, what it was committing is done.

        Raises:
            TransactionError: It is not taken over. `INVALID_TRANSACTION_TIMEOUT`: the broker allows less.
        """

    def begin(self) -> None:
        """Begin a transaction."""

    def send_offsets(self, offsets: Mapping[TP, Committed], membership: object, timeout: float) -> None:
        """Put a group's offsets into the transaction.

        Args:
            offsets: The next offset to read of each partition.
            membership: `ConsumerPort.membership`, taken at the poll that the records came from.
            timeout: Seconds.

        Raises:
            TransactionError: `open` if the group has gone on without this member: abort.
        """

    def commit(self, timeout: float) -> None:
        """Wait for all deliveries, then commit; returned means committed.

        An answer that does not come is asked for again, as often as `timeout` allows.

        Raises:
            TransactionError: `open`: a record was not delivered, abort. `unknown`: see there. `aborted`: the client
                was lost before it could ask for the commit.
        """

    def abort(self, timeout: float) -> None:
        """Drop what is not sent yet, and abort; the deliveries of what was dropped fail.

        Raises:
            TransactionError: No answer. Nothing of it will ever be visible: the id's next owner, or the transaction's
                timeout, ends it.
        """


@runtime_checkable
class ServesBursts(Protocol):
    """What a `ProducerPort` may offer as well when its callbacks come many at a time."""

    def after_burst(self, call: Callable[[], None]) -> None:
        """Call this after each burst of callbacks, on their thread: whoever is to be woken is woken once for all.

        A burst lasts some milliseconds at most.
        """


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as the cluster knows it.

    Attributes:
        name: Its name.
        partitions: How many it has.
        error: Kafka's name of what is wrong with it; empty when nothing is.
        replication: The copies of the partition that has the fewest; 0 where it is not known.
    """

    name: str
    partitions: int
    error: str = ""
    replication: int = 0


class TopicSetting(NamedTuple):
    """What holds for a topic under one of Kafka's names.

    Attributes:
        value: As Kafka writes it; `None` where it is a secret.
        own: It was set on the topic; else it is a default of the broker's.
    """

    value: str | None
    own: bool


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to be created. `-1` leaves the count or the replication to the broker's default."""

    name: str
    partitions: int = -1
    replication: int = -1
    config: dict[str, str] = field(default_factory=dict)


class AdminPort(Protocol):
    """What is asked of the cluster beside reading and writing. Every call raises `ClientError`."""

    def topics(self, timeout: float) -> dict[str, TopicInfo]:
        """All topics by name.

        Raises:
            BrokerUnreachableError: No broker answered within `timeout` seconds.
        """

    def create_topics(self, specs: Sequence[TopicSpec], timeout: float, *, dry_run: bool = False) -> None:
        """Create; one that exists already is left as it is. With `dry_run` the cluster says what it would refuse."""

    def add_partitions(self, topic: str, total: int, timeout: float, *, dry_run: bool = False) -> None:
        """Let a topic grow to so many partitions, and return when they can be used; Kafka refuses fewer.

        Keys are spread over all partitions there are: records of a key go to another one than before.
        """

    def topic_settings(self, topics: Sequence[str], timeout: float) -> dict[str, dict[str, TopicSetting] | ClientError]:
        """All settings of each topic by name; where the cluster does not tell those of one, its error."""

    def set_topic_settings(
        self, topic: str, settings: Mapping[str, str], timeout: float, *, dry_run: bool = False
    ) -> None:
        """Set these on a topic, all or none, and leave its others as they are (KIP-339).

        The cluster may need a moment until it tells the new ones.
        """

    def permissions(self, topics: Sequence[str], timeout: float) -> dict[str, frozenset[str] | None]:
        """What this user may do with each topic (KIP-430).

        Kafka's names of the operations, for example `WRITE`; `None` where the broker does not say.
        """

    def end_offsets(self, partitions: Sequence[TP], timeout: float) -> dict[TP, int]:
        """The high watermark of each partition."""

    def begin_offsets(self, partitions: Sequence[TP], timeout: float) -> dict[TP, int]:
        """The first offset that retention has left of each partition."""

    def delete_records(self, before: Mapping[TP, int], timeout: float) -> None:
        """Delete what stands before these offsets: Kafka deletes whole beginnings only (DeleteRecords, KIP-107)."""

    def group_offsets(self, group: str, timeout: float, partitions: Sequence[TP] | None = None) -> dict[TP, Committed]:
        """What the group has committed on these partitions, or on all that there are; only where it has."""

    def broker_setting(self, name: str, timeout: float) -> str | None:
        """A setting of the brokers, as the first of them tells it; `None` for one that it does not know."""

    def group_members(self, group: str, timeout: float) -> int:
        """How many members the group has now; 0 for a group that nobody knows."""

    def close(self) -> None:
        """Drop the connection."""


class ReaderPort(Protocol):
    """Reads partitions from any place, outside of any group. It belongs to one thread; records are read_committed.

    Attributes:
        positions: By partition the next offset to read, past markers of transactions and what compaction took.
    """

    @property
    def positions(self) -> Mapping[TP, int]:
        """See the class."""

    def begin(self, offsets: Mapping[TP, int]) -> None:
        """Read these partitions from these offsets, and nothing that was read before."""

    def poll(self, limit: int, timeout: float) -> list[RawRecord]:
        """Up to `limit` records; waits up to `timeout` seconds for the first one.

        Raises:
            ClientError: The broker refuses to give them out.
        """

    def close(self) -> None:
        """Drop the connection."""


class ClientFactory(Protocol):
    """Makes clients from the application's settings; each carries the same security settings."""

    def consumer(self, group: str, overrides: Mapping[str, object]) -> ConsumerPort:
        """A member for `group`; `overrides` are librdkafka properties of this consumer only."""

    def producer(self, overrides: Mapping[str, object]) -> ProducerPort:
        """A producer; `overrides` are librdkafka properties of this producer only."""

    def transactional(self, transactional_id: str, overrides: Mapping[str, object]) -> TransactionalPort:
        """A producer of transactions under that id, which is not taken over yet.

        `overrides` are librdkafka properties of this producer only; `transaction.timeout.ms` must be among them.
        """

    def admin(self) -> AdminPort:
        """An admin client."""

    def reader(self) -> ReaderPort:
        """What looks on."""
