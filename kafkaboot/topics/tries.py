"""Asks the cluster what it would refuse of a plan (validate_only): permissions, names, values, its own policies."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kafkaboot.errors import BrokerUnreachableError, ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.client import AdminPort
    from kafkaboot.topics.plan import Step


def tried(admin: AdminPort, steps: Sequence[Step], timeout: float) -> list[Step]:
    """The steps, each that would be refused with why. All settings of a topic are one request, as when they are set.

    Raises:
        BrokerUnreachableError: Nobody answers.
    """
    refusals: dict[tuple[str, str], ClientError] = {}
    for step in steps:
        if (step.kind, step.topic) not in refusals:
            try:
                _try(admin, step, steps, timeout)
            except BrokerUnreachableError:
                raise
            except ClientError as error:
                refusals[step.kind, step.topic] = error
    return [
        dataclasses.replace(step, refused=refused.what, todo=step.todo or refused.todo)
        if (refused := refusals.get((step.kind, step.topic))) is not None
        else step
        for step in steps
    ]


def settings_of(topic: str, steps: Sequence[Step]) -> dict[str, str]:
    """What is to be set on a topic."""
    return {step.setting: step.new for step in steps if step.kind == "setting" and step.topic == topic}


def _try(admin: AdminPort, step: Step, steps: Sequence[Step], timeout: float) -> None:
    if step.kind == "create":
        assert step.spec is not None
        admin.create_topics([step.spec], timeout, dry_run=True)
    elif step.kind == "partitions":
        admin.add_partitions(step.topic, int(step.new), timeout, dry_run=True)
    elif step == next(one for one in steps if one.kind == "setting" and one.topic == step.topic):
        admin.set_topic_settings(step.topic, settings_of(step.topic, steps), timeout, dry_run=True)
