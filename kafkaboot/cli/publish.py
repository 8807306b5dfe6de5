"""`kafkaboot publish`: write a record, checked by the application's own type."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, header_pairs, which_application

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.blueprint import Blueprint


@click.command(
    short_help="write a record, checked by the application's own type",
    epilog=examples(
        'kafkaboot publish orders \'{"order_id": "o-1", "total": "30.00"}\' --key o-1',
        "cat order.json | kafkaboot publish orders - --header source=desk",
        "kafkaboot publish orders --count 100 < order.json",
    ),
)
@click.argument("topic")
@click.argument("value", default="-")
@which_application(argument=False)
@click.option("--key", help="The record's key.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", callback=header_pairs, help="A header.")
@click.option("--type", "type_name", metavar="NAME", help="The event's name, where the topic carries several.")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How many times.")
@as_json
def publish(
    choice: Choice,
    *,
    topic: str,
    value: str,
    key: str | None,
    headers: list[tuple[str, str]],
    type_name: str | None,
    count: int,
    as_json: bool,
) -> None:
    """Write VALUE to TOPIC and say where it stands; "-", or nothing, reads standard input.

    Where the application has a type for the topic, the value is JSON and is checked by it before it is sent, and
    travels with the type's name. Elsewhere it is written as it is.
    """
    from kafkaboot.cli.connection import connect, hush
    from kafkaboot.cli.output import say, write_json
    from kafkaboot.producer import Producer, ProducerSettings

    # What a shell appends to a line is no part of the value.
    raw = sys.stdin.buffer.read().removesuffix(b"\n") if value == "-" else value.encode()
    connection = connect(choice)
    if connection.trouble is not None:
        raise connection.trouble
    outgoing = checked(connection.blueprint, topic, raw, type_name)
    given: list[tuple[str, str | bytes | None]] = [*outgoing.headers, *headers]
    configuration = connection.application.configure()
    settings = configuration.bind("kafkaboot.producer", ProducerSettings)
    properties = {"message.timeout.ms": 10_000, **settings.client_properties()}
    producer = Producer(
        connection.clients.producer(properties), envelope=settings.envelope, source=settings.source or "/kafkaboot-cli"
    )
    hush()
    with producer:
        connection.reach()  # a broker that is not there is told as such, not as a record that timed out
        receipts = producer.sync.publish_batch(topic, [outgoing.payload] * count, key=lambda _: key, headers=given)
    if as_json:
        write_json([receipt._asdict() for receipt in receipts])
        return
    say(f"as {outgoing.shown}", dim=True)
    for receipt in receipts[:10]:
        click.echo(f"{receipt.topic}[{receipt.partition}]@{receipt.offset}")
    if count > 10:
        click.echo(f"and {count - 10} more")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is published: the payload, headers that say its type where it has no class, how it is called."""

    payload: Any
    shown: str
    headers: Sequence[tuple[str, str]] = ()


def checked(blueprint: Blueprint | None, topic: str, raw: bytes, type_name: str | None) -> Outgoing:
    """The value, read by the application's type for the topic.

    Raises:
        UsageError: Several types are possible and none is named, or the named one does not exist.
        UndecodableError: The value is not what its type asks for.
    """
    from kafkaboot.cli.payloads import name_of, names, type_named, types_of
    from kafkaboot.config import nearest
    from kafkaboot.message import decoder, explain

    if type_name is not None:
        payload = type_named(blueprint, type_name) or next(
            (one for one in types_of(blueprint, topic) if name_of(one) == type_name), None
        )
        known = names(blueprint)
        if payload is None and known:
            near = nearest(type_name, known)
            advice = f"Did you mean {near!r}?" if near else f"There are: {', '.join(known)}."
            raise click.UsageError(f"The application declares no event {type_name!r}. {advice}")
        if payload is None:
            return Outgoing(raw, f"{type_name}, unchecked: no application declares it", [("ce_type", type_name)])
        candidates = [payload]
    else:
        candidates = types_of(blueprint, topic)
    if len(candidates) > 1:
        listed = ", ".join(map(name_of, candidates))
        raise click.UsageError(f"The topic {topic} carries several types. Name one with --type: {listed}")
    if not candidates:
        return Outgoing(raw, "raw bytes: the application has no type for this topic")
    annotation = candidates[0]
    try:
        payload = decoder(annotation)(raw)
    except Exception as error:
        raise explain(error, annotation, raw, where="the value", fate="nothing was published") from error
    return Outgoing(payload, name_of(annotation))
