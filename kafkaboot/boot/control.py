"""Pauses: an operator stops a handler or a partition for a while, and lets it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.boot.groups import Groups  # noqa: TC001 - the container reads the annotation
from kafkaboot.config import nearest
from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafkaboot.consumer import ConsumerGroup


class NothingToPauseError(KafkabootError):
    """There is no such handler or partition in this process."""


class Control:
    """Pauses and resumes handlers and partitions of this process while it runs; injectable, from any thread.

    A pause takes effect before the next record: what is at work is finished. Nothing is lost or skipped: records wait,
    the consumer stays a member of its group, and offsets stand still where something waits. A pause ends with the
    process, that of a partition also when it goes to another member.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def pause(self, handler: str) -> None:
        """Pause a handler, its retry topics included.

        Raises:
            NothingToPauseError: There is no such handler.
        """
        for group, name in self._of(handler):
            group.pause(name)

    def resume(self, handler: str) -> None:
        """Let a handler go on.

        Raises:
            NothingToPauseError: There is no such handler.
        """
        for group, name in self._of(handler):
            group.resume(name)

    def pause_partition(self, topic: str, partition: int) -> None:
        """Pause one partition, for all handlers that take it.

        Raises:
            NothingToPauseError: No group of this process has it.
        """
        for group in self._having(topic, partition):
            group.pause_partition(topic, partition)

    def resume_partition(self, topic: str, partition: int) -> None:
        """Let a partition go on.

        Raises:
            NothingToPauseError: No group of this process has it.
        """
        for group in self._having(topic, partition):
            group.resume_partition(topic, partition)

    def paused(self) -> list[str]:
        """What is paused: handlers by their ids, partitions as `topic[partition]`."""
        return sorted({one for group in self._groups.groups for one in group.paused()})

    def _of(self, handler: str) -> Iterator[tuple[ConsumerGroup, str]]:
        names = {handler, f"{handler}.retry"}
        found = [(group, route.id) for group in self._groups.groups for route in group.routes if route.id in names]
        if not found:
            known = {route.id for group in self._groups.groups for route in group.routes}
            near = nearest(handler, known)
            raise NothingToPauseError(
                f"there is no handler {handler!r} in this process",
                todo=f"did you mean {near!r}?" if near else f"handlers that run here: {', '.join(sorted(known))}",
            )
        return iter(found)

    def _having(self, topic: str, partition: int) -> list[ConsumerGroup]:
        found = [
            group
            for group in self._groups.groups
            if group.poller is not None and any(tp == (topic, partition) for tp in list(group.poller.holdings))
        ]
        if not found:
            raise NothingToPauseError(
                f"no group of this process has {topic}[{partition}]",
                todo="look where it is: kafkaboot lag; another process of the group may have it",
            )
        return found
