"""The look at topics of the house's own, dead letters and retries: they follow the topic their records come from."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from kafkaboot.errors import ClientError
from kafkaboot.topics.settings import TopicSettings
from kafkaboot.topics.uses import MissingTopicError, UnfitTopicError, await_known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import AdminPort, TopicInfo, TopicSpec
    from kafkaboot.topics.uses import Action, TopicUse


def look_up_own(
    admin: AdminPort,
    uses: Sequence[TopicUse],
    known: Mapping[str, TopicInfo],
    declared: Mapping[str, TopicSettings],
    action: Action,
    single_broker: bool,
    deadline: float,
) -> list[str]:
    """Look up the topics of the house's own; answers the names of those that were created.

    What `kafkaboot.topics` says of one wins over its source's number of partitions.

    Raises:
        MissingTopicError: With `validate`, all that are missing.
        UnfitTopicError: All that have too few partitions, or that this application may not write to.
        ClientError: The cluster could not be asked, or refuses to create one.
    """
    names = dict.fromkeys(use.topic for use in uses)
    partitions = {
        name: max((_partitions(known, use.source) for use in uses if use.topic == name), default=-1) for name in names
    }
    missing = [name for name in names if name not in known]
    if missing and action == "validate":
        raise _missing(missing, uses, partitions)
    if missing:
        specs = []
        for name in missing:
            spec = declared.get(name, TopicSettings()).spec(name, single_broker=single_broker)
            specs.append(spec if spec.partitions > 0 else replace(spec, partitions=partitions[name]))
        _create(admin, specs, uses, deadline)
        known = await_known(admin, missing, deadline)
    problems = _too_small(uses, known)
    allowed = admin.permissions(list(names), max(deadline - time.monotonic(), 1.0))
    for use in uses:
        operations = allowed[use.topic]
        needed, verb = ("READ", "read") if use.reads else ("WRITE", "written to")
        if operations is not None and needed not in operations:
            listed = ", ".join(sorted(operations))
            problems.append(
                f"topic {use.topic!r} may not be {verb} (this application's user may: {listed}): {use.by} ({use.where})"
            )
    if problems:
        raise UnfitTopicError(
            "\n".join(dict.fromkeys(problems)),
            fate="nothing was started: a record that must go there could not, and its partition would stand still",
            todo="add partitions (kafkaboot topics apply, or kafka-topics --alter --partitions), grant this "
            "application's user Write (kafka-acls --add --operation Write), or choose another topic in "
            "kafkaboot.dead-letter.topic",
        )
    return missing


def _partitions(known: Mapping[str, TopicInfo], topic: str) -> int:
    there = known.get(topic)
    return there.partitions if there is not None and there.partitions else -1


def _too_small(uses: Sequence[TopicUse], known: Mapping[str, TopicInfo]) -> list[str]:
    problems = []
    for use in uses:
        there, wanted = _partitions(known, use.topic), _partitions(known, use.source)
        if use.aligned and there < wanted:
            problems.append(
                f"topic {use.topic!r} has {_counted(there)} and {use.source!r} has {wanted}; a record "
                f"keeps its partition's number there: {use.by} ({use.where})"
            )
    return problems


def _counted(partitions: int) -> str:
    return "1 partition" if partitions == 1 else f"{partitions} partitions"


def _create(admin: AdminPort, specs: Sequence[TopicSpec], uses: Sequence[TopicUse], deadline: float) -> None:
    try:
        admin.create_topics(specs, max(deadline - time.monotonic(), 1.0))
    except ClientError as error:
        topics = {spec.name for spec in specs}
        users = "; ".join(dict.fromkeys(f"{use.by} ({use.where})" for use in uses if use.topic in topics))
        raise ClientError(
            f"topics that kafkaboot needs are missing and cannot be created: {', '.join(sorted(topics))}: "
            f"{error.what}; {users}",
            code=error.code,
            retriable=error.retriable,
            where=error.where,
            todo="grant this application's user Create on them, or create them: "
            + ", ".join(f"{spec.name} with {_counted(spec.partitions)}" for spec in specs),
        ) from error


def _missing(missing: Sequence[str], uses: Sequence[TopicUse], partitions: Mapping[str, int]) -> MissingTopicError:
    lines = []
    for name in missing:
        lines.append(f"topic {name!r} does not exist")
        lines += [f"  {use.by} ({use.where})" for use in uses if use.topic == name]
    advice = ", ".join(
        f"{name} with {_counted(partitions[name])}" if partitions[name] > 0 else name for name in missing
    )
    return MissingTopicError(
        "\n".join(lines),
        todo=f"create it ({advice}), or let it be created: kafkaboot.kafka.topics: auto, or create",
    )
