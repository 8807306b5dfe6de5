"""One record out of Kafka, by its place, without any group."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kafkaboot.cli.connection import TIMEOUT, refuse_missing
from kafkaboot.cli.probe_records import Given
from kafkaboot.client import TP
from kafkaboot.errors import KafkabootError
from kafkaboot.message import Record, place

if TYPE_CHECKING:
    from kafkaboot.cli.probe_records import Address
    from kafkaboot.client import AdminPort, ClientFactory
    from kafkaboot.message import RawRecord


class NoRecordError(KafkabootError):
    """There is no record at a place."""


def fetched(clients: ClientFactory, at: Address) -> Given:
    """The record that stands there; of a dead letter the record that it was.

    Raises:
        MissingTopicError: There is no such topic.
        NoRecordError: There is no such partition, or no record at the offset any more or yet.
        BrokerUnreachableError: No broker answers.
    """
    from kafkaboot.testing.probing import original

    refuse_missing(clients, at.topic)
    where = place(at.topic, at.partition, at.offset)
    admin = clients.admin()
    try:
        earliest, end = _ends(admin, at, where)
    finally:
        admin.close()
    if not earliest <= at.offset < end:
        there = f"records from {earliest} to {end - 1}" if earliest < end else "no records"
        gone = "was deleted by retention" if at.offset < earliest else "is not written yet"
        raise NoRecordError(
            f"the offset {gone}: {at.topic}[{at.partition}] holds {there}", where=where, todo=_todo(at, earliest, end)
        )
    record = Record.of(_read(clients, at, earliest, end, where))
    was, letter = original(record)
    return Given(was, where, letter)


def _ends(admin: AdminPort, at: Address, where: str) -> tuple[int, int]:
    tp = TP(at.topic, at.partition)
    partitions = admin.topics(TIMEOUT)[at.topic].partitions
    if at.partition >= partitions:
        raise NoRecordError(
            f"there is no partition {at.partition}: {at.topic} has {partitions}", where=where, todo="name one of them"
        )
    return admin.begin_offsets([tp], TIMEOUT)[tp], admin.end_offsets([tp], TIMEOUT)[tp]


def _read(clients: ClientFactory, at: Address, earliest: int, end: int, where: str) -> RawRecord:
    tp = TP(at.topic, at.partition)
    reader = clients.reader()
    until = time.monotonic() + TIMEOUT
    try:
        reader.begin({tp: at.offset})
        found: list[RawRecord] = []
        while not found and reader.positions[tp] < end and time.monotonic() < until:
            found = reader.poll(1, 0.5)
    finally:
        reader.close()
    if found and found[0].offset() == at.offset:
        return found[0]
    if not found and time.monotonic() >= until:
        raise NoRecordError(f"nothing came within {TIMEOUT:g} s", where=where, todo="see whether the broker is well")
    following = f"the next record is {place(*tp, found[0].offset())}" if found else "no record follows it"
    raise NoRecordError(
        f"no record is at this offset any more: compaction took it, or it is of a transaction that was aborted (or its "
        f"marker); {at.topic}[{at.partition}] holds records from {earliest} to {end - 1}, {following}",
        where=where,
        todo=f"kafkaboot probe HANDLER '{place(*tp, found[0].offset())}'" if found else _todo(at, earliest, end),
    )


def _todo(at: Address, earliest: int, end: int) -> str:
    if earliest >= end:
        return "name another partition, or paste the record"
    nearest = earliest if at.offset < earliest else end - 1
    return f"take one that is there, for example '{place(at.topic, at.partition, nearest)}', or paste the record"
