"""What every broker of the desk can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from types import TracebackType


class BrokerStartError(KafkabootError):
    """A broker of the desk cannot be started here, or died while starting."""


class NotInstalledError(BrokerStartError):
    """What this kind of broker stands on (Java, Maven, a Docker engine, an extra) is not on this machine."""


class Broker(Protocol):
    """A Kafka for development and tests, bound to the loopback and to the life of this process."""

    kind: str

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, for this process and others of this machine; known once started."""

    def start(self) -> None:
        """Return when the broker answers. Blocks; a second call does nothing.

        Raises:
            BrokerStartError: It cannot run here, or did not answer in time; the text says what to do.
        """

    def stop(self) -> None:
        """End it and remove what was temporary. A second call does nothing."""

    def describe(self) -> str:
        """One line for the banner: what it is, where it listens, what it keeps."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
