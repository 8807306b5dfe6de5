"""What `doctor` looks at, in order; what cannot be looked at after a failure is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kafkaboot.boot.analysis import DRAINED, FAILED, UNREACHABLE, analyze
from kafkaboot.cli.connection import TIMEOUT, clients_of, found, hush
from kafkaboot.errors import BrokerUnreachableError, ClientError, KafkabootError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.cli.options import Choice
    from kafkaboot.cli.run_file import Running
    from kafkaboot.client import AdminPort, TopicInfo

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is about.
        verdict: Whether it holds.
        what: What was seen.
        todo: What to do about it.
        unreachable: No broker answered.
    """

    subject: str
    verdict: Verdict
    what: str
    todo: str = ""
    unreachable: bool = False


def exit_code(findings: Sequence[Finding]) -> int:
    """0, or 1 when something fails, or 4 when the broker is unreachable."""
    if any(one.unreachable for one in findings):
        return UNREACHABLE
    return FAILED if any(one.verdict == "fail" for one in findings) else DRAINED


def examine(choice: Choice) -> list[Finding]:
    """All findings."""
    return list(_examined(choice))


def _examined(choice: Choice) -> Iterator[Finding]:
    from kafkaboot.cli.databases_seen import databases
    from kafkaboot.cli.limits import limits
    from kafkaboot.cli.narrate import telling

    try:
        application, running = found(choice)
        wired = application.wire()
    except KafkabootError as error:
        yield _failed("application", error)
        return
    hush()
    blueprint = application.blueprint
    assert blueprint is not None
    yield Finding("configuration", "ok", telling(wired.sources))
    if blueprint.handlers:
        yield Finding("handlers", "ok", f"{len(wired.handlers)} wired: {', '.join(row.id for row in wired.handlers)}")
    else:
        yield Finding("handlers", "warn", "there are none: nothing is consumed", "add @event_handler to a function")
    yield from limits(blueprint)
    yield from databases(blueprint)
    yield from _connection(blueprint, running)


def _failed(subject: str, error: KafkabootError) -> Finding:
    analysis = analyze(error)
    return Finding(
        subject,
        "fail",
        f"{analysis.title}\n{analysis.happened}",
        analysis.todo,
        isinstance(error, BrokerUnreachableError),
    )


def _connection(blueprint: Blueprint, running: Running | None) -> Iterator[Finding]:
    from kafkaboot.client.settings import KafkaSettings

    settings = blueprint.configuration.bind("kafkaboot.kafka", KafkaSettings)
    try:
        warning = settings.transport_warning({"prod", *blueprint.configuration.profiles})
        clients = clients_of(blueprint.configuration, blueprint, running)
        clients.validate()
    except KafkabootError as error:
        yield _failed("connection", error)
        return
    if warning:
        what, _, todo = warning.partition("; ")
        yield Finding("security", "warn", what, todo)
    if settings.broker != "external" and running is None:
        yield _desk(settings.broker)
        return
    creates = settings.topics == "create" or running is not None
    own = creates or settings.topics == "auto"
    strict, single = settings.topics == "validate", running is not None
    yield from _cluster(blueprint, clients, creates=creates, own=own, strict=strict, single=single)


def _desk(kind: str) -> Finding:
    """Whether a broker of the desk can be started."""
    from kafkaboot.dev import NotInstalledError, artefacts

    if kind == "local":
        try:
            return Finding("broker", "ok", f"local: started with the application, by {artefacts.java()}")
        except NotInstalledError as error:
            return Finding("broker", "fail", error.what, error.todo)
    return Finding("broker", "ok", f"{kind}: started with the application")


def _cluster(
    blueprint: Blueprint, clients: Any, *, creates: bool, own: bool, strict: bool, single: bool
) -> Iterator[Finding]:
    admin = clients.admin()
    try:
        try:
            topics = admin.topics(TIMEOUT)
        except ClientError as error:
            yield _failed("connection", error)
            return
        yield Finding("connection", "ok", f"{clients.bootstrap_servers} answers, {len(topics)} topics")
        yield from _topics(blueprint, topics, creates=creates, own=own)
        yield from _declared(blueprint, admin, strict=strict, single=single)
        yield from _groups(blueprint, admin)
        yield from _transactions(blueprint, admin)
    finally:
        admin.close()


def _topics(blueprint: Blueprint, topics: dict[str, TopicInfo], *, creates: bool, own: bool) -> Iterator[Finding]:
    """`creates` and `own`: whether missing topics of the application, and of the house's own, are made at start."""
    import re

    from kafkaboot.boot.running import topic_uses

    seen: set[str] = set()
    for use in topic_uses(blueprint):
        if use.topic in seen:
            continue
        seen.add(use.topic)
        subject = f"topic {use.topic}"
        if use.pattern:
            matching = [name for name in topics if re.search(use.topic, name)]
            verdict: Verdict = "ok" if matching else "warn"
            yield Finding(subject, verdict, f"{len(matching)} topics match the pattern of {use.where}")
        elif use.topic not in topics:
            made = own if use.own else creates
            yield Finding(
                subject,
                "warn" if made else "fail",
                f"it does not exist ({use.by}, {use.where})",
                "it is created at start"
                if made
                else "create it, correct the name, or set kafkaboot.kafka.topics: create",
            )
        elif topics[use.topic].error:
            yield Finding(
                subject,
                "fail",
                f"the cluster says {topics[use.topic].error}",
                "ask for the right to describe and read it"
                if "AUTHORIZATION" in topics[use.topic].error
                else "see the brokers' log",
            )
        else:
            yield Finding(subject, "ok", _partitions(topics[use.topic].partitions))


def _declared(blueprint: Blueprint, admin: AdminPort, *, strict: bool, single: bool) -> Iterator[Finding]:
    """`strict`: whether a topic that is not as `kafkaboot.topics` says keeps the application from starting."""
    from kafkaboot.boot.running import topics_wanted_by
    from kafkaboot.topics import draw, told

    wanted = topics_wanted_by(blueprint)
    declared = {one.name for one in wanted if one.declared}
    if not declared:
        return
    plan = draw(admin, wanted, single_broker=single, timeout=TIMEOUT, dry_run=False)
    for topic, lines in told(plan, declared).items():
        verdict: Verdict = "fail" if strict else "warn"
        todo = "see what can be done, and do it: kafkaboot topics plan, kafkaboot topics apply"
        yield Finding(f"kafkaboot.topics.{topic}", verdict, "\n".join(lines), todo)


def _groups(blueprint: Blueprint, admin: AdminPort) -> Iterator[Finding]:
    for group in dict.fromkeys(handler.group for handler in blueprint.handlers):
        try:
            committed: dict[Any, Any] = admin.group_offsets(group, TIMEOUT)
        except ClientError as error:
            yield _failed(f"group {group}", error)
        else:
            said = (
                f"may be read, offsets on {_partitions(len(committed))}" if committed else "has committed nothing yet"
            )
            yield Finding(f"group {group}", "ok", said)


def _transactions(blueprint: Blueprint, admin: AdminPort) -> Iterator[Finding]:
    """Whether the brokers allow transactions as long as these."""
    from kafkaboot.producer import ProducerSettings, TransactionSettings

    settings = blueprint.configuration.bind("kafkaboot.producer", ProducerSettings).transaction
    if settings is None and not any(handler.spec.transactional for handler in blueprint.handlers):
        return
    timeout = (settings or TransactionSettings()).timeout
    try:
        most = admin.broker_setting("transaction.max.timeout.ms", TIMEOUT)
    except ClientError as error:
        yield _failed("transactions", error)
        return
    if most is not None and timeout * 1000 > int(most):
        yield Finding(
            "transactions",
            "fail",
            f"one may take {timeout:g} s, and the brokers allow {int(most) / 1000:g} s (transaction.max.timeout.ms)",
            "lower kafkaboot.producer.transaction.timeout, or raise the brokers' maximum",
        )
    else:
        yield Finding("transactions", "ok", f"one may take {timeout:g} s, which the brokers allow")


def _partitions(count: int) -> str:
    return f"{count} partition{'' if count == 1 else 's'}"
