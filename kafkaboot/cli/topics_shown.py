"""A plan for topics as people and programs read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.output import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.topics import Difference, Outcome, Plan, Step

_COLOURS = {"create": "green", "partitions": "yellow", "setting": "cyan"}
_SIGNS = {"create": "+", "partitions": "^", "setting": "~"}


def show(plan: Plan) -> None:
    """Write the plan."""
    for step in plan.steps:
        _step(step)
    for one in plan.differences:
        _difference(one)
    for unseen in plan.unseen:
        tell(f"  ? {unseen.topic}  cannot be looked at: {unseen.what}", fg="red")
        _more(unseen.where, f"to do: {unseen.todo}")
    tell(_summary(plan))


def became(outcome: Outcome) -> None:
    """Write what became of a step."""
    colour = {"done": "green", "refused": "red", "waits": "yellow"}[outcome.became]
    tell(f"  {outcome.became:<7}  {_head(outcome.step)}", fg=colour)
    if outcome.became == "refused":
        _more(outcome.what, f"to do: {outcome.todo}" if outcome.todo else "")
    elif outcome.became == "waits":
        _more(outcome.what, "")


def plain(plan: Plan, outcomes: Sequence[Outcome] = ()) -> dict[str, Any]:
    """The plan as JSON has it; `became`, `done`, `refused` or `waits`, where it was carried out."""
    fates = {id(one.step): one for one in outcomes}
    return {
        "topics": plan.topics,
        "changes": [_plain(step, fates.get(id(step))) for step in plan.steps],
        "differences": [
            {
                "topic": one.topic,
                "setting": one.setting,
                "there": one.there,
                "wanted": one.wanted or None,
                "why": one.why,
                "where": one.where,
                "todo": one.todo,
            }
            for one in plan.differences
        ],
        "unseen": [{"topic": one.topic, "what": one.what, "where": one.where, "todo": one.todo} for one in plan.unseen],
    }


def _plain(step: Step, outcome: Outcome | None) -> dict[str, Any]:
    spec = step.spec
    found: dict[str, Any] = {
        "change": step.kind,
        "topic": step.topic,
        "setting": step.setting or None,
        "old": step.old or None,
        "new": step.new,
        "why": step.why,
        "where": step.where,
        "warning": step.warning,
        "needs_consent": step.waits,
        "refused": step.refused or None,
        "todo": step.todo,
    }
    if spec is not None:
        found["spec"] = {"partitions": spec.partitions, "replication": spec.replication, "config": dict(spec.config)}
    if outcome is not None:
        refused = outcome.what if outcome.became == "refused" else step.refused or None
        found |= {"became": outcome.became, "refused": refused, "todo": outcome.todo or step.todo}
    return found


def _step(step: Step) -> None:
    tell(f"  {_SIGNS[step.kind]} {_head(step)}", fg=_COLOURS[step.kind])
    _more(step.why, step.where)
    if step.warning:
        _more(f"mind: {step.warning}", "")
    if step.refused:
        tell(f"      refused: {step.refused}", fg="red")
        _more(f"to do: {step.todo}" if step.todo else "", "")
    elif step.waits:
        tell(f"      waits for consent: --add-partitions {step.topic}", fg="yellow")


def _difference(one: Difference) -> None:
    wanted = f", and {_value(one.setting, one.wanted)} is wanted" if one.wanted else ""
    tell(f"  = {one.topic}  {one.setting} is {_value(one.setting, one.there)}{wanted}: left alone, {one.why}", dim=True)
    _more(one.where, f"to do: {one.todo}" if one.todo else "")


def _head(step: Step) -> str:
    if step.kind == "create":
        return f"{step.topic}  create with {step.new}"
    old, new = _value(step.setting, step.old), _value(step.setting, step.new)
    return f"{step.topic}  {step.setting}: {old or 'not known'} -> {new}"


def _value(setting: str, value: str) -> str:
    """A duration with what it means to people: `604800000 (7d)`."""
    from kafkaboot.topics import naming

    if setting.endswith(".ms") and value.isdigit() and 1000 <= int(value) < 2**62:
        return f"{value} ({naming.written(int(value) / 1000)})"
    return value


def _more(*said: str) -> None:
    for text in filter(None, said):
        for line in text.splitlines():
            tell(f"      {line}")


def _summary(plan: Plan) -> str:
    looked = f"{plan.topics} topic{'' if plan.topics == 1 else 's'} looked at"
    kinds = {kind: sum(step.kind == kind for step in plan.ready) for kind in ("create", "partitions", "setting")}
    said = [
        f"{kinds['create']} to create" if kinds["create"] else "",
        f"{kinds['partitions']} to grow" if kinds["partitions"] else "",
        f"{kinds['setting']} setting{'' if kinds['setting'] == 1 else 's'} to change" if kinds["setting"] else "",
        f"{len(plan.waiting)} for which consent is needed" if plan.waiting else "",
        f"{len(plan.refused)} that the cluster would refuse" if plan.refused else "",
        f"{len(plan.unseen)} that cannot be looked at" if plan.unseen else "",
    ]
    wanted = sum(bool(one.wanted) for one in plan.differences)
    said.append(f"{wanted} difference{'' if wanted == 1 else 's'} left alone" if wanted else "")
    return click.unstyle(f"{looked}: {', '.join(filter(None, said)) or 'nothing to change'}")
