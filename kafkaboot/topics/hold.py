"""The look at start whether the topics that are there are what `kafkaboot.topics` says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kafkaboot.topics.plan import draw
from kafkaboot.topics.uses import UnfitTopicError
from kafkaboot.topics.wanted import wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import AdminPort
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
) -> list[str]:
    """Look whether each declared topic is as it is said to be, and change nothing; answers what is not.

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
    if not declared:
        return []
    topics = wanted(uses, declared, places)
    plan = draw(admin, topics, single_broker=single_broker, timeout=timeout, dry_run=False)
    found = [
        f"{_at(one.where)}topic {one.topic}: {one.setting} is {one.old or 'not known'}, and {one.new} is wanted"
        for one in plan.steps
        if one.kind != "create" and one.topic in declared
    ]
    found += [
        f"{_at(one.where)}topic {one.topic}: {one.setting} is {one.there}, and {one.wanted} is wanted ({one.why})"
        for one in plan.differences
        if one.wanted and one.topic in declared
    ]
    found += [
        f"{_at(one.where)}topic {one.topic} cannot be looked at: {one.what}; {one.todo}"
        for one in plan.unseen
        if one.topic in declared
    ]
    if found and strict:
        raise UnfitTopicError(
            "\n".join(found),
            fate="nothing was started: kafkaboot.kafka.topics is validate",
            todo="see what can be done, and do it: kafkaboot topics plan, kafkaboot topics apply; or correct "
            "kafkaboot.topics",
        )
    for line in found:
        log.warning("%s; see kafkaboot topics plan", line)
    return found


def _at(where: str) -> str:
    return f"{where}: " if where else ""
