"""Carries a plan out, step by step: what cannot be done is told, and the rest is done."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kafkaboot.errors import BrokerUnreachableError, ClientError
from kafkaboot.topics.losses import same
from kafkaboot.topics.tries import settings_of
from kafkaboot.topics.uses import PAUSE, await_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafkaboot.client import AdminPort
    from kafkaboot.topics.plan import Plan, Step

Became = Literal["done", "refused", "waits"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step.

    Attributes:
        step: The step.
        became: It was done, the cluster refused it, or it waits: for consent, or for another step.
        what: Why it was not done.
        todo: What to do about it.
    """

    step: Step
    became: Became
    what: str = ""
    todo: str = ""


def carry_out(
    admin: AdminPort, plan: Plan, timeout: float = 30.0, told: Callable[[Outcome], object] = lambda _: None
) -> list[Outcome]:
    """Do what is ready, in the plan's order; what another did meanwhile is done as well.

    Args:
        admin: Changes the cluster.
        plan: What to do.
        timeout: Seconds for each request.
        told: Hears of each step at once.

    Raises:
        BrokerUnreachableError: Nobody answers any more; the steps before were done.
    """
    outcomes: list[Outcome] = []
    for outcome in _carried_out(admin, plan, timeout):
        outcomes.append(outcome)
        told(outcome)
    _await_settings(admin, outcomes, timeout)
    return outcomes


def _carried_out(admin: AdminPort, plan: Plan, timeout: float) -> Iterator[Outcome]:
    too_small: dict[str, str] = {}  # by source, what follows it and could not grow
    missing: set[str] = set()  # what could not be created
    settings: dict[str, Outcome] = {}
    for step in plan.steps:
        if step.refused:
            outcome = Outcome(step, "refused", step.refused, step.todo)
        elif step.waits:
            outcome = Outcome(step, "waits", "it needs consent")
        elif step.kind == "partitions" and step.topic in too_small:
            outcome = Outcome(step, "waits", f"{too_small[step.topic]}, which is to be as large, did not grow")
        elif step.spec is not None and step.spec.partitions < 0 and missing.intersection(step.sources):
            outcome = Outcome(step, "waits", f"{', '.join(step.sources)}, which it is to be as large as, is not there")
        elif step.kind == "setting" and step.topic in settings:  # all of a topic's are one request
            outcome = dataclasses.replace(settings[step.topic], step=step)
        else:
            outcome = _done(admin, step, plan, timeout)
        if step.kind == "setting":
            settings.setdefault(step.topic, outcome)
        elif outcome.became != "done":
            too_small.update(dict.fromkeys(step.aligned, step.topic))
            missing.add(step.topic)
        yield outcome


def _done(admin: AdminPort, step: Step, plan: Plan, timeout: float) -> Outcome:
    try:
        if step.kind == "create":
            _create(admin, step, timeout)
        elif step.kind == "partitions":
            _grow(admin, step.topic, int(step.new), timeout)
        else:
            admin.set_topic_settings(step.topic, settings_of(step.topic, plan.ready), timeout)
    except BrokerUnreachableError:
        raise
    except ClientError as error:
        return Outcome(step, "refused", error.what, error.todo)
    return Outcome(step, "done")


def _create(admin: AdminPort, step: Step, timeout: float) -> None:
    spec, until = step.spec, time.monotonic() + timeout
    assert spec is not None
    if spec.partitions < 0 and step.sources:  # the broker has chosen how large these are
        known = admin.topics(timeout)
        spec = dataclasses.replace(
            spec, partitions=max((known[one].partitions for one in step.sources if one in known), default=0) or -1
        )
    admin.create_topics([spec], timeout)
    await_known(admin, [spec.name], until)


def _grow(admin: AdminPort, topic: str, total: int, timeout: float) -> None:
    try:
        admin.add_partitions(topic, total, timeout)
    except ClientError as error:
        there = admin.topics(timeout).get(topic) if error.code == "INVALID_PARTITIONS" else None
        if there is None or there.partitions < total:
            raise


def _await_settings(admin: AdminPort, outcomes: list[Outcome], timeout: float) -> None:
    """Return when the broker tells of what was set.

    It hears of it a moment after the controller; a plan drawn before would show the same steps again.
    """
    waiting = [one.step for one in outcomes if one.step.kind == "setting" and one.became == "done"]
    until = time.monotonic() + timeout
    while waiting and time.monotonic() < until:
        found = admin.topic_settings(sorted({step.topic for step in waiting}), timeout)
        waiting = [step for step in waiting if not _holds(found[step.topic], step)]
        if waiting:
            time.sleep(PAUSE)


def _holds(settings: object, step: Step) -> bool:
    if not isinstance(settings, dict):
        return True  # it may not be looked at
    there = settings.get(step.setting)
    return there is None or there.value is None or same(there.value, step.new)
