"""The application's consumer groups together."""

from __future__ import annotations

import asyncio
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING

from kafkaboot.client import ClientFactory
from kafkaboot.consumer import ConsumerGroup, ConsumerSettings
from kafkaboot.health import Health, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.consumer import Positions, Route

log = logging.getLogger("kafkaboot.boot")

RETRIES_COMMIT = 0.2
"""Seconds between two commits of a group that takes retry topics, at most: keys wait for them (`keep-order: key`)."""


class Groups:
    """Starts one `ConsumerGroup` for each group that a handler names, and stops them all.

    It is a `HealthIndicator`: the details hold each group's own answer, and the worst of them is its status.
    """

    name = "consumer"

    def __init__(self, clients: ClientFactory, settings: ConsumerSettings) -> None:
        self._clients, self._settings = clients, settings
        self.groups: list[ConsumerGroup] = []

    def start(
        self,
        routes: Mapping[str, Sequence[Route]],
        died: Callable[[ConsumerGroup, BaseException], None],
        hooks: Sequence[object] = (),
        retries: Mapping[str, Sequence[Route]] = MappingProxyType({}),
        positions: Mapping[str, Positions] = MappingProxyType({}),
    ) -> None:
        """Begin to poll, from the running event loop.

        Args:
            routes: Handlers by group.
            retries: Those of retry topics, by group.
            died: Called on the event loop when a group can go no further.
            hooks: Listeners of the consumer's happenings.
            positions: By group, where its partitions stand in something else than Kafka.
        """
        loop = asyncio.get_running_loop()
        often = min(self._settings.commit_interval, RETRIES_COMMIT)
        quick = self._settings.model_copy(update={"commit_interval": often})
        made = [
            ConsumerGroup(
                name, of_group, self._clients, settings, died=died, hooks=hooks, positions=positions.get(name)
            )
            for of_groups, settings in ((routes, self._settings), (retries, quick))
            for name, of_group in of_groups.items()
        ]
        for group in made:
            self.groups.append(group)
            group.start(loop)

    async def stop(self) -> bool:
        """Drain all groups side by side; answers whether every record at work was finished in time."""
        answers = await asyncio.gather(
            *(group.stop(self._settings.drain_timeout) for group in self.groups), return_exceptions=True
        )
        for group, answer in zip(self.groups, answers, strict=True):
            if isinstance(answer, BaseException):
                log.error("group %s did not stop: %s", group.name, answer, exc_info=answer)
        return all(answer is True for answer in answers)

    def health(self) -> Health:
        """See `HealthIndicator`."""
        answers = {group.name: group.health() for group in self.groups}
        worst = next((status for status in _WORST_FIRST if any(one.status is status for one in answers.values())), None)
        details: dict[str, object] = {
            name: {"status": str(answer.status), **answer.details} for name, answer in answers.items()
        }
        return Health(worst or Status.UP, details)


_WORST_FIRST = (Status.DOWN, Status.OUT_OF_SERVICE, Status.UNKNOWN, Status.UP)
