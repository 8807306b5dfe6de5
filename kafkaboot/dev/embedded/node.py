"""The broker's one node: everything it knows, and which request is answered where."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.dev.embedded.journal import Journal
from kafkaboot.dev.embedded.topics import Topics
from kafkaboot.dev.embedded.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.dev.embedded.wire import Api

NODE_ID = 1
HOST = "127.0.0.1"


class NodeSettings(NamedTuple):
    """How the broker is to behave.

    Attributes:
        port: Where it listens, on the loopback; 0 for a free one.
        default_partitions: Of a topic that a client names without having made it.
        auto_create: Whether such a topic is made.
        rebalance_delay: Seconds that a new group waits for more members; a desk waits for nobody.
        min_session_timeout: Seconds; tests want less than Kafka's 6.
        consumer_heartbeat_interval: Seconds between two heartbeats of a KIP-848 member; a rebalance takes two or three.
        consumer_session_timeout: Seconds of silence after which such a member is out.
    """

    port: int = 0
    default_partitions: int = 4
    auto_create: bool = True
    rebalance_delay: float = 0.0
    min_session_timeout: float = 0.5
    consumer_heartbeat_interval: float = 0.3
    consumer_session_timeout: float = 10.0


class Node:
    """One broker.

    Attributes:
        chores: Called about ten times a second with the monotonic time: timeouts of members, transactions, retention.
    """

    def __init__(self, settings: NodeSettings) -> None:
        # Their modules answer requests too, and so need this one.
        from kafkaboot.dev.embedded.groups import Groups
        from kafkaboot.dev.embedded.offsets import Offsets
        from kafkaboot.dev.embedded.retention import Retention

        self.settings = settings
        self.port = settings.port
        self.cluster_id = uuid.uuid4().hex[:22]
        self.journal = Journal()
        self.topics = Topics(settings.default_partitions)
        self.groups = Groups(self)
        self.offsets = Offsets(self.journal)
        self.chores: list[Callable[[float], None]] = [self.groups.expire, Retention(self).chore]
        self.transactions = Transactions(self)

    async def run_chores(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            for chore in self.chores:
                chore(now)


def all_apis() -> dict[int, Api]:
    """Every request that is answered, by its number."""
    from kafkaboot.dev.embedded import (
        admin,
        cluster,
        consumer_group_requests,
        coordinator,
        data,
        group_admin,
        group_requests,
        offsets,
        settings_requests,
        transaction_admin,
    )

    rooms = (
        admin,
        cluster,
        consumer_group_requests,
        coordinator,
        data,
        group_admin,
        group_requests,
        offsets,
        settings_requests,
        transaction_admin,
    )
    return {api.key: api for room in rooms for api in room.APIS}
