"""All groups by name, classic ones and consumer groups (KIP-848), and what is asked of either kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.classic_groups import ClassicGroup
from kafkaboot.dev.embedded.consumer_groups import KNOWS_EPOCHS, ConsumerGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafkaboot.dev.embedded.node import Node

Group = ClassicGroup | ConsumerGroup


class Groups:
    """The groups of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._by_id: dict[str, Group] = {}

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._by_id.values()))

    def get(self, group_id: str) -> Group | None:
        """The group of that name, if there is one."""
        return self._by_id.get(group_id)

    def to_join(self, group_id: str) -> ClassicGroup | None:
        """The classic group of that name, made where there is none; `None` when the name is another kind's."""
        group = self._by_id.get(group_id)
        if group is None or (group.empty and not isinstance(group, ClassicGroup)):
            group = self._by_id[group_id] = ClassicGroup(group_id, self._node.settings.rebalance_delay)
        return group if isinstance(group, ClassicGroup) else None

    def to_beat(self, group_id: str, *, joins: bool) -> ConsumerGroup | None:
        """The consumer group of that name, made where there is none and somebody joins."""
        group = self._by_id.get(group_id)
        if joins and (group is None or (group.empty and not isinstance(group, ConsumerGroup))):
            settings = self._node.settings
            group = ConsumerGroup(group_id, self._node.topics, settings.consumer_session_timeout)
            self._by_id[group_id] = group
        return group if isinstance(group, ConsumerGroup) else None

    def remember(self, group_id: str) -> None:
        """A group has offsets, and so is there, even when nobody has ever joined it."""
        if group_id not in self._by_id:
            self._by_id[group_id] = ClassicGroup(group_id, self._node.settings.rebalance_delay)

    def touch(self, group_id: str, member_id: str) -> None:
        """A classic member's commit shows that it lives, as its heartbeat would."""
        group = self._by_id.get(group_id)
        if isinstance(group, ClassicGroup) and member_id in group.members:
            group.members[member_id].touch()

    def delete(self, group_id: str) -> None:
        """Drop an empty group with its offsets."""
        self._by_id.pop(group_id, None)
        self._node.offsets.delete_group(group_id)

    def leave(self, group_id: str, member_id: str, instance_id: str | None) -> ErrorCode:
        """Send a member away."""
        group = self._by_id.get(group_id)
        if group is None:
            return ErrorCode.unknown_member_id if group_id else ErrorCode.invalid_group_id
        return group.leave(member_id, instance_id)

    def expire(self, now: float) -> None:
        """Let go of members that have been silent for too long."""
        for group in self:
            group.expire(now)

    # --- offsets

    def check(
        self,
        group_id: str,
        member_id: str,
        group_instance_id: str | None,
        generation: int,
        *,
        commits_in_version: int | None = None,
    ) -> ErrorCode:
        """Whether a member may commit: known, and of this generation or member epoch.

        Args:
            group_id: The group.
            member_id: Empty with generation -1: a consumer that assigns itself, allowed in a group without members.
            group_instance_id: Of a static member.
            generation: Or the member epoch.
            commits_in_version: The version of the OffsetCommit, `None` for the offsets of a transaction: these are
                also taken without a member, and while the group rebalances.
        """
        group = self._by_id.get(group_id)
        if group is None:
            if generation < 0:
                return ErrorCode.none
            knows = commits_in_version is not None and commits_in_version >= KNOWS_EPOCHS
            return ErrorCode.group_id_not_found if knows else ErrorCode.illegal_generation
        return group.check_commit(member_id, group_instance_id, generation, commits_in_version=commits_in_version)

    def check_fetch(self, group_id: str, member_id: str | None, epoch: int) -> ErrorCode:
        """Whether a member of a consumer group may ask for offsets."""
        group = self._by_id.get(group_id)
        return group.check_fetch(member_id, epoch) if isinstance(group, ConsumerGroup) else ErrorCode.none
