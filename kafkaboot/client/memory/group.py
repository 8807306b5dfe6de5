"""A group as its coordinator knows it: who is in it, who holds which partition, what was committed.

Cooperative members give back only what goes to somebody else, and a partition is given out when nobody holds it.
Eager members give everything back, and partitions are given out when the last member has done so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client.memory.faults import refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from kafkaboot.client.ports import TP, Committed
    from kafkaboot.errors import ClientError


class Member:
    """One consumer, from joining until it leaves or is thrown out.

    Attributes:
        held: What it was given and has not given back.
        target: What it is to hold in the current generation.
        joined: The generation that it has joined; eager members hold nothing then.
        synced: The generation whose partitions it has been given.
        dead_at: When the coordinator gives it up, unless it is heard of before.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.wants: frozenset[TP] = frozenset()
        self.held: set[TP] = set()
        self.target: frozenset[TP] = frozenset()
        self.joined = -1
        self.synced = -1
        self.dead_at: float | None = None


class Group:
    """Members, generation, committed offsets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.generation = 0
        self.offsets: dict[TP, Committed] = {}
        self.pending: dict[str, set[TP]] = {}
        self.members: list[Member] = []
        self.eager = False

    # --- membership

    def join(self, member: Member, wants: Collection[TP], *, eager: bool) -> None:
        """Let a member in.

        Raises:
            ClientError: The other members use another protocol.
        """
        if not self.members:
            self.eager = eager
        elif self.eager is not eager:
            raise refusal("INCONSISTENT_GROUP_PROTOCOL", "the other members assign partitions by another protocol")
        member.wants = frozenset(wants)
        member.held, member.target = set(), frozenset()
        member.joined = member.synced = -1
        member.dead_at = None
        self.members.append(member)
        self._plan()

    def leave(self, member: Member) -> None:
        """Let a member go, whatever it held; nothing happens when it has gone already."""
        if member in self.members:
            self.members.remove(member)
            self._plan()

    def bury(self, now: float) -> None:
        """Throw out the members whose time is over."""
        for member in [m for m in self.members if m.dead_at is not None and m.dead_at <= now]:
            self.leave(member)

    def wants(self, member: Member, wants: Collection[TP]) -> None:
        """The member's topics have other partitions than before."""
        if member.wants != frozenset(wants):
            member.wants = frozenset(wants)
            self._plan()

    # --- partitions

    def to_give_back(self, member: Member) -> list[TP]:
        """What the member must give back before anything else."""
        if self.eager:
            return sorted(member.held) if member.joined < self.generation else []
        return sorted(member.held - member.target)

    def given_back(self, member: Member, partitions: Iterable[TP]) -> None:
        """The member holds these no more."""
        member.held -= set(partitions)

    def to_give(self, member: Member) -> list[TP] | None:
        """What the member is given now; `None` when there is nothing to say to it."""
        member.joined = self.generation
        if self.eager and any(other.joined < self.generation for other in self.members):
            return None
        held = {tp for other in self.members if other is not member for tp in other.held}
        given = sorted(member.target - member.held - held)
        if not given and member.synced == self.generation:
            return None
        member.synced = self.generation
        member.held |= set(given)
        return given

    def refuses(self, member: Member, partitions: Iterable[TP]) -> ClientError | None:
        """Why the member may not commit these."""
        if member not in self.members:
            return refusal("UNKNOWN_MEMBER_ID", f"{member.name} is no member of group {self.name}")
        gone = [f"{tp.topic}[{tp.partition}]" for tp in partitions if tp not in member.held]
        if gone:
            return refusal("ILLEGAL_GENERATION", f"{member.name} does not hold {', '.join(gone)}")
        return None

    # --- inside

    def _plan(self) -> None:
        """A new generation: everybody keeps what it holds as far as the loads stay even."""
        self.generation += 1
        shares: dict[Member, set[TP]] = {member: set() for member in self.members}
        free = {tp for member in self.members for tp in member.wants}
        for member in self.members:
            kept = (member.held | member.target if not self.eager else set()) & member.wants & free
            shares[member] = kept
            free -= kept
        for tp in sorted(free):
            takers = [member for member in self.members if tp in member.wants]
            shares[min(takers, key=lambda m: len(shares[m]))].add(tp)
        while self._even_out(shares):
            pass
        for member, share in shares.items():
            member.target = frozenset(share)

    @staticmethod
    def _even_out(shares: dict[Member, set[TP]]) -> bool:
        for giver, share in sorted(shares.items(), key=lambda item: -len(item[1])):
            for taker, other in sorted(shares.items(), key=lambda item: len(item[1])):
                movable = sorted(share & taker.wants)
                if len(share) > len(other) + 1 and movable and giver is not taker:
                    share.remove(movable[-1])
                    other.add(movable[-1])
                    return True
        return False
