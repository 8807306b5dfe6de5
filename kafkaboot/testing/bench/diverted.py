"""Clients of an application that is measured: what it publishes goes to topics of the measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from kafkaboot.testing.bench.ground import BenchError
from kafkaboot.testing.bench.ports import DivertedPort

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafkaboot.client import ConsumerPort, ReaderPort
    from kafkaboot.testing.bench.ground import Ground


class Places(dict[str, str]):
    """Where records for a topic go instead; the topic there is made when it is first asked for.

    Args:
        ground: Makes it.
        partitions: How many partitions each topic of the application has, where it is there.
        otherwise: How many the others get.
    """

    def __init__(self, ground: Ground, partitions: Mapping[str, int], otherwise: int) -> None:
        super().__init__()
        self._ground, self._partitions, self._otherwise = ground, partitions, otherwise

    def __missing__(self, topic: str) -> str:
        if topic.startswith(self._ground.prefix):
            made = topic
            self._ground.topic(topic.removeprefix(f"{self._ground.prefix}-"), self._otherwise)
        else:
            made = self._ground.topic(f"out-{topic}", self._partitions.get(topic, self._otherwise))
        self[topic] = made
        return made


class DivertedClients:
    """A `ClientFactory` whose producers write to a measurement's topics, under transactional ids of its own.

    Args:
        ground: Where it is measured.
        places: Where records go.
    """

    def __init__(self, ground: Ground, places: Places) -> None:
        self._ground, self._places = ground, places

    def producer(self, overrides: Mapping[str, object]) -> Any:
        """See `ClientFactory`."""
        return DivertedPort(self._ground.clients.producer(overrides), self._places.__getitem__)

    def transactional(self, transactional_id: str, overrides: Mapping[str, object]) -> Any:
        """See `ClientFactory`. Under its own id the application that runs elsewhere would be fenced."""
        own = f"{self._ground.prefix}-{transactional_id}"
        return DivertedPort(self._ground.clients.transactional(own, overrides), self._places.__getitem__)

    def consumer(self, group: str, overrides: Mapping[str, object]) -> ConsumerPort:
        """See `ClientFactory`.

        Raises:
            BenchError: The group is none of the measurement's.
        """
        if not group.startswith(self._ground.prefix):
            raise _refused(f"a consumer of group {group!r}")
        return self._ground.clients.consumer(group, overrides)

    def admin(self) -> NoReturn:
        """Refused: what is measured changes no cluster.

        Raises:
            BenchError: Always.
        """
        raise _refused("an admin client")

    def reader(self) -> ReaderPort:
        """See `ClientFactory`. Looking changes nothing."""
        return self._ground.clients.reader()


def _refused(what: str) -> BenchError:
    return BenchError(
        f"a component asked for {what}, and a measurement must not touch the application's own groups and topics",
        todo="measure a handler that does not need this component",
    )
