"""Kafka on your desk: a real one on the JVM, one in a container, one in Python in a child process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.dev.broker import Broker, BrokerStartError, NotInstalledError

if TYPE_CHECKING:
    from kafkaboot.dev.settings import BrokerSettings

__all__ = ["Broker", "BrokerStartError", "NotInstalledError", "broker_for"]


def broker_for(kind: str, settings: BrokerSettings | None = None) -> Broker:
    """The broker of a kind, not yet started; only that kind's dependencies are loaded.

    Args:
        kind: `local`, `container` or `embedded`.
        settings: `kafkaboot.broker`; its defaults when left out.

    Raises:
        BrokerStartError: There is no such kind.
    """
    if kind == "embedded":
        from kafkaboot.dev.embedded import EmbeddedKafka

        if settings is None:
            return EmbeddedKafka()
        return EmbeddedKafka(data_dir=settings.embedded.data_dir, port=settings.embedded.port)
    if kind == "local":
        from kafkaboot.dev.local import LocalKafka

        if settings is None:
            return LocalKafka()
        return LocalKafka(data_dir=settings.local.data_dir, port=settings.local.port, heap=settings.local.heap)
    if kind == "container":
        from kafkaboot.dev.container import ContainerKafka

        return ContainerKafka() if settings is None else ContainerKafka(image=settings.container.image)
    raise BrokerStartError(f"there is no broker of kind {kind!r} to start", todo="choose local, container or embedded")
