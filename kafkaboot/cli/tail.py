"""`kafkaboot tail`: show records of a topic as they come."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kafkaboot.cli.shown import Reader
    from kafkaboot.client import TP, ClientFactory
    from kafkaboot.message import RawRecord

BEGINNING, END = -2, -1
"""Kafka's own numbers for the two ends of a partition (ListOffsets)."""


def _start(_: click.Context, __: click.Parameter, value: str) -> int:
    places = {"beginning": BEGINNING, "end": END}
    if value in places:
        return places[value]
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is none of beginning, end, or an offset")
    return int(value)


@click.command(
    short_help="show records of a topic as they come",
    epilog=examples(
        "kafkaboot tail invoices",
        "kafkaboot tail orders --from beginning --count 10 --json",
        "kafkaboot tail orders --from 1042 --partition 3 --count 1",
    ),
)
@click.argument("topic")
@which_application(argument=False)
@click.option(
    "--from", "start", default="end", callback=_start, metavar="PLACE", help="beginning, end (default), or an offset."
)
@click.option("--partition", type=click.IntRange(0), help="Only this partition.")
@click.option("--count", type=click.IntRange(1), help="End after so many records.")
@as_json
def tail(choice: Choice, *, topic: str, start: int, partition: int | None, count: int | None, as_json: bool) -> None:
    """Show records of TOPIC until Ctrl-C, decoded by the application's types where their headers name one.

    No group's offsets are touched: it reads as a group of its own that never commits (kafkaboot-tail-...). With --json
    each line is one object.
    """
    from kafkaboot.cli.connection import connect, refuse_missing
    from kafkaboot.cli.output import say, write_json_line
    from kafkaboot.cli.shown import Reader

    connection = connect(choice)
    if connection.trouble is not None:
        say(f"without the application's types: {connection.trouble.what}", fg="yellow")
    refuse_missing(connection.clients, topic)
    reader = Reader(connection.blueprint)
    left = count
    try:
        for record in records(connection.clients, topic, start, partition):
            _show(record, reader, write_json_line if as_json else None)
            if left is not None:
                left -= 1
                if left == 0:
                    return
    except KeyboardInterrupt:
        return


def _show(record: RawRecord, reader: Reader, write: Any) -> None:
    if write is not None:
        write(reader.plain(record))
        return
    for text, style in reader.parts(record):
        click.secho(text, nl=False, **style)
    click.echo()


def records(clients: ClientFactory, topic: str, start: int, partition: int | None) -> Iterator[RawRecord]:
    """The records, without end."""
    group = f"kafkaboot-tail-{uuid.uuid4().hex[:12]}"
    consumer = clients.consumer(group, {"enable.auto.commit": False, "enable.partition.eof": False})
    consumer.subscribe([topic], _From(start, partition))
    try:
        while True:
            for record in consumer.poll_chunk(500, 0.2):
                if partition is None or record.partition() == partition:
                    yield record
    finally:
        consumer.close(5.0)


class _From:
    """Starts each partition where it was asked for."""

    def __init__(self, start: int, partition: int | None) -> None:
        self._start, self._partition = start, partition

    def assigned(self, partitions: Sequence[TP]) -> Mapping[TP, int]:
        """See `RebalanceListener`."""
        only = self._partition
        return {tp: self._start if only is None or tp.partition == only else END for tp in partitions}

    def revoked(self, partitions: Sequence[TP]) -> None:
        """Nothing is committed."""

    def lost(self, partitions: Sequence[TP]) -> None:
        """Nothing is committed."""
