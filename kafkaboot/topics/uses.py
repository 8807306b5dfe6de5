"""Who needs which topic, and what is said of one that is not as it should be."""

from __future__ import annotations

import difflib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kafkaboot.errors import ClientError, KafkabootError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import AdminPort, TopicInfo

PAUSE = 0.02
"""Seconds between two looks at whether a created topic has become known."""


Action = Literal["create", "validate"]


class MissingTopicError(KafkabootError):
    """A topic that is needed does not exist."""


class UnfitTopicError(KafkabootError):
    """A topic of the house's own cannot take what is to go there."""


@dataclass(frozen=True, slots=True)
class TopicUse:
    """Who needs a topic.

    Attributes:
        topic: Its name; a regular expression with `pattern`.
        by: Who needs it and for what, for example `handler bill takes it`.
        where: File and line of the declaration.
        pattern: Whether every topic is meant that matches from the beginning of its name.
        source: For a topic of the house's own (dead letters, retries): the topic whose records go there. It is
            created with as many partitions, and this application must be permitted to write to it.
        aligned: Whether it needs as many partitions as its source: a record keeps its partition's number there.
        reads: Whether it is one of the house's own that follows no source and is only read here: answers to requests.
        keyed: Why the partition of a key matters there; empty where it is not known to.
    """

    topic: str
    by: str
    where: str
    pattern: bool = False
    source: str = ""
    aligned: bool = False
    keyed: str = ""
    reads: bool = False

    @property
    def own(self) -> bool:
        """Whether it is a topic of the house's own."""
        return bool(self.source) or self.reads


def await_known(admin: AdminPort, names: Sequence[str], deadline: float) -> dict[str, TopicInfo]:
    """All topics, once these are among them.

    A created topic becomes known to the brokers a moment later; a consumer that is too early is told of an error.
    """
    while True:
        left = deadline - time.monotonic()
        known = admin.topics(max(left, 1.0))
        unknown = [name for name in names if name not in known or known[name].error or not known[name].partitions]
        if not unknown:
            return known
        if left <= 0:
            raise ClientError(
                f"topics were created and are not known to the broker yet: {', '.join(unknown)}",
                retriable=True,
                todo="start again; if it stays so, look into the broker's log",
            )
        time.sleep(PAUSE)


def missing_error(
    missing: Sequence[str], uses: Sequence[TopicUse], known: Mapping[str, TopicInfo]
) -> MissingTopicError:
    """Which topics are missing, who needs each, and what its name is near to."""
    there = [name for name in known if not name.startswith("__")]
    lines = []
    for name in missing:
        lines += [f"topic {name!r} does not exist"]
        lines += [f"  {use.by} ({use.where})" for use in uses if use.topic == name and not use.pattern]
        near = difflib.get_close_matches(name, there, n=3, cutoff=0.6)
        if near:
            lines.append(f"  near to it: {', '.join(near)}")
    return MissingTopicError(
        "\n".join(lines),
        todo="correct the name, create the topic, or let it be created: kafkaboot.kafka.topics: create "
        "(a topic that this application's user may not see looks the same)",
    )
