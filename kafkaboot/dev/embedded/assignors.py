"""The broker's own assignors of KIP-848: who is to read what, given who reads it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Partition = tuple[str, int]
"""Topic and number."""


class Subscriber(NamedTuple):
    """A member as an assignor sees it: its id, what it reads, and what it was to read so far."""

    member_id: str
    instance_id: str | None
    topics: frozenset[str]
    held: frozenset[Partition]


Assigned = dict[str, set[Partition]]
"""By member id."""


def uniform(subscribers: Sequence[Subscriber], partitions: Mapping[str, int]) -> Assigned:
    """Even numbers of partitions, and as few moves as that allows."""
    members = sorted(subscribers, key=lambda one: one.member_id)
    assigned: Assigned = {one.member_id: set() for one in members}
    owner: dict[Partition, str] = {}
    everything = [(topic, index) for topic in sorted(partitions) for index in range(partitions[topic])]
    for one in members:
        for partition in sorted(one.held):
            topic, index = partition
            if topic in one.topics and index < partitions.get(topic, 0) and partition not in owner:
                owner[partition] = one.member_id
                assigned[one.member_id].add(partition)
    readers = {topic: [one.member_id for one in members if topic in one.topics] for topic in partitions}
    for partition in everything:
        if partition not in owner and readers[partition[0]]:
            _give(partition, min(readers[partition[0]], key=lambda one: len(assigned[one])), owner, assigned)
    moved = True
    while moved:
        moved = False
        for partition in everything:
            if partition not in owner:
                continue
            least = min(readers[partition[0]], key=lambda one: len(assigned[one]))
            if len(assigned[owner[partition]]) > len(assigned[least]) + 1:
                _give(partition, least, owner, assigned)
                moved = True
    return assigned


def _give(partition: Partition, member_id: str, owner: dict[Partition, str], assigned: Assigned) -> None:
    before = owner.get(partition)
    if before is not None:
        assigned[before].discard(partition)
    owner[partition] = member_id
    assigned[member_id].add(partition)


def by_range(subscribers: Sequence[Subscriber], partitions: Mapping[str, int]) -> Assigned:
    """Of each topic a row of partitions to each member, so that equal partitions of two topics meet in one member."""
    members = sorted(subscribers, key=lambda one: (one.instance_id is None, one.instance_id or one.member_id))
    assigned: Assigned = {one.member_id: set() for one in members}
    for topic, count in partitions.items():
        readers = [one.member_id for one in members if topic in one.topics]
        at = 0
        for place, member_id in enumerate(readers):
            size = count // len(readers) + (place < count % len(readers))
            assigned[member_id].update((topic, index) for index in range(at, at + size))
            at += size
    return assigned


ASSIGNORS: dict[str, Callable[[Sequence[Subscriber], Mapping[str, int]], Assigned]] = {
    "uniform": uniform,
    "range": by_range,
}
"""By the name that a client may ask for; the first one where nobody asks."""
