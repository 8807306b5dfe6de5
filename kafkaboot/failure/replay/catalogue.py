"""A topic of letters as its index tells it, and the short tail that the index does not know yet."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kafkaboot.client import TP
from kafkaboot.failure.letter import read as read_letter
from kafkaboot.failure.replay import index
from kafkaboot.failure.replay.fold import BLOCK, Block, Cause
from kafkaboot.failure.replay.index import TIMEOUT, Contents
from kafkaboot.failure.replay.marks import NEW, States
from kafkaboot.failure.replay.reading import chunks
from kafkaboot.topics import MissingTopicError, naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kafkaboot.client import AdminPort, ReaderPort, TopicInfo
    from kafkaboot.failure.replay.selection import Selection

NAMED = (".dlt", "-dlt", ".dlq", "-dlq", ".parked")
"""How names of topics of dead letters end, ours and Spring's (`-dlt`, formerly `.DLT`)."""


@dataclass(slots=True)
class Group:
    """The letters of one cause, with what has become of them.

    Attributes:
        fingerprint: The cause's fingerprint.
        cause: What is common to them.
        states: How many by state; their sum is the cause's count.
        oldest: When the oldest new ones failed, in milliseconds since the epoch, to the nearest block of letters;
            `None` where none is new.
    """

    fingerprint: str
    cause: Cause
    states: dict[str, int]
    oldest: int | None


@dataclass(slots=True)
class Catalogue:
    """What is known of a topic of letters.

    Attributes:
        topic: Its name.
        begins, ends: By partition, when it was looked at.
        contents: The index.
        blocks: All blocks, by partition and number: the index's, and those that were folded now.
        folded: Those that were folded now.
        indexed: Whether there is an index.
        read: How many letters were read for it.
    """

    topic: str
    begins: dict[int, int]
    ends: dict[int, int]
    contents: Contents
    indexed: bool
    blocks: dict[tuple[int, int], Block] = field(default_factory=dict)
    folded: list[Block] = field(default_factory=list)
    read: int = 0

    @property
    def states(self) -> States:
        """What has become of which letter."""
        return States(self.contents.marks.values(), self.begins)

    def groups(self) -> list[Group]:
        """The causes, the one with the most new letters first."""
        counts = self.states.counts(BLOCK)
        found: dict[str, Group] = {}
        for (partition, number), block in sorted(self.blocks.items()):
            for fingerprint, cause in block.causes.items():
                states = counts.get((partition, number, fingerprint), {})
                fresh = cause.count - sum(states.values())
                group = found.get(fingerprint)
                if group is None:
                    group = found[fingerprint] = Group(fingerprint, cause.copy(), {}, None)
                else:
                    group.cause.add(cause)
                for state, count in {NEW: fresh, **states}.items():
                    if count > 0:
                        group.states[state] = group.states.get(state, 0) + count
                if fresh > 0:
                    group.oldest = cause.first if group.oldest is None else min(group.oldest, cause.first)
        return sorted(found.values(), key=lambda one: (-one.states.get(NEW, 0), -one.cause.count, one.fingerprint))

    def ranges(self, selection: Selection) -> tuple[dict[TP, int], dict[TP, int]]:
        """Where letters that are meant can stand: first and last offset by partition, from the index."""
        begins: dict[TP, int] = {}
        ends: dict[TP, int] = {}
        if selection.record is not None:
            partition, offset = selection.record
            if self.begins.get(partition, 0) <= offset < self.ends.get(partition, 0):
                tp = TP(self.topic, partition)
                return {tp: offset}, {tp: offset + 1}
            return {}, {}
        for (partition, _), block in sorted(self.blocks.items()):
            if any(selection.cause(print_, one.exception, one.handler) for print_, one in block.causes.items()):
                tp = TP(self.topic, partition)
                begins.setdefault(tp, block.begin)
                ends[tp] = block.covered
        return begins, ends


def load(
    reader: ReaderPort, admin: AdminPort, topic: str, heard: Callable[[int, int], None] | None = None
) -> Catalogue:
    """Read the index, and fold what it does not know.

    Args:
        reader: What reads.
        admin: What is asked.
        topic: The topic of letters.
        heard: Called with the letters read and those that are to be read.

    Raises:
        MissingTopicError: There is no such topic.
        ClientError: The cluster does not answer.
    """
    catalogue = look(reader, admin, topic)
    fold(catalogue, reader, heard)
    return catalogue


def look(reader: ReaderPort, admin: AdminPort, topic: str, before: Contents | None = None) -> Catalogue:
    """What the index says, with no block completed: enough to know of states, jobs and actions.

    Args:
        reader: What reads.
        admin: What is asked.
        topic: The topic of letters.
        before: What the index said a moment ago, where that is known; it is not read again then.

    Raises:
        MissingTopicError: There is no such topic.
        ClientError: The cluster does not answer.
    """
    known = admin.topics(TIMEOUT)
    partitions = [TP(topic, at) for at in range(existing(known, topic).partitions)]
    indexed = naming.index(topic) in known
    contents = before or (index.read(reader, admin, topic) if indexed else Contents())
    # Asked after the index was read: so no row can be ahead of these ends.
    begins, ends = admin.begin_offsets(partitions, TIMEOUT), admin.end_offsets(partitions, TIMEOUT)
    return Catalogue(
        topic,
        {tp.partition: at for tp, at in begins.items()},
        {tp.partition: at for tp, at in ends.items()},
        contents,
        indexed,
    )


def fold(catalogue: Catalogue, reader: ReaderPort, heard: Callable[[int, int], None] | None = None) -> None:
    """Complete the catalogue's blocks from the letters themselves."""
    gaps = [gap for partition in catalogue.ends for gap in _gaps(catalogue, partition)]
    total = sum(end - begin for _, begin, end in gaps)
    for begins, ends in _rounds(catalogue.topic, gaps):
        before = catalogue.read
        report = (lambda count, before=before: heard(before + count, total)) if heard is not None else None
        for chunk in chunks(reader, begins, ends, report):
            catalogue.read += len(chunk)
            for record in chunk:
                letter = read_letter(record)
                catalogue.blocks[letter.partition, letter.offset // BLOCK].add(letter)
    for partition, _, end in gaps:  # markers and holes at a block's end are covered too
        for block in catalogue.folded:
            if block.partition == partition and block.covered < min(block.end, end):
                block.covered = min(block.end, end)


def existing(known: Mapping[str, TopicInfo], topic: str) -> TopicInfo:
    """The topic among those that are known.

    Raises:
        MissingTopicError: It is not there; near names are told.
    """
    if topic in known:
        return known[topic]
    named = sorted(name for name in known if not name.startswith("__") and not name.endswith(".index"))
    near = difflib.get_close_matches(topic, named, n=3)
    letters = letter_topics(known)
    if near:
        todo = f"did you mean {', '.join(near)}?"
    elif letters:
        todo = f"topics that look like dead letters: {', '.join(letters)}"
    else:
        todo = "no topic here looks like one of dead letters; one is made when a handler's first record fails for good"
    raise MissingTopicError(f"topic {topic!r} does not exist", todo=todo)


def letter_topics(known: Mapping[str, TopicInfo]) -> list[str]:
    """The topics that hold letters: those with an index, and those that are named as they are here and elsewhere."""
    return sorted(name for name in known if naming.index(name) in known or name.lower().endswith(NAMED))


def _gaps(catalogue: Catalogue, partition: int) -> Iterator[tuple[int, int, int]]:
    """The parts of a partition that no usable row covers; a block for each is made ready on the way."""
    begin, end = catalogue.begins[partition], catalogue.ends[partition]
    at = begin
    gap: tuple[int, int] | None = None
    while at < end:
        number = at // BLOCK
        row = catalogue.contents.blocks.get((partition, number))
        if row is None or row.begin != at or row.covered > end:  # retention has taken letters out of it, or all
            row = Block(partition, at, at)
        catalogue.blocks[partition, number] = row
        upto = min(row.end, end)
        if row.covered < upto:
            catalogue.folded.append(row)
            if gap is not None and gap[1] == row.covered:
                gap = (gap[0], upto)
            else:
                if gap is not None:
                    yield (partition, *gap)
                gap = (row.covered, upto)
        at = row.end
    if gap is not None:
        yield (partition, *gap)


def _rounds(topic: str, gaps: list[tuple[int, int, int]]) -> Iterator[tuple[dict[TP, int], dict[TP, int]]]:
    """One gap of each partition at a time."""
    left = list(gaps)
    while left:
        first: dict[int, tuple[int, int, int]] = {}
        for gap in left:
            first.setdefault(gap[0], gap)
        left = [gap for gap in left if first[gap[0]] is not gap]
        yield (
            {TP(topic, partition): begin for partition, begin, _ in first.values()},
            {TP(topic, partition): end for partition, _, end in first.values()},
        )
