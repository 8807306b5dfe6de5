"""A classic group: members join a generation, its leader assigns, all of them sync. Eager or cooperative is theirs."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.classic_members import JoinAsked, Joined, Member, Synced, topics_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EMPTY, PREPARING, COMPLETING, STABLE = "Empty", "PreparingRebalance", "CompletingRebalance", "Stable"


class ClassicGroup:
    """One group.

    Args:
        group_id: Its name.
        delay: Seconds that it waits for more members when the first one joins.

    Attributes:
        members: By id, in the order of their joining.
        pending: Ids that were given out and have not joined yet, with the time when they lapse.
    """

    kind = "classic"

    def __init__(self, group_id: str, delay: float = 0.0) -> None:
        self.id = group_id
        self.state = EMPTY
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.pending: dict[str, float] = {}
        self._delay = delay
        self._not_before = 0.0
        self._until = 0.0

    @property
    def empty(self) -> bool:
        """Nobody is in it."""
        return not self.members

    # --- checks

    def check_commit(
        self, member_id: str, instance_id: str | None, generation: int, *, commits_in_version: int | None
    ) -> ErrorCode:
        """Whether offsets are taken; `commits_in_version` is `None` for those of a transaction."""
        if generation < 0 and self.state == EMPTY:
            return ErrorCode.none
        transactional = commits_in_version is None
        if generation >= 0 or member_id or instance_id is not None:
            error = self._check(member_id, instance_id)
            if error:
                return error
            if generation != self.generation:
                return ErrorCode.illegal_generation
        elif not transactional:
            return ErrorCode.unknown_member_id
        if not transactional and self.state == COMPLETING:
            return ErrorCode.rebalance_in_progress
        return ErrorCode.none

    def _check(self, member_id: str, instance_id: str | None) -> ErrorCode:
        if instance_id is not None:
            known = self._static(instance_id)
            if known is None:
                return ErrorCode.unknown_member_id
            if known.id != member_id:
                return ErrorCode.fenced_instance_id
        return ErrorCode.none if member_id in self.members else ErrorCode.unknown_member_id

    def _static(self, instance_id: str) -> Member | None:
        return next((member for member in self.members.values() if member.instance_id == instance_id), None)

    def reads(self, topic: str) -> bool:
        """Whether a member is subscribed to a topic, or may be: subscriptions are the clients' own format."""
        if self.protocol is None:
            return not self.empty
        subscriptions = [topics_of(member.protocols[self.protocol]) for member in self.members.values()]
        return any(one is None or topic in one for one in subscriptions)

    def _fits(self, asked: JoinAsked) -> bool:
        """Whether the member speaks a protocol that all others speak too."""
        if not self.members:
            return bool(asked.protocol_type and asked.protocols)
        return asked.protocol_type == self.protocol_type and bool(self._candidates().intersection(asked.protocols))

    def _candidates(self) -> set[str]:
        return set.intersection(*(set(member.protocols) for member in self.members.values()))

    def _select(self) -> str:
        """Each member votes for the first of its protocols that all speak."""
        candidates = self._candidates()
        votes = Counter(
            next(name for name in member.protocols if name in candidates) for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    # --- joining

    def join(self, asked: JoinAsked) -> Joined | asyncio.Future[Joined]:
        """A member wants to be in the next generation; it may have to wait for it."""
        if not self._fits(asked):
            return Joined(ErrorCode.inconsistent_group_protocol, asked.member_id)
        if not asked.member_id:
            return self._join_new(asked)
        if asked.instance_id is None and asked.member_id in self.pending:
            return self._add(asked.member_id, asked)
        error = self._check(asked.member_id, asked.instance_id)
        if error:
            return Joined(error, asked.member_id)
        member = self.members[asked.member_id]
        unchanged = member.protocols == dict(asked.protocols)
        if unchanged and (self.state == COMPLETING or (self.state == STABLE and member.id != self.leader)):
            # Its answer was lost, or it joins without need: it is told what is.
            member.touch()
            return self._joined(member)
        return self._update(member, asked)

    def _join_new(self, asked: JoinAsked) -> Joined | asyncio.Future[Joined]:
        member_id = f"{asked.instance_id or asked.client_id}-{uuid.uuid4()}"
        if asked.instance_id is not None:
            known = self._static(asked.instance_id)
            return self._add(member_id, asked) if known is None else self._replace(known, member_id, asked)
        if asked.id_required:
            self.pending[member_id] = time.monotonic() + asked.session_timeout
            return Joined(ErrorCode.member_id_required, member_id)
        return self._add(member_id, asked)

    def _add(self, member_id: str, asked: JoinAsked) -> asyncio.Future[Joined]:
        self.pending.pop(member_id, None)
        member = self.members[member_id] = Member(member_id, asked)
        self.protocol_type = asked.protocol_type
        self.leader = self.leader or member_id
        return self._wait(member)

    def _update(self, member: Member, asked: JoinAsked) -> asyncio.Future[Joined]:
        member.update(asked)
        return self._wait(member)

    def _wait(self, member: Member) -> asyncio.Future[Joined]:
        member.answer_join(Joined(ErrorCode.unknown_member_id, member.id))
        waiting = member.joining = asyncio.get_running_loop().create_future()
        self._prepare(time.monotonic())
        return waiting

    def _replace(self, known: Member, member_id: str, asked: JoinAsked) -> Joined | asyncio.Future[Joined]:
        """A static member is back under a new id: the old one is fenced, and nothing moves if it asks the same."""
        known.answer_join(Joined(ErrorCode.fenced_instance_id, known.id))
        known.answer_sync(Synced(ErrorCode.fenced_instance_id))
        old_leader = self.leader
        member = Member(member_id, asked)
        member.assignment = known.assignment
        self.members = {one.id: one for one in (member if one is known else one for one in self.members.values())}
        if old_leader == known.id:
            self.leader = member_id
        if self.state != STABLE or self._select() != self.protocol:
            return self._wait(member)
        if asked.may_skip_assignment:
            return self._joined(member)._replace(skip_assignment=member_id == self.leader)
        # An older client must not take itself for the leader, or it would assign anew.
        return self._joined(member)._replace(leader=old_leader or "", members=())

    def _joined(self, member: Member) -> Joined:
        leads = member.id == self.leader
        everyone = tuple((one.id, one.instance_id, one.protocols[self.protocol or ""]) for one in self.members.values())
        return Joined(
            ErrorCode.none,
            member.id,
            self.generation,
            self.protocol_type,
            self.protocol,
            self.leader or "",
            members=everyone if leads else (),
        )

    # --- rebalancing

    def _prepare(self, now: float) -> None:
        """Begin a rebalance, unless one is on, and end it when everybody is there."""
        if self.state == COMPLETING:
            self._drop_assignments()
        if self.state != PREPARING:
            self._not_before = now + self._delay if self.state == EMPTY and self.members else 0.0
            self.state = PREPARING
            self._until = now + max((one.rebalance_timeout for one in self.members.values()), default=0.0)
        self._complete_if_all_joined(now)

    def _drop_assignments(self) -> None:
        for member in self.members.values():
            member.assignment = b""
            member.answer_sync(Synced(ErrorCode.rebalance_in_progress))

    def _complete_if_all_joined(self, now: float) -> None:
        everybody = not self.pending and all(member.joining is not None for member in self.members.values())
        if self.state == PREPARING and now >= self._not_before and everybody:
            self._complete(now)

    def _complete(self, now: float) -> None:
        """Those who have joined are the new generation; static members may be late."""
        late = [one.id for one in self.members.values() if one.joining is None and one.instance_id is None]
        self._remove(late)
        joined = [one for one in self.members.values() if one.joining is not None]
        if self.members and not joined:
            self._until = now + max(one.rebalance_timeout for one in self.members.values())
            return
        self.generation += 1
        if not self.members:
            self.state, self.protocol, self.leader = EMPTY, None, None
            return
        if self.leader not in {one.id for one in joined}:
            self.leader = joined[0].id
        self.state, self.protocol = COMPLETING, self._select()
        self._until = now + max(one.rebalance_timeout for one in self.members.values())
        for member in joined:
            member.touch()
            member.answer_join(self._joined(member))

    def sync(self, member_id: str, assignments: Mapping[str, bytes]) -> Synced | asyncio.Future[Synced]:
        """A member that `check_member` let pass asks for its part; the leader brings everybody's."""
        if self.state == PREPARING:
            return Synced(ErrorCode.rebalance_in_progress)
        member = self.members[member_id]
        member.touch()
        if self.state == COMPLETING:
            member.answer_sync(Synced(ErrorCode.unknown_member_id))
            waiting = member.syncing = asyncio.get_running_loop().create_future()
            if member_id == self.leader:
                self._assign(assignments)
            return waiting
        return Synced(ErrorCode.none, self.protocol_type, self.protocol, member.assignment)

    def check_member(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """Whether this is a member of this generation."""
        error = self._check(member_id, instance_id)
        if error:
            return error
        return ErrorCode.none if generation == self.generation else ErrorCode.illegal_generation

    def _assign(self, assignments: Mapping[str, bytes]) -> None:
        self.state = STABLE
        for member in self.members.values():
            member.assignment = assignments.get(member.id, b"")
            if member.syncing is not None:
                member.touch()
            member.answer_sync(Synced(ErrorCode.none, self.protocol_type, self.protocol, member.assignment))

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        """A member lives; it is told when it has to join again."""
        error = self.check_member(member_id, instance_id, generation)
        if error:
            return error
        self.members[member_id].touch()
        return ErrorCode.rebalance_in_progress if self.state == PREPARING else ErrorCode.none

    # --- leaving

    def leave(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """A member goes; a static one is removed by whoever knows its instance id."""
        if instance_id is not None and not member_id:
            known = self._static(instance_id)
            member_id = known.id if known is not None else ""
        elif self.pending.pop(member_id, None) is not None:
            self._complete_if_all_joined(time.monotonic())
            return ErrorCode.none
        error = self._check(member_id, instance_id)
        if not error:
            self._remove([member_id])
            self._prepare(time.monotonic())
        return error

    def _remove(self, member_ids: Iterable[str]) -> None:
        for member_id in member_ids:
            member = self.members.pop(member_id)
            member.answer_join(Joined(ErrorCode.unknown_member_id, member_id))
            member.answer_sync(Synced(ErrorCode.unknown_member_id))
            if self.leader == member_id:
                self.leader = next(iter(self.members), None)

    def expire(self, now: float) -> None:
        """Let go of members that are silent for too long, and end a rebalance whose time is over."""
        for member_id in [one for one, until in self.pending.items() if until <= now]:
            del self.pending[member_id]
        silent = [
            one.id
            for one in self.members.values()
            if one.joining is None and one.syncing is None and one.deadline <= now
        ]
        if self.state == COMPLETING and self._until <= now:
            silent += [one.id for one in self.members.values() if one.syncing is None and one.id not in silent]
        self._remove(silent)
        if silent:
            self._prepare(now)
        if self.state == PREPARING and self._until <= now:
            self._complete(now)
        self._complete_if_all_joined(now)
