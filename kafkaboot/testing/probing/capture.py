"""Clients that let nothing out: what is published is kept, everything else is refused."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

from kafkaboot.client.memory import MemoryRecord
from kafkaboot.errors import ClientError, KafkabootError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.client import TP, Committed
    from kafkaboot.message import Headers, RawRecord

During = Literal["start", "handler", "stop"]


class ProbeError(KafkabootError):
    """Something cannot be done in a probe."""


class Captured(NamedTuple):
    """A record that would have been published.

    Attributes:
        during: While components started, while the handler ran, or afterwards.
        record: The record; its offset is made up, and its partition is -1 where the partitioner would have chosen it.
    """

    during: During
    record: RawRecord


class Capture:
    """A `ProducerPort` that keeps what it is given, and reports it as delivered before `produce` returns.

    Attributes:
        during: What goes on now.
        published: What was given so far.
        lost: Never: there is no client to lose.
    """

    lost: ClientError | None = None

    def __init__(self) -> None:
        self.during: During = "start"
        self.published: list[Captured] = []
        self._offsets: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

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
        """See `ProducerPort`. The receipt has partition 0 where none was chosen, and offsets that count from 0."""
        stamp = timestamp or time.time_ns() // 1_000_000
        with self._lock:
            place = max(partition, 0)
            offset = self._offsets[topic, place]
            self._offsets[topic, place] += 1
            given = MemoryRecord(topic, partition, offset, value, key, headers, stamp)
            self.published.append(Captured(self.during, given))
        if on_delivery is not None:
            on_delivery(None, MemoryRecord(topic, place, offset, value, key, headers, stamp))

    def serve(self, timeout: float) -> None:
        """See `ProducerPort`. Everything is reported already."""

    def hurry(self) -> None:
        """See `ProducerPort`. Nothing lingers here."""

    def translate(self, error: object) -> ClientError:
        """See `ProducerPort`."""
        return error if isinstance(error, ClientError) else ClientError(str(error))

    def flush(self, timeout: float) -> int:  # noqa: ARG002 - nothing is on its way
        """See `ProducerPort`."""
        return 0

    def close(self, timeout: float) -> int:  # noqa: ARG002 - nothing is on its way
        """See `ProducerPort`."""
        return 0


class CaptureTransactional(Capture):
    """A `TransactionalPort`: its records are captured by the commit, and an aborted transaction's never.

    Args:
        capture: Where they go.
    """

    worn = False

    def __init__(self, capture: Capture) -> None:
        super().__init__()
        self._into = capture

    def prepare(self, timeout: float) -> None:
        """See `TransactionalPort`. Nobody else has the id."""

    def begin(self) -> None:
        """See `TransactionalPort`."""
        self.during = self._into.during

    def send_offsets(self, offsets: Mapping[TP, Committed], membership: object, timeout: float) -> NoReturn:  # noqa: ARG002
        """Refused: in a probe no group is joined.

        Raises:
            ProbeError: Always.
        """
        raise _refused("a commit of offsets")

    def commit(self, timeout: float) -> None:  # noqa: ARG002 - nothing is waited for
        """See `TransactionalPort`."""
        self._into.published += self.published
        self.published = []

    def abort(self, timeout: float) -> None:  # noqa: ARG002 - nothing is waited for
        """See `TransactionalPort`."""
        self.published = []


class CapturingClients:
    """A `ClientFactory` whose producers all capture into one place; it makes nothing else."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def producer(self, overrides: Mapping[str, object]) -> Capture:  # noqa: ARG002 - a network's properties
        """See `ClientFactory`."""
        return self._capture

    def transactional(self, transactional_id: str, overrides: Mapping[str, object]) -> CaptureTransactional:  # noqa: ARG002
        """See `ClientFactory`."""
        return CaptureTransactional(self._capture)

    def consumer(self, group: str, overrides: Mapping[str, object]) -> NoReturn:  # noqa: ARG002 - refused
        """Refused: in a probe nothing is read, and no group is joined.

        Raises:
            ProbeError: Always.
        """
        raise _refused(f"a consumer of group {group!r}")

    def admin(self) -> NoReturn:
        """Refused: in a probe nothing asks a cluster, or changes it.

        Raises:
            ProbeError: Always.
        """
        raise _refused("an admin client")

    def reader(self) -> NoReturn:
        """Refused: in a probe nothing is read.

        Raises:
            ProbeError: Always.
        """
        raise _refused("a reader")


def _refused(what: str) -> ProbeError:
    return ProbeError(
        f"a component asked for {what}, and a probe has no way to Kafka",
        todo="probe with --no-start if it is a start hook that asks, or give the component a double in a saved test",
    )
