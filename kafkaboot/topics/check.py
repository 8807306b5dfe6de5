"""Looks at start whether the topics of all handlers and publishers are there; creates them on a broker of the desk."""

from __future__ import annotations

import difflib
import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kafkaboot.errors import ClientError, KafkabootError
from kafkaboot.topics.settings import TopicSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import AdminPort, TopicInfo

log = logging.getLogger("kafkaboot.topics")

PAUSE = 0.02
"""Seconds between two looks at whether a created topic has become known."""


class MissingTopicError(KafkabootError):
    """A topic that is needed does not exist."""


@dataclass(frozen=True, slots=True)
class TopicUse:
    """Who needs a topic.

    Attributes:
        topic: Its name; a regular expression with `pattern`.
        by: Who needs it and for what, for example `handler bill takes it`.
        where: File and line of the declaration.
        pattern: Whether every topic is meant that matches from the beginning of its name.
    """

    topic: str
    by: str
    where: str
    pattern: bool = False


def look_up(
    admin: AdminPort,
    uses: Sequence[TopicUse],
    declared: Mapping[str, TopicSettings],
    action: Literal["create", "validate"],
    *,
    single_broker: bool = False,
    timeout: float = 10.0,
) -> list[str]:
    """Look up every topic that is used; answers the names of those that were created.

    Args:
        admin: Asks the cluster.
        uses: Who needs which topic.
        declared: `kafkaboot.topics`. With `create`, these are created even where nobody uses them.
        action: What is done about a missing one.
        single_broker: Whether the cluster cannot hold more than one copy.
        timeout: Seconds for the whole look.

    Raises:
        MissingTopicError: With `validate`, all that are missing, each with who needs it and what its name is near to.
        ClientError: The cluster could not be asked, or refuses a topic.
    """
    deadline = time.monotonic() + timeout
    known = admin.topics(timeout)
    _refused(known, uses)
    _compare(known, declared)
    needed = dict.fromkeys(use.topic for use in uses if not use.pattern)
    if action == "create":
        needed.update(dict.fromkeys(declared))
    missing = [name for name in needed if name not in known]
    for use in uses:
        if use.pattern and not any(re.match(use.topic, name) for name in {*known, *needed}):
            log.warning("no topic matches the pattern %s yet: %s (%s)", use.topic, use.by, use.where)
    if not missing:
        return []
    if action == "validate":
        raise _missing(missing, uses, known)
    specs = [declared.get(name, TopicSettings()).spec(name, single_broker=single_broker) for name in missing]
    admin.create_topics(specs, max(deadline - time.monotonic(), 1.0))
    _await_known(admin, missing, deadline)
    return missing


def _await_known(admin: AdminPort, names: Sequence[str], deadline: float) -> None:
    """A created topic becomes known to the brokers a moment later; a consumer that is too early is told of an error."""
    while True:
        left = deadline - time.monotonic()
        known = admin.topics(max(left, 1.0))
        unknown = [name for name in names if name not in known or known[name].error or not known[name].partitions]
        if not unknown:
            return
        if left <= 0:
            raise ClientError(
                f"topics were created and are not known to the broker yet: {', '.join(unknown)}",
                retriable=True,
                todo="start again; if it stays so, look into the broker's log",
            )
        time.sleep(PAUSE)


def _refused(known: Mapping[str, TopicInfo], uses: Sequence[TopicUse]) -> None:
    for use in uses:
        info = known.get(use.topic)
        if info is not None and "AUTHORIZATION" in info.error:
            raise ClientError(
                f"topic {use.topic!r} may not be looked at ({info.error}): {use.by}",
                code=info.error,
                where=use.where,
                todo="grant this application's user Describe on the topic, "
                "or correct the credentials in kafkaboot.kafka.security",
            )


def _compare(known: Mapping[str, TopicInfo], declared: Mapping[str, TopicSettings]) -> None:
    for name, settings in declared.items():
        there = known.get(name)
        if there is not None and settings.partitions and there.partitions != settings.partitions:
            log.warning(
                "topic %s has %d partitions and kafkaboot.topics.%s.partitions says %d: it is left as it is",
                name,
                there.partitions,
                name,
                settings.partitions,
            )


def _missing(missing: Sequence[str], uses: Sequence[TopicUse], known: Mapping[str, TopicInfo]) -> MissingTopicError:
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
