"""The look at start whether the topics that are there are what `kafkaboot.topics` says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kafkaboot.topics.plan import draw
from kafkaboot.topics.uses import UnfitTopicError
from kafkaboot.topics.wanted import wanted_topics

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kafkaboot.client import AdminPort
    from kafkaboot.topics.plan import Plan
    from kafkaboot.topics.settings import TopicSettings
    from kafkaboot.topics.uses import TopicUse

log = logging.getLogger("kafkaboot.topics")


def hold(
    admin: AdminPort,
    uses: Sequence[TopicUse],
    declared: Mapping[str, TopicSettings],
    places: Mapping[str, str],
    *,
    strict: bool,
    single_broker: bool = False,
    timeout: float = 10.0,
) -> None:
    """Look whether each declared topic is as it is said to be, and change nothing.

    Args:
        admin: Asks the cluster.
        uses: Who needs which topic.
        declared: `kafkaboot.topics`.
        places: File and line by key below `kafkaboot.topics`.
        strict: Raise; else it is a warning, and the application starts.
        single_broker: Whether the cluster cannot hold more than one copy.
        timeout: Seconds for each question.

    Raises:
        UnfitTopicError: With `strict`: all that is otherwise than it is said, each with file and line.
        ClientError: The cluster could not be asked.
    """
    topics = wanted_topics(uses, declared, places)
    found = told(draw(admin, topics, single_broker=single_broker, timeout=timeout, dry_run=False), declared)
    if found and strict:
        raise UnfitTopicError(
            "\n".join(line for lines in found.values() for line in lines),
            fate="nothing was started: kafkaboot.kafka.topics is validate",
            todo="see what can be done, and do it: kafkaboot topics plan, kafkaboot topics apply; or correct "
            "kafkaboot.topics",
        )
    for line in (line for lines in found.values() for line in lines):
        log.warning("%s; see kafkaboot topics plan", line)


def told(plan: Plan, declared: Collection[str]) -> dict[str, list[str]]:
    """What of the declared topics that are there is otherwise than it is said, by topic, in lines."""
    found: dict[str, list[str]] = {}
    for step in plan.steps:
        if step.kind != "create":
            line = f"{step.setting} is {step.old or 'not known'}, and {step.new} is wanted"
            found.setdefault(step.topic, []).append(f"{_at(step.where)}topic {step.topic}: {line}")
    for one in plan.differences:
        if one.wanted:
            line = f"{one.setting} is {one.there}, and {one.wanted} is wanted ({one.why})"
            found.setdefault(one.topic, []).append(f"{_at(one.where)}topic {one.topic}: {line}")
    for unseen in plan.unseen:
        line = f"{_at(unseen.where)}topic {unseen.topic} cannot be looked at: {unseen.what}; {unseen.todo}"
        found.setdefault(unseen.topic, []).append(line)
    return {topic: lines for topic, lines in found.items() if topic in declared}


def _at(where: str) -> str:
    return f"{where}: " if where else ""
