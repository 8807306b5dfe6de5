"""What becomes of one letter on an errand: where its record goes, and in which state the letter is afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.failure.replay.marks import PARKED, RESOLVED, RETRIED
from kafkaboot.message import headers as names
from kafkaboot.topics import naming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafkaboot.client import TopicInfo
    from kafkaboot.failure.letter import Letter
    from kafkaboot.failure.replay.jobs import Errand
    from kafkaboot.message import Headers

BY_KEY = -1
"""In place of a partition: the partitioner chooses, by the key."""
_REPLACED = frozenset({names.KB_REDRIVES, names.KB_REDRIVEN_FROM, names.KB_EDITED_BY})


class Route(NamedTuple):
    """Where a letter's record goes.

    Attributes:
        state: The letter's state when it is there; empty where it is left as it is.
        topic: The topic; empty where nothing is sent.
        partition: The partition, or `BY_KEY`.
        why: Why it is left as it is.
    """

    state: str
    topic: str = ""
    partition: int = BY_KEY
    why: str = ""


class Router:
    """Decides for each letter of an errand.

    Args:
        letters: The topic of letters.
        errand: What is to be done.
        topics: The topics that exist.
    """

    def __init__(self, letters: str, errand: Errand, topics: Mapping[str, TopicInfo]) -> None:
        self._errand, self._topics = errand, topics
        self._parking = naming.parking(letters)
        self._among_parked = naming.is_parking(letters)
        self._closed = {letters, naming.index(letters), self._parking}

    def route(self, letter: Letter) -> Route:
        """What becomes of it."""
        deed = self._errand.deed
        if deed == "resolve":
            return Route(RESOLVED)
        if deed == "park":
            return Route(PARKED, self._parking)
        if letter.redrives >= self._errand.max_rounds:
            if self._among_parked:
                return Route("", why=f"was sent again {letter.redrives} times already: raise --max-rounds")
            return Route(PARKED, self._parking)
        return self.source(letter)

    def source(self, letter: Letter) -> Route:
        """The way to where the record came from, or to the topic that was named in its place."""
        named, origin = self._errand.to, letter.original.topic
        topic = named or origin
        if not topic:
            return Route("", why="names no source topic: name one with --to")
        if topic in self._closed or topic.startswith("__"):
            return Route("", why=f"would go to {topic}, where no handler's records are: name another with --to")
        if topic not in self._topics:
            return Route("", why=f"its topic {topic} does not exist: create it, or name another with --to")
        partition = letter.original.partition
        as_before = topic == origin and partition is not None and partition < self._topics[topic].partitions
        return Route(RETRIED, topic, partition if as_before and partition is not None else BY_KEY)


def outgoing(
    letter: Letter, edited_by: str | None = None, changed: Mapping[str, bytes | None] | None = None
) -> Headers:
    """The headers of a record that is sent again: its own, how often it was, and which letter it had been.

    Args:
        letter: The letter.
        edited_by: Who changed it, if anybody did.
        changed: Headers that take the place of those of the same name; `None` takes one away.
    """
    changed = changed or {}
    own = [(name, value) for name, value in letter.original_headers() if name not in {*_REPLACED, *changed}]
    own += [(name, value) for name, value in changed.items() if value is not None]
    own.append((names.KB_REDRIVES, str(letter.redrives + 1).encode()))
    own.append((names.KB_REDRIVEN_FROM, letter.where.encode()))
    if edited_by is not None:
        own.append((names.KB_EDITED_BY, edited_by.encode()))
    return own
