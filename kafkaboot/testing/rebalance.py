"""A rebalance on demand: a member joins a group and leaves it again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import TP, ClientFactory


class _Joined:
    """Notes that the member takes part; it commits nothing."""

    def __init__(self) -> None:
        self.there = False

    def assigned(self, partitions: Sequence[TP]) -> Mapping[TP, int]:
        """See `RebalanceListener`."""
        del partitions
        self.there = True
        return {}

    def revoked(self, partitions: Sequence[TP]) -> None:
        """Nothing was handled."""

    def lost(self, partitions: Sequence[TP]) -> None:
        """Nothing was handled."""


def force_rebalance(
    clients: ClientFactory,
    group: str,
    topics: Sequence[str],
    properties: Mapping[str, object] | None = None,
    *,
    stay: float = 0.0,
    within: float = 30.0,
) -> None:
    """Join a group, be given partitions (or be told that there are none left), and leave. Blocks.

    What the member is given meanwhile is not handled, and nothing of it is committed.

    Args:
        clients: Makes the member.
        group: The group.
        topics: What the group's members subscribe to.
        properties: The members' own librdkafka properties; the assignment strategy must be theirs.
        stay: Seconds between the two rebalances.
        within: Seconds in which the member must have joined.

    Raises:
        AssertionError: The group did not let it in within the time.
    """
    member = clients.consumer(group, {"enable.auto.commit": False, **(properties or {})})
    joined = _Joined()
    try:
        member.subscribe(topics, joined)
        until = time.monotonic() + within
        while not joined.there:
            assert time.monotonic() < until, f"group {group} let no member in within {within:g} s"
            member.poll_chunk(1, 0.05)
        leave = time.monotonic() + stay
        while time.monotonic() < leave:
            member.poll_chunk(1, 0.05)
    finally:
        member.close(within)
