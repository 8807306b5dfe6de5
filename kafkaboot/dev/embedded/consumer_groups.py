"""A consumer group of KIP-848: the broker assigns, and tells each member in the answer to its heartbeat.

A partition is given to its next reader only after the one before has said that it has let go of it.
"""

from __future__ import annotations

import re
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.assignors import ASSIGNORS, Subscriber

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.topics import Topics

LEAVES, LEAVES_FOR_A_WHILE = -1, -2
"""Member epochs of those who go for good, and of static members that mean to come back."""
KNOWS_EPOCHS = 9
"""The first version of OffsetCommit that is made for these groups."""

Owned = frozenset[tuple[uuid.UUID, int]]
"""Partitions by topic id."""
NOTHING: Owned = frozenset()


class Beat(NamedTuple):
    """What a member says in a heartbeat; `None` where it has not changed."""

    member_id: str
    epoch: int
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    rebalance_timeout: float | None = None
    topics: frozenset[str] | None = None
    regex: str | None = None
    assignor: str | None = None
    owned: Owned | None = None


class Answered(NamedTuple):
    """The answer; the assignment only where the member does not know it."""

    error: ErrorCode
    member_id: str
    epoch: int = 0
    assignment: Owned | None = None
    message: str | None = None


class ConsumerMember:
    """One member.

    Attributes:
        assigned: What it may read now.
        revoking: What it has been told to let go of, and has not yet.
        target: What it is to read in the end.
        waiting: Whether something of its target is still another member's.
        revoke_by: Until when it must have let go.
    """

    def __init__(self, member_id: str, instance_id: str | None) -> None:
        self.id, self.instance_id = member_id, instance_id
        self.rack_id: str | None = None
        self.client_id = self.client_host = ""
        self.topics: frozenset[str] = frozenset()
        self.regex = ""
        self.assignor: str | None = None
        self.rebalance_timeout = 0.0
        self.epoch = self.previous_epoch = 0
        self.assigned = self.revoking = self.target = NOTHING
        self.waiting = False
        self.deadline = 0.0
        self.revoke_by: float | None = None

    def take(self, beat: Beat) -> bool:
        """What it says of itself; whether its subscription is another one now."""
        before = (self.topics, self.regex, self.assignor)
        self.client_id, self.client_host = beat.client_id, beat.client_host
        self.rack_id = self.rack_id if beat.rack_id is None else beat.rack_id
        self.topics = self.topics if beat.topics is None else beat.topics
        self.regex = self.regex if beat.regex is None else beat.regex
        self.assignor = self.assignor if beat.assignor is None else beat.assignor
        if beat.rebalance_timeout is not None:
            self.rebalance_timeout = beat.rebalance_timeout
        return before != (self.topics, self.regex, self.assignor)

    def reads(self, topic: str) -> bool:
        """Whether it is subscribed to a topic."""
        return topic in self.topics or bool(self.regex and re.fullmatch(self.regex, topic))

    def advance(self, epoch: int) -> None:
        """Be in an epoch."""
        self.previous_epoch, self.epoch = self.epoch, epoch


class ConsumerGroup:
    """One group.

    Args:
        group_id: Its name.
        topics: The node's.
        session_timeout: Seconds of silence after which a member is out.

    Attributes:
        epoch: Counts changes of members, subscriptions and topics.
        assignment_epoch: The epoch that the members' targets are made for.
    """

    kind = "consumer"
    protocol_type = "consumer"

    def __init__(self, group_id: str, topics: Topics, session_timeout: float) -> None:
        self.id = group_id
        self.members: dict[str, ConsumerMember] = {}
        self.epoch = self.assignment_epoch = 0
        self.assignor = next(iter(ASSIGNORS))
        self._topics = topics
        self._session_timeout = session_timeout
        self._seen: frozenset[tuple[uuid.UUID, int]] | None = None

    @property
    def empty(self) -> bool:
        """Nobody is in it."""
        return not self.members

    @property
    def state(self) -> str:
        """As ListGroups names it."""
        if not self.members:
            return "Empty"
        if self.epoch > self.assignment_epoch:
            return "Assigning"
        settled = all(
            one.epoch == self.assignment_epoch and not one.waiting and not one.revoking for one in self.members.values()
        )
        return "Stable" if settled else "Reconciling"

    # --- checks

    def check_commit(
        self, member_id: str, instance_id: str | None, epoch: int, *, commits_in_version: int | None
    ) -> ErrorCode:
        """Whether offsets are taken; `commits_in_version` is `None` for those of a transaction."""
        transactional = commits_in_version is None
        if epoch < 0 and (not self.members or (transactional and not member_id and instance_id is None)):
            return ErrorCode.none
        member = self.members.get(member_id)
        if member is None:
            return ErrorCode.unknown_member_id
        if commits_in_version is not None and commits_in_version < KNOWS_EPOCHS:
            return ErrorCode.unsupported_version
        if epoch != member.epoch:
            return ErrorCode.illegal_generation if transactional else ErrorCode.stale_member_epoch
        return ErrorCode.none

    def check_fetch(self, member_id: str | None, epoch: int) -> ErrorCode:
        """Whether this member may ask for offsets; whoever is no member may, too."""
        if member_id is None and epoch < 0:
            return ErrorCode.none
        member = self.members.get(member_id or "")
        if member is None:
            return ErrorCode.unknown_member_id
        return ErrorCode.none if epoch == member.epoch else ErrorCode.stale_member_epoch

    # --- heartbeats

    def heartbeat(self, beat: Beat) -> Answered:
        """A member joins, lives, or goes."""
        if beat.epoch < 0:
            return self._leave(beat)
        member, error = self._known(beat) if beat.epoch else self._joining(beat)
        if member is None:
            return Answered(error, beat.member_id)
        member.deadline = time.monotonic() + self._session_timeout
        changed = member.take(beat)
        seen = self._read()
        if changed or seen != self._seen:
            self.epoch, self._seen = self.epoch + 1, seen
        if self.epoch > self.assignment_epoch:
            self._assign()
        before = member.assigned
        self._reconcile(member, beat.owned)
        subscribes = beat.topics is not None or beat.regex is not None
        whole = beat.rebalance_timeout is not None and beat.owned is not None and subscribes
        tell = not beat.epoch or whole or member.assigned != before
        return Answered(ErrorCode.none, member.id, member.epoch, member.assigned if tell else None)

    def _known(self, beat: Beat) -> tuple[ConsumerMember | None, ErrorCode]:
        member = self.members.get(beat.member_id)
        if beat.instance_id is not None:
            static = self._static(beat.instance_id)
            if static is None:
                return None, ErrorCode.unknown_member_id
            if static is not member:
                return None, ErrorCode.fenced_instance_id
        if member is None:
            return None, ErrorCode.unknown_member_id
        return self._of_epoch(member, beat)

    @staticmethod
    def _of_epoch(member: ConsumerMember, beat: Beat) -> tuple[ConsumerMember | None, ErrorCode]:
        # The answer that brought the newer epoch may be lost; whoever owns no more than it may is let on.
        owns = member.assigned if beat.owned is None else beat.owned
        lost = beat.epoch == member.previous_epoch and beat.owned is not None and owns <= member.assigned
        if beat.epoch > member.epoch or (beat.epoch < member.epoch and not lost):
            return None, ErrorCode.fenced_member_epoch
        return member, ErrorCode.none

    def _static(self, instance_id: str) -> ConsumerMember | None:
        return next((one for one in self.members.values() if one.instance_id == instance_id), None)

    def _joining(self, beat: Beat) -> tuple[ConsumerMember | None, ErrorCode]:
        static = None if beat.instance_id is None else self._static(beat.instance_id)
        if static is not None:
            if static.epoch != LEAVES_FOR_A_WHILE:
                return None, ErrorCode.unreleased_instance_id
            del self.members[static.id]
            static.id, static.epoch, static.previous_epoch = beat.member_id, 0, 0
            self.members[static.id] = static
        elif beat.member_id not in self.members:
            self.members[beat.member_id] = ConsumerMember(beat.member_id, beat.instance_id)
            self._seen = None  # a member more is a change, whatever it reads
        return self._of_epoch(self.members[beat.member_id], beat)

    def _leave(self, beat: Beat) -> Answered:
        member = self.members.get(beat.member_id)
        if beat.instance_id is not None:
            static = self._static(beat.instance_id)
            if static is not None and static is not member:
                return Answered(ErrorCode.fenced_instance_id, beat.member_id)
        if member is None:
            return Answered(ErrorCode.unknown_member_id, beat.member_id)
        if beat.epoch == LEAVES_FOR_A_WHILE:
            member.epoch, member.revoking, member.revoke_by = LEAVES_FOR_A_WHILE, NOTHING, None
        else:
            self._remove(member)
        return Answered(ErrorCode.none, beat.member_id, beat.epoch)

    def leave(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """Send a member away, as an administrator may."""
        member = self.members.get(member_id)
        if instance_id is not None:
            static = self._static(instance_id)
            if static is not None and member_id and static.id != member_id:
                return ErrorCode.fenced_instance_id
            member = static
        if member is None:
            return ErrorCode.unknown_member_id
        self._remove(member)
        return ErrorCode.none

    def _remove(self, member: ConsumerMember) -> None:
        del self.members[member.id]
        self.epoch, self._seen = self.epoch + 1, self._read()

    def expire(self, now: float) -> None:
        """Let go of members that are silent, or keep what they should have given back."""
        for member in list(self.members.values()):
            if member.deadline <= now or (member.revoke_by is not None and member.revoke_by <= now):
                self._remove(member)

    # --- assignment

    def reads(self, topic: str) -> bool:
        """Whether a member is subscribed to a topic."""
        return any(one.reads(topic) for one in self.members.values())

    def _read(self) -> frozenset[tuple[uuid.UUID, int]]:
        return frozenset((topic.id, len(topic.partitions)) for topic in self._topics if self.reads(topic.name))

    def _assign(self) -> None:
        """Make every member's target anew."""
        topics = {topic.name: topic for topic in self._topics}
        names = {topic.id: topic.name for topic in topics.values()}
        subscribers = [
            Subscriber(
                one.id,
                one.instance_id,
                frozenset(name for name in topics if one.reads(name)),
                frozenset((names[topic], index) for topic, index in one.target if topic in names),
            )
            for one in self.members.values()
        ]
        asked = Counter(one.assignor for one in self.members.values() if one.assignor)
        self.assignor = asked.most_common(1)[0][0] if asked else next(iter(ASSIGNORS))
        counts = {name: len(topic.partitions) for name, topic in topics.items()}
        for member_id, given in ASSIGNORS[self.assignor](subscribers, counts).items():
            self.members[member_id].target = frozenset((topics[name].id, index) for name, index in given)
        self.assignment_epoch = self.epoch

    def _reconcile(self, member: ConsumerMember, owned: Owned | None) -> None:
        """Bring a member a step nearer to its target: let go first, then take what is free."""
        if member.revoking:
            if owned is None or owned & member.revoking:
                return
            member.revoking, member.revoke_by = NOTHING, None
        elif member.epoch == self.assignment_epoch and not member.waiting:
            return
        kept = member.assigned & member.target
        gone = member.assigned - member.target
        if gone and (owned is None or owned & gone):
            member.assigned, member.revoking, member.waiting = kept, gone, False
            member.revoke_by = time.monotonic() + member.rebalance_timeout
            return
        taken = {
            partition for one in self.members.values() if one is not member for partition in one.assigned | one.revoking
        }
        free = member.target - kept - taken
        member.waiting = kept | free != member.target
        member.assigned = kept | free
        member.advance(self.assignment_epoch)
