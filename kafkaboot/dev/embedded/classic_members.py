"""Members of classic groups, and what they and their group say to each other."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from kio.schema.errors import ErrorCode

NO_GENERATION = -1


class JoinAsked(NamedTuple):
    """What a JoinGroup says of the member."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout: float
    rebalance_timeout: float
    protocol_type: str
    protocols: Mapping[str, bytes]
    id_required: bool = False
    """A client of version 4 or newer: it is given its id first, and joins with it (KIP-394)."""
    may_skip_assignment: bool = False
    """Version 9: a static leader that comes back is told not to assign again (KIP-814)."""


class Joined(NamedTuple):
    """The answer to a JoinGroup; `members` is for the leader."""

    error: ErrorCode
    member_id: str
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    skip_assignment: bool = False
    members: tuple[tuple[str, str | None, bytes], ...] = ()


class Synced(NamedTuple):
    """The answer to a SyncGroup."""

    error: ErrorCode
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


class Member:
    """One member."""

    def __init__(self, member_id: str, asked: JoinAsked) -> None:
        self.id = member_id
        self.instance_id = asked.instance_id
        self.assignment = b""
        self.joining: asyncio.Future[Joined] | None = None
        self.syncing: asyncio.Future[Synced] | None = None
        self.update(asked)

    def update(self, asked: JoinAsked) -> None:
        """Take over what it says of itself now."""
        self.client_id, self.client_host = asked.client_id, asked.client_host
        self.session_timeout, self.rebalance_timeout = asked.session_timeout, asked.rebalance_timeout
        self.protocols = dict(asked.protocols)
        self.touch()

    def touch(self) -> None:
        """It has shown that it lives."""
        self.deadline = time.monotonic() + self.session_timeout

    def answer_join(self, joined: Joined) -> None:
        """Let a waiting JoinGroup go."""
        if self.joining is not None and not self.joining.done():
            self.joining.set_result(joined)
        self.joining = None

    def answer_sync(self, synced: Synced) -> None:
        """Let a waiting SyncGroup go."""
        if self.syncing is not None and not self.syncing.done():
            self.syncing.set_result(synced)
        self.syncing = None


def topics_of(metadata: bytes) -> list[str] | None:
    """The topics in a consumer's subscription; `None` where it cannot be read."""
    topics = []
    try:
        (number,) = struct.unpack_from(">i", metadata, 2)
        at = 6
        for _ in range(number):
            (length,) = struct.unpack_from(">h", metadata, at)
            topics.append(metadata[at + 2 : at + 2 + length].decode())
            at += 2 + length
    except (struct.error, UnicodeDecodeError):
        return None
    return topics
