"""Reading parts of a topic from here to there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kafkaboot.client import TP, ReaderPort
    from kafkaboot.message import RawRecord

CHUNK = 2000
"""Records taken at a time."""
LOOK = 0.02
"""Seconds that one look waits for a record."""
PATIENCE = 15.0
"""Seconds without a record after which what is missing is not coming."""


def chunks(
    reader: ReaderPort,
    begins: Mapping[TP, int],
    ends: Mapping[TP, int],
    heard: Callable[[int], None] | None = None,
) -> Iterator[list[RawRecord]]:
    """The records of `[begin, end)` of each partition, many at a time.

    Args:
        reader: What reads.
        begins: The first offset by partition.
        ends: The offset behind the last one; one that a partition has not reached yet is not waited for in vain.
        heard: Called with the records read so far.

    Raises:
        ClientError: The broker refuses them, or gives out no more before the end.
    """
    wanted = {tp: begin for tp, begin in begins.items() if begin < ends[tp]}
    if not wanted:
        return
    reader.begin(wanted)
    read, last = 0, time.monotonic()
    while any(reader.positions[tp] < ends[tp] for tp in wanted):
        chunk = reader.poll(CHUNK, LOOK)
        found = [one for one in chunk if one.offset() < ends[_of(one, wanted)]]
        if found:
            read, last = read + len(found), time.monotonic()
            if heard is not None:
                heard(read)
            yield found
            last = time.monotonic()
        elif time.monotonic() - last > PATIENCE:
            raise _held_back(reader, wanted, ends)


def _of(record: RawRecord, wanted: Mapping[TP, int]) -> TP:
    from kafkaboot.client import TP

    tp = TP(record.topic(), record.partition())
    if tp not in wanted:
        raise ClientError(f"a record of {tp.topic}[{tp.partition}] was not asked for", code="_STATE", where=tp.topic)
    return tp


def _held_back(reader: ReaderPort, wanted: Mapping[TP, int], ends: Mapping[TP, int]) -> ClientError:
    left = [f"{tp.topic}[{tp.partition}]@{reader.positions[tp]}" for tp in wanted if reader.positions[tp] < ends[tp]]
    return ClientError(
        f"no record came for {PATIENCE:g} s, though there are more",
        code="_TIMED_OUT",
        retriable=True,
        where=", ".join(left),
        fate="nothing was changed",
        todo="see whether the broker is up, and whether a transaction is open on the partition "
        "(kafka-transactions --describe-producers)",
    )
