"""What the engine asks of a group's transactions; `transaction` fulfils it. A group without any asks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kafkaboot.client import TP, ConsumerPort
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.consumer.offsets import Assignment
    from kafkaboot.consumer.route import Failed, Verdict
    from kafkaboot.errors import KafkabootError
    from kafkaboot.hooks import OnCommit
    from kafkaboot.message import RawRecord


class Judged(NamedTuple):
    """A record whose attempt fell together with its transaction: what was decided of it holds after the replay.

    Attributes:
        failed: The attempt.
        verdict: What was decided.
        due: On the monotonic clock, when it may be tried again.
    """

    failed: Failed
    verdict: Verdict
    due: float


class Transacting(Protocol):
    """The transactions of one group: records published and offsets become visible together.

    What is settled of its partitions is committed by nobody else. All of it belongs to the poller's thread, save for
    `stained` and `taint`, which crews call.

    Attributes:
        group: The group's id.
        trouble: Why none can begin now; `None` while they can.
        door: Where what its handlers publish comes in.
    """

    group: str
    trouble: KafkabootError | None
    door: Any

    def attach(self, reopen: Callable[[], None], listeners: Sequence[OnCommit]) -> None:
        """The group begins.

        Args:
            reopen: Lets crews take up lanes that were closed for a moment.
            listeners: Who wants to hear of commits.
        """

    def wait(self, holdings: Mapping[TP, Holding]) -> float:
        """Seconds that the next poll may wait for records, so that no transaction waits for the poll."""

    def turn(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]) -> None:
        """One round, right behind a poll; never waits.

        Raises:
            KafkabootError: The group can go no further.
        """

    def finish(
        self,
        consumer: ConsumerPort,
        leaving: Mapping[TP, Holding],
        holdings: Mapping[TP, Holding],
        until: float,
        poll: Callable[[], None] | None,
    ) -> None:
        """End what is open with all that is settled of `leaving`; nothing of those enters a transaction afterwards.

        Args:
            consumer: The client.
            leaving: Partitions that are given back; nobody begins a record of theirs any more.
            holdings: All that are held.
            until: On the group's clock; afterwards the transaction is aborted.
            poll: Keeps the member in its group meanwhile; `None` inside a rebalance callback.
        """

    def lose(self, assignments: Iterable[Assignment]) -> None:
        """They are somebody else's already: what they have in the open transaction must not be committed."""

    def close(self) -> None:
        """Abort what is open and drop the client."""

    def stained(self, assignment: Assignment, record: RawRecord) -> bool:
        """Whether the record, which has failed, has published something into the open transaction."""

    def taint(self, why: str) -> None:
        """The open transaction must be aborted."""
