"""The records that `kafkaboot bench handler` feeds: made up, from a file, or the last ones of the handler's topic."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from kafkaboot.message import encode, type_name
from kafkaboot.message.headers import CE_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.client import TP, ClientFactory
    from kafkaboot.message import Headers
    from kafkaboot.testing.bench import Fed

KEYS = 1000
"""Different keys of made-up records."""
FEW = 10_000
"""Records where nobody says how many; fewer given ones are repeated."""
DIFFERENT = 50_000
"""Samples that are made at most; more records repeat them. A batch holds far fewer."""
READING = 60.0
"""Seconds for reading the last records of a topic."""


class Feed(NamedTuple):
    """The records, and where they come from, for people."""

    records: Sequence[Fed]
    source: str


def made_up(handler: Handler, records: int | None) -> Feed:
    """Samples of the handler's payload, no two of 50,000 alike as far as its type allows.

    Raises:
        DeclarationError: Nothing can be made of its type.
    """
    from dataclasses import make_dataclass

    from kafkaboot.message import without_none
    from kafkaboot.testing import generate
    from kafkaboot.testing.bench import Fed

    taken = handler.signature.payload
    annotation = without_none(taken.annotation)[0] if taken is not None else str
    # A field of a class may be of any type, and samples are made of types with fields.
    wanted = records or FEW
    samples: list[Any] = generate(make_dataclass("Sample", [("payload", annotation)]), min(wanted, DIFFERENT), seed=1)
    headers: Headers = [] if handler.type is None else [(CE_TYPE, handler.type.encode())]
    fed = [Fed(b"key-%d" % (n % KEYS), encode(one.payload), headers) for n, one in enumerate(samples)]
    return _as_many(fed, wanted, f"samples of {type_name(annotation)}")


def of_file(path: str, handler: Handler, records: int | None) -> Feed:
    """The lines of a file: each a value, or a record as `kafkaboot tail --json` writes it.

    Raises:
        UsageError: The file cannot be read or holds nothing, or a line is no record.
    """
    from kafkaboot.cli.probe_records import Options, pasted

    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            given = pasted(line.encode(), handler, Options(), path)
        except click.UsageError as error:
            raise click.UsageError(f"{path}:{number}: {error.message}") from error
        found.append(_fed(given.record.key, given.record.value, given.record.headers))
    if not found:
        raise click.UsageError(f"{path} holds no records: one a line is wanted")
    return _as_many(found, records, path)


def last_of(clients: ClientFactory, handler: Handler, last: int, records: int | None) -> Feed:
    """The last records of the topics that the handler takes, read without a group.

    Raises:
        UsageError: It takes topics by a pattern, or there are no records.
        MissingTopicError: A topic is not there.
        BrokerUnreachableError: No broker answers.
    """
    from kafkaboot.cli.connection import refuse_missing

    topics = handler.spec.topics
    if not topics:
        raise click.UsageError(f"{handler.spec.id} takes topics by a pattern; give records with --from FILE")
    found: list[Fed] = []
    for topic in topics:
        refuse_missing(clients, topic)
        found += _read(clients, topic, last)
    if not found:
        raise click.UsageError(f"there is no record in {', '.join(topics)}; leave --last out, or give --from FILE")
    return _as_many(found, records, f"the last {len(found):,} of {', '.join(topics)}")


def _read(clients: ClientFactory, topic: str, last: int) -> list[Fed]:
    ends, starts = _places(clients, topic, last)
    reader = clients.reader()
    records = []
    until = time.monotonic() + READING
    try:
        reader.begin(starts)
        while any(reader.positions[tp] < ends[tp] for tp in starts) and time.monotonic() < until:
            records += reader.poll(1000, 0.5)
    finally:
        reader.close()
    records.sort(key=lambda one: one.timestamp()[1])
    return [_fed(one.key(), one.value(), list(one.headers() or [])) for one in records[-last:]]


def _places(clients: ClientFactory, topic: str, last: int) -> tuple[dict[TP, int], dict[TP, int]]:
    """The ends of the partitions, and where so many records before them begin."""
    from kafkaboot.cli.connection import TIMEOUT
    from kafkaboot.client import TP

    admin = clients.admin()
    try:
        partitions = [TP(topic, n) for n in range(admin.topics(TIMEOUT)[topic].partitions)]
        ends, begins = admin.end_offsets(partitions, TIMEOUT), admin.begin_offsets(partitions, TIMEOUT)
    finally:
        admin.close()
    return ends, {tp: max(begins[tp], end - last) for tp, end in ends.items() if end > begins[tp]}


def _fed(key: bytes | None, value: bytes | None, headers: Headers) -> Fed:
    from kafkaboot.testing.bench import Fed

    return Fed(key, value, headers)


def _as_many(found: Sequence[Fed], records: int | None, source: str) -> Feed:
    wanted = records or max(FEW, len(found))
    if wanted > len(found):
        source = f"{source}: {len(found):,} records, repeated"
    return Feed(list(itertools.islice(itertools.cycle(found), wanted)), source)
