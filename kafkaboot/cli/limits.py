"""Limits that cannot hold together: each is fine by itself, and two of them contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.consumer import ConsumerSettings
from kafkaboot.producer import ProducerSettings, TransactionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.cli.examination import Finding

GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL that Kubernetes gives a pod, unless told otherwise."""


def limits(blueprint: Blueprint) -> Iterator[Finding]:
    """What contradicts what; one `ok` where nothing does."""
    from kafkaboot.cli.examination import Finding

    configuration = blueprint.configuration
    consumer = configuration.bind("kafkaboot.consumer", ConsumerSettings)
    producer = configuration.bind("kafkaboot.producer", ProducerSettings)
    named = configuration.bind("kafkaboot.producers", dict[str, ProducerSettings])
    application = configuration.bind("kafkaboot.application", ApplicationSettings)
    properties = consumer.client_properties("earliest")
    found = [
        *_group(properties, consumer),
        *_stopping(consumer, application),
        *_handlers(blueprint, consumer),
        *_publishing(producer, "kafkaboot.producer"),
        *(one for name, other in named.items() for one in _publishing(other, f"kafkaboot.producers.{name}")),
        *_transacting(blueprint, consumer, producer),
    ]
    yield from (Finding(f"limits: {subject}", verdict, what, todo) for subject, verdict, what, todo in found)
    if not found:
        yield Finding("limits", "ok", "they hold together")


Found = tuple[str, Any, str, str]


def _group(properties: Mapping[str, Any], consumer: ConsumerSettings) -> Iterator[Found]:
    session, beat = float(properties.get("session.timeout.ms", 0)), float(properties.get("heartbeat.interval.ms", 0))
    poll = float(properties["max.poll.interval.ms"])
    if session and beat and beat * 3 > session:
        yield (
            "heartbeat.interval.ms",
            "fail" if beat >= session else "warn",
            f"a heartbeat every {beat:g} ms within a session of {session:g} ms: one that is lost ends the membership",
            "let three heartbeats fit into kafkaboot.consumer.session-timeout",
        )
    if session and poll < session:
        yield (
            "max.poll.interval.ms",
            "fail",
            f"it is {poll:g} ms, less than the session timeout of {session:g} ms: the client refuses that",
            "raise kafkaboot.consumer.max-poll-interval, or lower session-timeout",
        )
    if consumer.revoke_timeout * 1000 >= poll:
        yield (
            "revoke-timeout",
            "fail",
            f"a partition that is taken away waits {consumer.revoke_timeout:g} s, the group waits {poll / 1000:g} s",
            "keep kafkaboot.consumer.revoke-timeout below max-poll-interval",
        )
    if consumer.poll_records > consumer.max_buffered:
        yield (
            "poll-records",
            "warn",
            f"one poll takes up to {consumer.poll_records} records, and {consumer.max_buffered} are the most to hold",
            "raise kafkaboot.consumer.max-buffered, or lower poll-records",
        )


def _stopping(consumer: ConsumerSettings, application: ApplicationSettings) -> Iterator[Found]:
    longest = consumer.drain_timeout + application.stop_timeout
    if longest > GRACE:
        yield (
            "drain-timeout",
            "warn",
            (
                f"stopping may take {consumer.drain_timeout:g} s for handlers and {application.stop_timeout:g} s for a "
                f"component, and Kubernetes kills after {GRACE:g} s"
            ),
            (
                "lower kafkaboot.consumer.drain-timeout or kafkaboot.application.stop-timeout, or raise the pod's "
                "terminationGracePeriodSeconds"
            ),
        )


def _handlers(blueprint: Blueprint, consumer: ConsumerSettings) -> Iterator[Found]:
    for handler in blueprint.handlers:
        timeout = handler.spec.timeout
        if timeout is not None and timeout > consumer.drain_timeout:
            yield (
                f"handler {handler.spec.id}",
                "warn",
                (
                    f"one record may take {timeout:g} s, and stopping waits {consumer.drain_timeout:g} s: it is then "
                    "given up and handled again"
                ),
                "lower its timeout, or raise kafkaboot.consumer.drain-timeout",
            )
        if timeout is not None and timeout > consumer.stuck_after:
            yield (
                f"handler {handler.spec.id}",
                "warn",
                f"one record may take {timeout:g} s, and after {consumer.stuck_after:g} s the process counts as stuck",
                "raise kafkaboot.consumer.stuck-after above the handler's timeout",
            )
        if handler.retry.initial > handler.retry.max:
            yield (
                f"handler {handler.spec.id}",
                "warn",
                f"its first delay of {handler.retry.initial:g} s is longer than its longest, {handler.retry.max:g} s",
                f"correct kafkaboot.retry.{handler.retry_name}.backoff",
            )


def _transacting(blueprint: Blueprint, consumer: ConsumerSettings, producer: ProducerSettings) -> Iterator[Found]:
    names = [handler.spec.id for handler in blueprint.handlers if handler.spec.transactional]
    if not names:
        return
    timeout = (producer.transaction or TransactionSettings()).timeout
    if consumer.group_protocol == "classic" and timeout >= consumer.session_timeout:
        yield (
            "transaction.timeout",
            "fail",
            (
                f"a transaction of {', '.join(names)} may take {timeout:g} s, and a member is dead after "
                f"{consumer.session_timeout:g} s: who takes over would wait for it"
            ),
            "make kafkaboot.producer.transaction.timeout shorter than kafkaboot.consumer.session-timeout",
        )
    if consumer.transaction.linger >= timeout / 2:
        yield (
            "transaction.linger",
            "warn",
            f"a transaction waits {consumer.transaction.linger:g} s for more, and may take {timeout:g} s in all",
            "lower kafkaboot.consumer.transaction.linger",
        )
    isolation = str(consumer.properties.get("isolation.level", "read_committed"))
    if isolation != "read_committed":
        yield (
            "isolation.level",
            "fail",
            f"{', '.join(names)} would make something of records that may be aborted: it is {isolation}",
            "remove it from kafkaboot.consumer.properties",
        )


def _publishing(producer: ProducerSettings, section: str) -> Iterator[Found]:
    properties = producer.client_properties()
    delivery, linger = properties.get("message.timeout.ms"), properties.get("linger.ms", 0)
    if delivery is not None and float(str(delivery)) <= float(str(linger)):
        yield (
            "delivery-timeout",
            "fail",
            f"a record fails after {delivery} ms, and waits {linger} ms for company before it is sent",
            f"raise {section}.delivery-timeout, or lower linger",
        )
    if str(properties.get("enable.idempotence")).lower() == "false" or str(properties.get("acks", "all")) not in {
        "all",
        "-1",
    }:
        yield (
            "acks",
            "warn",
            "records may be lost or doubled on the way: enable.idempotence is off, or acks is not all",
            f"remove both from {section}.properties",
        )
