"""Is this group alive, and is it ready? Answered from memory; a probe never asks the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.errors import BrokerUnreachableError
from kafkaboot.health import Health, Status

if TYPE_CHECKING:
    from kafkaboot.consumer.group import ConsumerGroup


class GroupHealth:
    """A group's indicator.

    DOWN: the subscription died or is refused for good, the poller has not polled for `poll-stalled-after`, or a handler
    is at work on one record beyond its limit. OUT_OF_SERVICE (not ready): not joined, draining, or no broker answers.
    Lag and failing records are details: restarting helps neither.
    """

    def __init__(self, group: ConsumerGroup) -> None:
        self.name = f"consumer.{group.name}"
        self._group = group

    def health(self) -> Health:
        """The status now."""
        group = self._group
        poller = group.poller
        if group.error is not None:
            return Health(Status.DOWN, {"error": str(group.error)})
        if poller is None:
            return Health(Status.OUT_OF_SERVICE, {"why": "not started"})
        silence = group.clock.monotonic() - poller.heartbeat
        details: dict[str, object] = {
            "partitions": len(poller.holdings),
            # Copied in one step: the poller's thread goes on changing it.
            "paused": sum(holding.paused for holding in list(poller.holdings.values())),
            "awaited": sum(holding.awaited for holding in list(poller.holdings.values())),
            "lag": sum(group.lag().values()),
            "seconds since the last poll": round(silence, 3),
        }
        if poller.trouble is not None:
            details["trouble"] = str(poller.trouble)
        if silence > group.settings.poll_stalled_after:
            return Health(Status.DOWN, details | {"why": "the poller stands still"})
        if stuck := group.stuck():
            return Health(Status.DOWN, details | {"why": "a handler does not come back", "stuck": stuck})
        if poller.stopping:
            return Health(Status.OUT_OF_SERVICE, details | {"why": "draining"})
        if poller.trouble is not None and not poller.trouble.retriable:
            return Health(Status.DOWN, details | {"why": "the subscription is refused"})
        if isinstance(poller.trouble, BrokerUnreachableError):
            return Health(Status.OUT_OF_SERVICE, details | {"why": "no broker answers"})
        if group.transacting is not None and group.transacting.trouble is not None:
            why = {"why": "no transaction begins", "transactions": str(group.transacting.trouble)}
            return Health(Status.OUT_OF_SERVICE, details | why)
        if not poller.joined:
            return Health(Status.OUT_OF_SERVICE, details | {"why": "not joined yet"})
        return Health(Status.UP, details)
