"""The best broker that this machine can give to tests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

from kafkaboot.dev import BrokerStartError, broker_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from kafkaboot.dev import Broker

log = logging.getLogger("kafkaboot.testing")

KINDS = ("container", "local", "embedded")


class Environment:
    """A started broker. Leaving it as a context manager stops it.

    Attributes:
        broker: The broker.
        passed_over: Why the kinds before it could not be had, by kind.
    """

    def __init__(self, broker: Broker, passed_over: dict[str, BrokerStartError]) -> None:
        self.broker, self.passed_over = broker, passed_over

    @property
    def kind(self) -> str:
        """`container`, `local` or `embedded`."""
        return self.broker.kind

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`."""
        return self.broker.bootstrap_servers

    def stop(self) -> None:
        """End the broker; a second call does nothing."""
        self.broker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def create_test_environment(kinds: Sequence[str] = KINDS) -> Environment:
    """Start the first broker that can be had: in a container (Testcontainers), on the JVM, else the embedded one.

    Args:
        kinds: What to try, in this order. `("container", "local")` wants a real Kafka or none.

    Raises:
        BrokerStartError: None can be had; the text has the reason for each.
    """
    passed_over: dict[str, BrokerStartError] = {}
    for kind in kinds:
        broker = broker_for(kind)
        try:
            broker.start()
        except BrokerStartError as error:
            log.info("no %s broker here: %s", kind, error)
            passed_over[kind] = error
        else:
            return Environment(broker, passed_over)
    reasons = "; ".join(f"{kind}: {error}" for kind, error in passed_over.items())
    raise BrokerStartError(f"no broker can be had here ({reasons})")
