"""What a test lets go wrong, and Kafka's errors in the house's words."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from kafkaboot.errors import ClientError

_RETRIABLE = frozenset({
    "_TIMED_OUT", "_TRANSPORT", "_MSG_TIMED_OUT", "UNKNOWN_TOPIC_OR_PART", "NOT_COORDINATOR",
    "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "REQUEST_TIMED_OUT", "REBALANCE_IN_PROGRESS",
    "UNSTABLE_OFFSET_COMMIT", "NOT_LEADER_FOR_PARTITION", "NOT_ENOUGH_REPLICAS",
})  # fmt: skip
_FATAL = frozenset({"_FATAL", "_FENCED", "FENCED_INSTANCE_ID"})


def refusal(code: str, what: str = "", *, where: str = "", fate: str = "") -> ClientError:
    """The error of that name, with the properties that a cluster's error of that name has."""
    text = f"{what} ({code})" if what else f"in memory: {code}"
    return ClientError(text, code=code, retriable=code in _RETRIABLE, fatal=code in _FATAL, where=where, fate=fate)


class CommitFault(NamedTuple):
    """How one commit goes wrong; one that is `applied` is written and only its answer is an error."""

    error: ClientError
    applied: bool


class Faults:
    """Each is used up by the calls that it lets fail.

    Attributes:
        commits: For the next commits, in order.
        reads: For the next questions for committed offsets.
        deliveries: For the next records that are produced: reported, and not written.
        transactions: By call (`init_transactions`, `send_offsets`, `commit`, `abort`), how the next one goes wrong.
        full: How many of the next calls of `produce` find the buffer full.
        lost: Why producers have no client, while they have none.
        hold_deliveries: Whether reports of deliveries wait for `serve`, `flush` or `MemoryKafka.deliver`.
    """

    def __init__(self) -> None:
        self.commits: deque[CommitFault] = deque()
        self.reads: deque[ClientError] = deque()
        self.deliveries: deque[ClientError] = deque()
        self.transactions: dict[str, CommitFault] = {}
        self.full = 0
        self.lost: ClientError | None = None
        self.hold_deliveries = False

    def fail_commits(self, code: str, times: int = 1, *, applied: bool = False) -> None:
        """Let the next commits fail."""
        self.commits.extend([CommitFault(refusal(code), applied)] * times)

    def fail_reads(self, code: str, times: int = 1) -> None:
        """Let the next questions for committed offsets fail."""
        self.reads.extend([refusal(code)] * times)

    def fail_deliveries(self, code: str, times: int = 1) -> None:
        """Let the next records not be delivered."""
        self.deliveries.extend([refusal(code)] * times)

    def fail_transaction(self, call: str, code: str, *, applied: bool = False) -> None:
        """Let the next call of that kind lose its client; a commit that is `applied` has been written by then."""
        self.transactions[call] = CommitFault(refusal(code), applied)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.__init__()  # type: ignore[misc]
