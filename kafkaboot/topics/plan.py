"""The plan: what would make the cluster's topics what the application wants, and what is left alone.

Only what adds is ever planned: topics, partitions, settings that cost nothing. Everything else is told as a difference.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from kafkaboot.errors import ClientError
from kafkaboot.topics.losses import cost, same
from kafkaboot.topics.settings import IN_SYNC
from kafkaboot.topics.tries import tried

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kafkaboot.client import AdminPort, TopicInfo, TopicSetting, TopicSpec
    from kafkaboot.topics.wanted import Wanted

Kind = Literal["create", "partitions", "setting"]


@dataclass(frozen=True, slots=True)
class Step:
    """One change that only adds.

    Attributes:
        kind: A topic is created, grows, or has a setting changed.
        topic: Its name.
        setting: `partitions`, or Kafka's name of a setting; empty for a topic that is created.
        old: What holds; empty where nothing does.
        new: What is wanted.
        why: Who wants it.
        where: File and line.
        warning: What it means for records and keys; empty when nothing.
        waits: It is done only with consent.
        refused: Why the cluster would refuse it.
        todo: What to do about that.
        spec: The topic to create.
        sources: For a topic of the house's own that is created: those that it is made as large as.
        aligned: Those that may not be larger than it.
    """

    kind: Kind
    topic: str
    setting: str = ""
    old: str = ""
    new: str = ""
    why: str = ""
    where: str = ""
    warning: str = ""
    waits: bool = False
    refused: str = ""
    todo: str = ""
    spec: TopicSpec | None = None
    sources: tuple[str, ...] = ()
    aligned: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether `apply` does it."""
        return not self.waits and not self.refused


@dataclass(frozen=True, slots=True)
class Difference:
    """What the cluster has otherwise than it is wanted, and keeps.

    Attributes:
        topic: Its name.
        setting: `partitions`, `replication`, or Kafka's name of a setting.
        there: What holds.
        wanted: What the specification says; empty where it says nothing.
        why: Why it is left alone.
        where: File and line.
        todo: How to have it otherwise; empty where nothing is wrong.
    """

    topic: str
    setting: str
    there: str
    wanted: str
    why: str
    where: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Unseen:
    """A topic that cannot be looked at, so that nothing is known of it, or not of its settings."""

    topic: str
    what: str
    where: str
    todo: str


@dataclass(slots=True)
class Plan:
    """What is to be done, in the order in which it is done, and what is not."""

    steps: list[Step] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    topics: int = 0

    @property
    def ready(self) -> list[Step]:
        """What `apply` does."""
        return [step for step in self.steps if step.ready]

    @property
    def waiting(self) -> list[Step]:
        """What needs consent."""
        return [step for step in self.steps if step.waits and not step.refused]

    @property
    def refused(self) -> list[Step]:
        """What the cluster would refuse."""
        return [step for step in self.steps if step.refused]


def draw(
    admin: AdminPort,
    wanted: Sequence[Wanted],
    *,
    consent: Collection[str] = (),
    single_broker: bool = False,
    timeout: float = 10.0,
    dry_run: bool = True,
) -> Plan:
    """Compare the cluster's topics with those that are wanted. Nothing is changed.

    Args:
        admin: Asks the cluster.
        wanted: The topics, sources before what follows them (`wanted_topics`).
        consent: Topics that may get more partitions though their keys move.
        single_broker: Whether the cluster cannot hold more than one copy.
        timeout: Seconds for each question.
        dry_run: Ask the cluster what it would refuse.

    Raises:
        ClientError: The cluster could not be asked.
    """
    known = admin.topics(timeout)
    looked = [one.name for one in wanted if one.name in known and one.declared and not known[one.name].error]
    draft = _Draft(known, admin.topic_settings(looked, timeout), wanted, frozenset(consent), single_broker)
    for one in wanted:
        draft.add(one)
    plan = draft.plan
    plan.topics = len(wanted)
    if dry_run:
        plan.steps = tried(admin, plan.steps, timeout)
    plan.steps.sort(key=lambda step: _turn(step, draft.depths[step.topic]))
    return plan


def _turn(step: Step, depth: int) -> tuple[int, int]:
    """When a step has its turn; `depth`: how many topics stand behind it, each following the next.

    Sources are created before what follows them, and grow behind it: a record keeps its partition's number there, and
    finds no place while that topic is the smaller one.
    """
    if step.kind == "partitions":
        return 1, -depth
    return (0, depth) if step.kind == "create" else (2, 0)


class _Draft:
    """The plan while it is drawn, topic by topic."""

    def __init__(
        self,
        known: Mapping[str, TopicInfo],
        settings: Mapping[str, dict[str, TopicSetting] | ClientError],
        wanted: Sequence[Wanted],
        consent: frozenset[str],
        single_broker: bool,
    ) -> None:
        self.plan = Plan()
        self._known, self._settings, self._consent, self._single = known, settings, consent, single_broker
        self._followers: dict[str, list[str]] = {}
        self.depths: dict[str, int] = {}
        for one in wanted:
            self.depths[one.name] = 1 + max((self.depths.get(source, 0) for source in one.sources), default=-1)
            for source in one.aligned:
                self._followers.setdefault(source, []).append(one.name)
        self._sizes: dict[str, int] = {}
        """By topic, how many partitions it has when the plan is carried out; -1 where the broker chooses."""

    def add(self, one: Wanted) -> None:
        there = self._known.get(one.name)
        unseen = [source for source in one.sources if source not in self._sizes and source != one.name]
        if unseen:
            what = f"it follows {', '.join(unseen)}, which cannot be looked at"
            self.plan.unseen.append(Unseen(one.name, what, one.where, "see there"))
        elif there is None:
            self._create(one)
        elif there.error:
            todo = "grant this application's user Describe on it" if "AUTHORIZATION" in there.error else ""
            self.plan.unseen.append(
                Unseen(one.name, f"the cluster says {there.error}", one.where, todo or "see the brokers' log")
            )
        else:
            self._partitions(one, there.partitions)
            self._replication(one, there.replication)
            self._compare_settings(one, there.replication)

    def _create(self, one: Wanted) -> None:
        spec = one.settings.spec(one.name, single_broker=self._single)
        follows = max((self._sizes.get(source, -1) for source in one.sources), default=-1)
        if one.aligned or spec.partitions < 0:
            spec = dataclasses.replace(spec, partitions=max(spec.partitions, follows))
        self._too_small(one, follows)
        self._sizes[one.name] = spec.partitions
        self.plan.steps.append(
            Step("create", one.name, "", "", _told(spec, one.sources), one.why, one.where, spec=spec,
                 sources=one.sources, aligned=one.aligned)
        )  # fmt: skip

    def _partitions(self, one: Wanted, there: int) -> None:
        said = one.settings.partitions or 0
        follows = max((self._sizes.get(source, -1) for source in one.aligned), default=-1)
        self._too_small(one, follows)
        target = max(said, follows)
        self._sizes[one.name] = there
        if max(1, follows) <= said < there:
            self.plan.differences.append(
                Difference(
                    one.name, "partitions", str(there), str(said), "Kafka takes no partitions away",
                    one.place("partitions"), f"write partitions: {there}",
                )
            )  # fmt: skip
        if target <= there:
            return
        moves = not one.aligned
        waits = moves and one.name not in self._consent
        if not waits:
            self._sizes[one.name] = target
        self.plan.steps.append(
            Step(
                "partitions", one.name, "partitions", str(there), str(target),
                one.why if said == target else f"as many as {', '.join(one.aligned)}; {one.why}",
                one.place("partitions"), self._moved_keys(one) if moves else "", waits,
                aligned=one.aligned,
            )
        )  # fmt: skip

    def _moved_keys(self, one: Wanted) -> str:
        """What becomes of keys, and of those who count on them."""
        said = [
            "records of a key may go to another partition than those before them, and overtake them",
            *dict.fromkeys(use.keyed for use in one.uses if use.keyed),
        ]
        policy = self._told(one.name).get("cleanup.policy")
        if policy is not None and policy.value is not None and "compact" in policy.value:
            said.append("it is compacted, and the old record of a key stays in its old partition for good")
        followers = self._followers.get(one.name)
        if followers:
            said.append(f"these grow with it: {', '.join(followers)}")
        return "; ".join(said)

    def _too_small(self, one: Wanted, follows: int) -> None:
        said = one.settings.partitions or 0
        if one.aligned and 0 < said < follows:
            self.plan.differences.append(
                Difference(
                    one.name, "partitions", str(follows), str(said),
                    f"a record keeps its partition's number there, and {', '.join(one.aligned)} has {follows}",
                    one.place("partitions"), f"leave partitions out, or write {follows}",
                )
            )  # fmt: skip

    def _replication(self, one: Wanted, there: int) -> None:
        said = one.settings.replication
        if said and there and said != there and not self._single:
            self.plan.differences.append(
                Difference(
                    one.name, "replication", str(there), str(said), "kafkaboot moves no replicas between brokers",
                    one.place("replication"), f"move them (kafka-reassign-partitions), or write replication: {there}",
                )
            )  # fmt: skip

    def _told(self, topic: str) -> dict[str, TopicSetting]:
        found = self._settings.get(topic, {})
        return {} if isinstance(found, ClientError) else found

    def _compare_settings(self, one: Wanted, replication: int) -> None:
        found = self._settings.get(one.name)
        if isinstance(found, ClientError):
            if one.settings.config:
                self.plan.unseen.append(Unseen(one.name, found.what, one.where, found.todo or _DESCRIBE))
            return
        if found is None:
            return
        for name, value in one.settings.config.items():
            if self._single and name == IN_SYNC:
                continue
            new, there = str(value), found.get(name)
            old = "" if there is None or there.value is None else there.value
            if there is not None and same(old, new):
                continue
            where = one.place(f"config.{name}")
            costs = cost(name, old, new, replication) if there is not None else ""
            if costs:
                by_hand = f"kafka-configs --alter --entity-type topics --entity-name {one.name} "
                todo = f"do it by hand ({by_hand}--add-config {name}={new}), or write {name}: {old}"
                self.plan.differences.append(Difference(one.name, name, old, new, costs, where, todo))
            else:
                near = difflib.get_close_matches(name, found, n=1) if there is None else []
                todo = f"did you mean {near[0]}?" if near else ""
                self.plan.steps.append(Step("setting", one.name, name, old, new, one.why, where, todo=todo))
        for name, there in sorted(found.items()):
            if there.own and name not in one.settings.config:
                self.plan.differences.append(
                    Difference(one.name, name, there.value or "******", "", "the specification does not name it",
                               one.where)
                )  # fmt: skip


_DESCRIBE = "grant this application's user DescribeConfigs on it"


def _told(spec: TopicSpec, sources: Sequence[str]) -> str:
    """A topic to create, in one line."""
    if spec.partitions > 0:
        said = "1 partition" if spec.partitions == 1 else f"{spec.partitions} partitions"
    else:
        said = f"the partitions of {', '.join(sources)}" if sources else "the broker's number of partitions"
    if spec.replication > 0:
        said += f", replication {spec.replication}"
    return ", ".join([said, *(f"{name}={value}" for name, value in spec.config.items())])
