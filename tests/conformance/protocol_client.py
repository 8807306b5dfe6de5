"""A client that only speaks the protocol: one request, one answer, no retries and no memory of its own."""

import asyncio
import io
import struct
import time
from datetime import timedelta
from functools import cache
from importlib import import_module

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer

VERSIONS = {
    "produce": 9,
    "fetch": 12,
    "list_offsets": 7,
    "metadata": 12,
    "offset_commit": 8,
    "offset_fetch": 7,
    "create_topics": 7,
    "delete_topics": 6,
    "delete_records": 2,
    "init_producer_id": 4,
    "add_partitions_to_txn": 3,
    "add_offsets_to_txn": 3,
    "end_txn": 3,
    "txn_offset_commit": 3,
    "create_partitions": 3,
}
PASSING = {
    ErrorCode.concurrent_transactions,
    ErrorCode.coordinator_load_in_progress,
    ErrorCode.coordinator_not_available,
    ErrorCode.not_coordinator,
    ErrorCode.not_leader_or_follower,
    ErrorCode.not_enough_replicas,
}
"""Errors that every client answers by asking again."""
DEADLINE = 60.0
WAIT = timedelta(seconds=10)


class Schema:
    """The classes of one request and its response, by their names."""

    def __init__(self, name):
        version = VERSIONS[name]
        camel = "".join(part.title() for part in name.split("_"))
        request, response = (import_module(f"kio.schema.{name}.v{version}.{kind}") for kind in ("request", "response"))
        self.request = getattr(request, f"{camel}Request")
        answer = getattr(response, f"{camel}Response")
        self.module, self.version, self.key = request, version, self.request.__api_key__
        self.header = self.request.__header_schema__
        self.write_header, self.write = entity_writer(self.header), entity_writer(self.request)
        self.read_header, self.read = entity_reader(answer.__header_schema__), entity_reader(answer)

    def __getattr__(self, name):
        return getattr(self.module, name)


@cache
def schema(name):
    """The schema of `name` in the version that is spoken here."""
    return Schema(name)


class Peer:
    """A connection. One request at a time."""

    def __init__(self, address):
        self.address, self._correlation = address, 0

    async def __aenter__(self):
        host, port = self.address.split(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_):
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, name, **fields):
        """One request; answers kio's response."""
        spoken = schema(name)
        self._correlation += 1
        out = io.BytesIO()
        out.write(b"\0\0\0\0")
        head = {"request_api_key": spoken.key, "request_api_version": spoken.version, "client_id": "differential"}
        spoken.write_header(out, spoken.header(correlation_id=self._correlation, **head))
        spoken.write(out, spoken.request(**fields))
        frame = out.getbuffer()
        struct.pack_into(">i", frame, 0, len(frame) - 4)
        self._writer.write(frame)
        (size,) = struct.unpack(">i", await asyncio.wait_for(self._reader.readexactly(4), DEADLINE))
        data = await self._reader.readexactly(size)
        header, at = spoken.read_header(data, 0)
        assert header.correlation_id == self._correlation
        return spoken.read(data, at)[0]


class Introduced:
    """A producer's id and epoch, and its place in each partition."""

    def __init__(self, producer_id, epoch):
        self.id, self.epoch = producer_id, epoch
        self.sequences, self.kept = {}, {}
        self.announced, self.groups = set(), {}


async def settled(ask):
    """`ask()` again and again until its error is none of the passing ones; answers the error and the response."""
    until, pause = time.monotonic() + DEADLINE, 0.002
    while True:
        error, response = await ask()
        if error not in PASSING or time.monotonic() > until:
            return error, response
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)


async def becomes(condition):
    """Whether `await condition()` becomes true in time."""
    until, pause = time.monotonic() + DEADLINE, 0.002
    while not await condition():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True


def batch(values, timestamp, producer_id=-1, epoch=-1, sequence=-1, *, transactional=False, codec=0):
    """A record batch of values without keys, all of one time."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=transactional,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=1 << 20,
    )
    for at, value in enumerate(values):
        builder.append(at, timestamp, None, value, [])
    return bytes(builder.build())


def visible(raw, aborted, offset):
    """What a consumer makes of a fetch from `offset` on: (offset, time, value) of each record, and its next position.

    Args:
        raw: The batches as they came.
        aborted: (producer id, first offset) of aborted transactions; empty for a reader of everything.
        offset: What was asked for.
    """
    waiting = sorted(aborted, key=lambda one: one[1])
    hidden, found, position = set(), [], offset
    batches = MemoryRecords(bytes(raw))
    while (one := batches.next_batch()) is not None:
        assert one.validate_crc()
        while waiting and waiting[0][1] <= one.base_offset:
            hidden.add(waiting.pop(0)[0])
        position = max(position, one.next_offset)
        records = list(one)
        if one.is_control_batch:
            if records[0].key == b"\0\0\0\0":
                hidden.discard(one.producer_id)
        elif not (one.is_transactional and one.producer_id in hidden):
            found += [(record.offset, record.timestamp, record.value) for record in records if record.offset >= offset]
    return found, position
