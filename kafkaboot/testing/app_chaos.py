"""What a test does to its application and to its broker while records flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.boot.lifecycle import in_thread
from kafkaboot.consumer import ConsumerSettings
from kafkaboot.testing.broker_faults import fail_commits, fail_produces, restart_broker
from kafkaboot.testing.probes import eventually_async
from kafkaboot.testing.rebalance import force_rebalance

if TYPE_CHECKING:
    from kafkaboot.boot import Application
    from kafkaboot.client import ClientFactory
    from kafkaboot.dev import Broker

DEADLINE = 60.0


class AppChaos:
    """Disturbances of one running application; `TestApp.chaos`.

    Args:
        application: It runs.
        clients: Makes other members of its groups.
        broker: Its broker.
    """

    def __init__(self, application: Application, clients: ClientFactory, broker: Broker) -> None:
        self._application, self._clients, self._broker = application, clients, broker

    async def rebalance(self, group: str | None = None) -> None:
        """Let another member join a group and leave it again; the handlers have their partitions back on return.

        Args:
            group: The group; by default the application's only one.

        Raises:
            LookupError: There is no such group, or there are several and none is named.
        """
        groups = {one.name: one for one in (self._application.groups.groups if self._application.groups else ())}
        if (group is None and len(groups) != 1) or (group is not None and group not in groups):
            raise LookupError(f"which group? There are: {', '.join(sorted(groups)) or 'none'}")
        name = group or next(iter(groups))
        blueprint = self._application.blueprint
        assert blueprint is not None
        settings = blueprint.container.get(ConsumerSettings)
        properties = settings.client_properties(groups[name].routes[0].start)
        topics = groups[name].dispatch.subscription()
        poller = groups[name].poller
        before = set(poller.holdings) if poller is not None else set()
        await in_thread(lambda: force_rebalance(self._clients, name, topics, properties, within=DEADLINE))
        await eventually_async(
            lambda: poller is None or before <= set(poller.holdings), DEADLINE, f"group {name} has its partitions again"
        )

    async def restart_broker(self, *, clean: bool = True) -> None:
        """End the broker and start it again on its port; see `restart_broker`."""
        await in_thread(lambda: restart_broker(self._broker, clean=clean))

    def fail_commits(self, error: str = "REBALANCE_IN_PROGRESS", times: int | None = 1) -> None:
        """Let the next commits fail with one of Kafka's errors (embedded broker only)."""
        fail_commits(self._broker, error, times)

    def fail_produces(
        self, error: str = "NOT_LEADER_OR_FOLLOWER", times: int | None = 1, *, topic: str | None = None
    ) -> None:
        """Let the next produce requests fail with one of Kafka's errors (embedded broker only)."""
        fail_produces(self._broker, error, times, topic=topic)
