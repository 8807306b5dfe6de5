"""Committed offsets: OffsetCommit, OffsetFetch, OffsetDelete, and the ones that wait for a transaction's end."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kafkaboot.dev.embedded.journal import Entry, Journal
    from kafkaboot.dev.embedded.node import Node

LARGEST_METADATA = 4096
"""Bytes of an offset's metadata, Kafka's `offset.metadata.max.bytes`."""


class Committed(NamedTuple):
    """A group's position in a partition, and what the consumer wrote next to it."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


class _Written(NamedTuple):
    """An offset and its place among all that were written: of two, the one written later counts."""

    order: int
    committed: Committed


Partition = tuple[str, int]
"""Topic and number."""


class Offsets:
    """The committed offsets of all groups.

    Args:
        journal: Where every change is taken down, to be replayed when the broker starts again.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._committed: dict[str, dict[Partition, _Written]] = {}
        self._staged: dict[str, dict[int, dict[Partition, _Written]]] = {}
        self._order = count()

    def commit(self, group_id: str, offsets: Mapping[Partition, Committed]) -> None:
        """Remember a group's offsets."""
        known = self._committed.setdefault(group_id, {})
        for partition, committed in offsets.items():
            known[partition] = _Written(next(self._order), committed)
        self._journal.write("offsets", "commit", group_id, _flat(offsets))

    def fetch(self, group_id: str) -> dict[Partition, Committed]:
        """What a group has committed."""
        return {partition: one.committed for partition, one in self._committed.get(group_id, {}).items()}

    def stage(self, producer_id: int, group_id: str, offsets: Mapping[Partition, Committed]) -> None:
        """Hold offsets back until their producer's transaction ends."""
        held = self._staged.setdefault(group_id, {}).setdefault(producer_id, {})
        for partition, committed in offsets.items():
            held[partition] = _Written(next(self._order), committed)
        self._journal.write("offsets", "stage", producer_id, group_id, _flat(offsets))

    def complete(self, producer_id: int, group_id: str, commit: bool) -> None:
        """End a transaction: what it held back counts now, unless something newer was committed, or never does."""
        staged = self._staged.get(group_id, {})
        held = staged.pop(producer_id, {})
        if not staged:
            self._staged.pop(group_id, None)
        if commit:
            known = self._committed.setdefault(group_id, {})
            for partition, one in held.items():
                if partition not in known or known[partition].order < one.order:
                    known[partition] = one
        self._journal.write("offsets", "complete", producer_id, group_id, commit)

    def pending(self, group_id: str) -> set[Partition]:
        """Partitions whose offset an open transaction may still change."""
        return {partition for held in self._staged.get(group_id, {}).values() for partition in held}

    def groups(self) -> list[str]:
        """Groups of which offsets are known or held back."""
        return list({**self._committed, **self._staged})

    def delete(self, group_id: str, partitions: Iterable[Partition]) -> None:
        """Forget single offsets of a group."""
        gone = list(partitions)
        for partition in gone:
            self._committed.get(group_id, {}).pop(partition, None)
            for held in self._staged.get(group_id, {}).values():
                held.pop(partition, None)
        self._journal.write("offsets", "delete", group_id, gone)

    def delete_group(self, group_id: str) -> None:
        """Forget everything of a group."""
        self._committed.pop(group_id, None)
        self._staged.pop(group_id, None)
        self._journal.write("offsets", "delete-group", group_id)

    def delete_topic(self, topic: str) -> None:
        """Forget every group's offsets in a topic that is gone."""
        for group_id in self.groups():
            gone = {partition for partition in self._committed.get(group_id, {}) if partition[0] == topic}
            self.delete(group_id, gone | {partition for partition in self.pending(group_id) if partition[0] == topic})

    def replay(self, what: str, *fields: Any) -> None:
        """Do again what the journal has taken down."""
        match what, *fields:
            case "commit", group_id, offsets:
                self.commit(group_id, _mapping(offsets))
            case "stage", producer_id, group_id, offsets:
                self.stage(producer_id, group_id, _mapping(offsets))
            case "complete", producer_id, group_id, commit:
                self.complete(producer_id, group_id, commit)
            case "delete", group_id, partitions:
                self.delete(group_id, map(tuple, partitions))
            case "delete-group", group_id:
                self.delete_group(group_id)
            case _:
                raise ValueError(f"the journal has an entry that is not known: offsets {what}")

    def entries(self) -> Iterator[Entry]:
        """What a journal must have taken down to come to this."""
        written: list[tuple[int, Entry]] = []
        for group_id, known in self._committed.items():
            for partition, one in known.items():
                written.append((one.order, ["commit", group_id, _flat({partition: one.committed})]))
        for group_id, staged in self._staged.items():
            for producer_id, held in staged.items():
                for partition, one in held.items():
                    written.append((one.order, ["stage", producer_id, group_id, _flat({partition: one.committed})]))
        for _, entry in sorted(written, key=lambda each: each[0]):
            yield ["offsets", *entry]


def _flat(offsets: Mapping[Partition, Committed]) -> list[list[Any]]:
    return [[*partition, *committed] for partition, committed in offsets.items()]


def _mapping(flat: Iterable[list[Any]]) -> dict[Partition, Committed]:
    return {(topic, index): Committed(*committed) for topic, index, *committed in flat}


def offset_commit(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Commit, when the member is one of this generation, or when nobody is in the group."""
    refused = node.groups.check(
        request.group_id,
        request.member_id,
        getattr(request, "group_instance_id", None),
        request.generation_id_or_member_epoch,
        commits_in_version=request.__version__,
    )
    offsets: dict[Partition, Committed] = {}
    topics = []
    for topic in request.topics:
        errors = []
        for part in topic.partitions:
            error = refused or _refusal(node, topic.name, part)
            index = part.partition_index
            errors.append(response.OffsetCommitResponsePartition(partition_index=index, error_code=error))
            if error is ErrorCode.none:
                epoch = getattr(part, "committed_leader_epoch", -1)
                committed = Committed(part.committed_offset, epoch, part.committed_metadata or "")
                offsets[topic.name, index] = committed
        topics.append(response.OffsetCommitResponseTopic(name=topic.name, partitions=tuple(errors)))
    if not refused:
        node.groups.touch(request.group_id, request.member_id)
    if offsets:
        node.groups.remember(request.group_id)
        node.offsets.commit(request.group_id, offsets)
    return make(response.OffsetCommitResponse, throttle_time=NOW, topics=tuple(topics))


def _refusal(node: Node, topic: str, part: Any) -> ErrorCode:
    if node.topics.partition(topic, part.partition_index) is None:
        return ErrorCode.unknown_topic_or_partition
    if len((part.committed_metadata or "").encode()) > LARGEST_METADATA:
        return ErrorCode.offset_metadata_too_large
    return ErrorCode.none


def offset_fetch(node: Node, request: Any, response: Any, _: Any) -> Any:
    """What groups have committed; with require-stable not while a transaction may change it (KIP-447)."""
    stable = getattr(request, "require_stable", False)
    if not hasattr(request, "groups"):
        topics = _fetched(node, response, "", request.group_id, request.topics, stable=stable)
        return make(response.OffsetFetchResponse, throttle_time=NOW, topics=topics, error_code=ErrorCode.none)
    groups = []
    for group in request.groups:
        refused = node.groups.check_fetch(
            group.group_id, getattr(group, "member_id", None), getattr(group, "member_epoch", -1)
        )
        topics = () if refused else _fetched(node, response, "s", group.group_id, group.topics, stable=stable)
        groups.append(response.OffsetFetchResponseGroup(group_id=group.group_id, topics=topics, error_code=refused))
    return response.OffsetFetchResponse(throttle_time=NOW, groups=tuple(groups))


def _fetched(node: Node, response: Any, plural: str, group_id: str, asked: Any, *, stable: bool) -> tuple[Any, ...]:
    """The answer's topics; kio's classes have an `s` more in the versions that ask for several groups."""
    make_topic = getattr(response, f"OffsetFetchResponseTopic{plural}")
    make_partition = getattr(response, f"OffsetFetchResponsePartition{plural}")
    committed = node.offsets.fetch(group_id)
    pending = node.offsets.pending(group_id) if stable else set()
    if asked is None:
        known: dict[str, list[int]] = {}
        for name, index in sorted({*committed, *pending}):
            known.setdefault(name, []).append(index)
        wanted = list(known.items())
    else:
        wanted = [(topic.name, list(topic.partition_indexes)) for topic in asked]
    nothing = Committed(-1)
    topics = []
    for name, indexes in wanted:
        parts = []
        for index in indexes:
            unstable = (name, index) in pending
            one = nothing if unstable else committed.get((name, index), nothing)
            parts.append(
                make(
                    make_partition,
                    partition_index=index,
                    committed_offset=one.offset,
                    committed_leader_epoch=one.leader_epoch,
                    metadata=one.metadata,
                    error_code=ErrorCode.unstable_offset_commit if unstable else ErrorCode.none,
                )
            )
        topics.append(make_topic(name=name, partitions=tuple(parts)))
    return tuple(topics)


APIS = (
    Api(8, "offset_commit", 2, 9, offset_commit),
    Api(9, "offset_fetch", 1, 9, offset_fetch),
)
