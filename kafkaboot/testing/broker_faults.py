"""Faults of a broker, by order of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from kafkaboot.dev import Broker


class NotThisBrokerError(KafkabootError):
    """What was ordered cannot be done to a broker of this kind."""


def fail_commits(broker: Broker, error: str = "REBALANCE_IN_PROGRESS", times: int | None = 1) -> None:
    """Let the next commits fail, whoever sends them.

    Args:
        broker: An embedded one.
        error: Kafka's name of the error: `REBALANCE_IN_PROGRESS`, `UNKNOWN_MEMBER_ID`, `NOT_COORDINATOR`.
        times: How many; `None` for all until the broker's `clear_faults()`.

    Raises:
        NotThisBrokerError: The broker is a real one.
    """
    fail(broker, "offset_commit", error, times)


def fail_produces(
    broker: Broker, error: str = "NOT_LEADER_OR_FOLLOWER", times: int | None = 1, *, topic: str | None = None
) -> None:
    """Let the next produce requests fail, whoever sends them.

    Args:
        broker: An embedded one.
        error: Kafka's name of the error: `NOT_LEADER_OR_FOLLOWER`, `NOT_ENOUGH_REPLICAS`, `MESSAGE_TOO_LARGE`.
        times: How many; `None` for all until the broker's `clear_faults()`.
        topic: Only records for this topic.

    Raises:
        NotThisBrokerError: The broker is a real one.
    """
    fail(broker, "produce", error, times, topic=topic)


def fail(broker: Broker, api: str, error: str, times: int | None = 1, *, topic: str | None = None) -> None:
    """Let the next requests of a kind fail.

    Args:
        broker: An embedded one.
        api: Kafka's name of the request, in lower case with underscores: `join_group`, `end_txn`.
        error: Kafka's name of the error.
        times: How many; `None` for all until the broker's `clear_faults()`.
        topic: Only requests that concern this topic.

    Raises:
        NotThisBrokerError: The broker is a real one.
    """
    order: Any = getattr(broker, "fail", None)
    if order is None:
        raise NotThisBrokerError(
            f"a broker of kind {broker.kind} does not fail by order",
            todo='run this test on the embedded one (@pytest.mark.kafka("embedded")), or put a ChaosProxy before it',
        )
    order(api, error=error, times=times, topic=topic)


def restart_broker(broker: Broker, *, clean: bool = True) -> None:
    """End a broker and start it again on the same port. Blocks until it answers.

    Topics and offsets stay on a local Kafka, and on an embedded one with a data directory; one in memory forgets them.

    Args:
        broker: One that was started here.
        clean: Let it end in order; else by SIGKILL.

    Raises:
        NotThisBrokerError: It is not ours to end.
    """
    restart: Any = getattr(broker, "restart", None)
    if restart is None:
        raise NotThisBrokerError(
            f"a broker of kind {broker.kind} cannot be restarted from here",
            todo='use a local or an embedded one: @pytest.mark.kafka("local")',
        )
    restart(clean=clean)
