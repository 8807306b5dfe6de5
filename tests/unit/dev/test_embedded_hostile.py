"""Whatever bytes come in at its port: the embedded broker closes the connection with a reason, and lives."""

from __future__ import annotations

import logging
import os
import random
import socket
import struct
import time
from pathlib import Path

import crc32c
import pytest
from confluent_kafka import Producer

from kafkaboot.dev.embedded import EmbeddedKafka, bounds, records, server
from kafkaboot.dev.embedded.node import Node, NodeSettings, all_apis
from kafkaboot.dev.embedded.records import UnreadableBatchError, records_of
from kafkaboot.dev.embedded.server import Server
from kafkaboot.dev.embedded.wire import codec
from kafkaboot.testing import eventually_async

API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 7, -1)
"""The smallest request that is answered; the answer begins with its size and the correlation id 7."""
METADATA = struct.pack(">hhih", 3, 1, 1, -1)
SEED = int(os.environ.get("KB_SEED", random.randrange(2**32)))


FRAMES, SECONDS = (100_000, 120.0) if os.environ.get("KB_CHAOS") else (2000, 10.0)


def framed(body):
    return struct.pack(">i", len(body)) + body


class Attacker:
    """A connection that sends what it likes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def take(self, size):
        got = b""
        while len(got) < size:
            part = self.socket.recv(size - len(got))
            if not part:
                raise ConnectionError("closed")
            got += part
        return got

    def closed(self):
        """Whether the other side closes, whatever it sends before."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


def is_alive(port):
    with Attacker(port) as friend:
        (size,) = struct.unpack(">i", friend.send(API_VERSIONS).take(4))
        return struct.unpack_from(">i", friend.take(size))[0] == 7


@pytest.fixture(scope="module")
def broker():
    with EmbeddedKafka() as started:
        yield started


@pytest.fixture
def port(broker):
    return int(broker.bootstrap_servers.rpartition(":")[2])


def memory(pid):
    """MiB that the process has in memory."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    line = next(one for one in status.read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


HOSTILE = {
    "a negative size": (struct.pack(">i", -5), "a request of -5 bytes"),
    "a size of two gigabytes": (struct.pack(">i", 2**31 - 1), "a request of 2147483647 bytes"),
    "a frame that is too short for a header": (struct.pack(">ihh", 4, 18, 0), "a request of 4 bytes"),
    "a key that nobody knows": (framed(struct.pack(">hhih", 9999, 0, 1, -1)), "api key 9999 is not answered here"),
    "a version of the future": (framed(struct.pack(">hhih", 3, 999, 1, -1)), "metadata in version 999"),
    "an array of two thousand million topics": (
        framed(METADATA + struct.pack(">i", 2**31 - 1)),
        "an array claims 2147483647 elements and 0 bytes are left",
    ),
    "a compact array of four thousand million": (
        framed(struct.pack(">hhih", 3, 9, 1, -1) + b"\0\xff\xff\xff\xff\x0f"),
        "an array claims 4294967294 elements",
    ),
    "a length without end": (
        framed(struct.pack(">hhih", 3, 9, 1, -1) + b"\0" + b"\xff" * 20),
        "a length has more than five bytes",
    ),
    "a string that is longer than the frame": (
        framed(METADATA + struct.pack(">ih", 1, 30000) + b"x"),
        "a field claims 29999 bytes more than there are",
    ),
    "many tiny elements": (
        framed(METADATA + struct.pack(">i", 300_000) + b"\0\0" * 300_000),
        "its arrays claim more than 200000 elements",
    ),
    "an array of minus five": (framed(METADATA + struct.pack(">i", -5)), "no metadata in version 1"),
    "an array that is null": (
        framed(struct.pack(">hhih", 37, 0, 1, -1) + struct.pack(">iib", -1, 0, 0)),
        "no create_partitions in version 0: TooShortError: an array is missing",
    ),
    "text that is not UTF-8": (framed(METADATA + struct.pack(">ih", 1, 2) + b"\xff\xfe"), "no metadata in version 1"),
    "a greeting of another protocol": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "a request of 1195725856 bytes"),
}


@pytest.fixture
async def here(caplog):
    """A server in this process, whose log can be read."""
    caplog.set_level(logging.WARNING, "kafkaboot.embedded")
    serving = Server(Node(NodeSettings()))
    await serving.start()
    yield serving
    await serving.stop()


@pytest.mark.parametrize("what", HOSTILE)
async def test_it_closes_the_connection_with_a_logged_reason_and_lives(here, caplog, what):
    import asyncio

    data, reason = HOSTILE[what]
    with Attacker(here.node.port) as attacker:
        await asyncio.to_thread(attacker.send, data)
        assert await asyncio.to_thread(attacker.closed)
    assert [reason in line for line in caplog.messages] == [True], caplog.messages
    assert "the connection is closed" in caplog.text
    assert await asyncio.to_thread(is_alive, here.node.port)


async def test_a_client_that_sends_what_it_should_is_not_closed_and_nothing_is_logged(here, caplog):
    import asyncio

    with Attacker(here.node.port) as friend:
        for _ in range(3):
            await asyncio.to_thread(friend.send, API_VERSIONS)
            (size,) = struct.unpack(">i", await asyncio.to_thread(friend.take, 4))
            await asyncio.to_thread(friend.take, size)
    assert not caplog.messages


def test_a_truncated_frame_waits_for_its_rest_and_disturbs_nobody(port):
    with Attacker(port) as slow:
        slow.send(API_VERSIONS[:9])
        assert is_alive(port)
        slow.send(API_VERSIONS[9:])
        assert struct.unpack(">i", slow.take(4))[0] > 4


async def test_what_large_requests_claim_at_a_time_is_bounded_and_their_time_to_arrive_too(here, caplog, monkeypatch):
    import asyncio

    monkeypatch.setattr(server, "MOST_READ", 200_000)
    monkeypatch.setattr(server, "PATIENCE", 0.3)
    claim = struct.pack(">i", 150_000)
    with Attacker(here.node.port) as first, Attacker(here.node.port) as second:
        first.send(claim)
        await eventually_async(lambda: here.reading == 150_000)
        second.send(claim)
        assert await asyncio.to_thread(second.closed)
        assert await asyncio.to_thread(first.closed)
    assert "with 150000 from others under way" in caplog.messages[0]
    assert "150000 bytes were claimed and did not arrive" in caplog.messages[1]
    assert here.reading == 0


async def test_there_are_only_so_many_connections(here, caplog, monkeypatch):
    import asyncio

    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    with Attacker(here.node.port) as first, Attacker(here.node.port):
        await eventually_async(lambda: len(here._connections) == 2)
        with Attacker(here.node.port) as third:
            assert await asyncio.to_thread(third.closed)
        first.socket.close()
        await eventually_async(lambda: len(here._connections) == 1)
    assert await asyncio.to_thread(is_alive, here.node.port)
    assert "one more is closed" in caplog.text


def fetch(topic, most):
    parts = struct.pack(">iiqi", 1, 0, 0, most)
    topics = struct.pack(">ih", 1, len(topic)) + topic.encode() + parts
    body = struct.pack(">hhih", 1, 4, 9, -1) + struct.pack(">iiiib", -1, 100, 1, most, 0) + topics
    return framed(body)


def test_clients_that_never_read_do_not_fill_the_memory(broker, port):
    broker.create_topic("large", 1)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "compression.type": "none"})
    for _ in range(40):
        producer.produce("large", os.urandom(500_000), partition=0)
    assert producer.flush(20) == 0
    before = memory(broker.pid)
    attackers = [Attacker(port) for _ in range(5)]
    try:
        for attacker in attackers:
            attacker.socket.settimeout(1.0)
            # 500 answers of 20 MB are asked for by each: 50 GB.
            attacker.send(fetch("large", 20_000_000) * 500)
        for _ in range(10):
            assert is_alive(port)
        after = memory(broker.pid)
        assert after - before < 5 * 4 * 21, f"{before} MiB before, {after} MiB after"
        # Control: it was about to answer, and does so for one that reads.
        (size,) = struct.unpack(">i", attackers[0].take(4))
        assert size > 19_000_000
    finally:
        for attacker in attackers:
            attacker.socket.close()
    assert is_alive(port)


async def test_what_clients_leave_unread_is_bounded_for_all_of_them_together(here, caplog, monkeypatch):
    import asyncio

    monkeypatch.setattr(server, "MOST_UNSENT", 100)
    with Attacker(here.node.port) as attacker:
        await asyncio.to_thread(attacker.send, API_VERSIONS)
        assert await asyncio.to_thread(attacker.closed)
    assert "of answers unread" in caplog.text
    monkeypatch.undo()
    assert here.unsent == 0
    assert await asyncio.to_thread(is_alive, here.node.port)


async def test_a_client_that_goes_during_a_long_poll_leaves_nothing_behind(here):
    topic = here.node.topics.create("polled", 1)
    with Attacker(here.node.port) as attacker:
        attacker.send(fetch("polled", 1000).replace(struct.pack(">ii", 100, 1), struct.pack(">ii", 2**31 - 1, 1)))
        await eventually_async(lambda: topic.partitions[0].watchers)
    await eventually_async(lambda: not topic.partitions[0].watchers)
    await eventually_async(lambda: not here._connections)


# --- batches


def batch(body, codec_number=0, count=1, **head):
    attributes = head.get("attributes", 0) | codec_number
    now = int(time.time() * 1000)
    tail = struct.pack(">hiqqqhii", attributes, count - 1, now, now, -1, -1, -1, count) + body
    return struct.pack(">qiibI", 0, 9 + len(tail), 0, 2, crc32c.crc32c(tail)) + tail


def bombs():
    import gzip

    import cramjam

    zeros = bytes(80 * 2**20)
    yield "gzip", 1, gzip.compress(zeros, 9)
    yield "snappy", 2, bytes(cramjam.snappy.compress_raw(zeros))
    block = bytes(cramjam.snappy.compress_raw(zeros[: 8 * 2**20]))
    yield "xerial", 2, b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + (struct.pack(">i", len(block)) + block) * 10
    yield "lz4", 3, bytes(cramjam.lz4.compress(zeros))
    yield "zstd", 4, bytes(cramjam.zstd.compress(zeros))


def test_a_bomb_of_any_codec_is_unpacked_to_a_bound_and_no_further():
    import tracemalloc

    for name, number, body in bombs():
        tracemalloc.start()
        try:
            with pytest.raises(UnreadableBatchError, match=str(records.MOST)):
                list(records_of(batch(body, number)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 3.2 * records.MOST, name


def test_bombs_at_a_compacted_topic_are_refused_and_the_broker_lives(broker, port):
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    topic = NewTopic("bombed", 1, 1, config={"cleanup.policy": "compact", "max.message.bytes": "9999999"})
    admin.create_topics([topic])["bombed"].result(10)
    for name, number, body in bombs():
        raw = batch(body, number)
        request = struct.pack(">hhih", 0, 3, 5, -1) + struct.pack(">hhi", -1, 1, 1000)
        request += struct.pack(">ih", 1, 6) + b"bombed" + struct.pack(">iii", 1, 0, len(raw)) + raw
        with Attacker(port) as attacker:
            (size,) = struct.unpack(">i", attacker.send(framed(request)).take(4))
            answer = attacker.take(size)
        (error,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + 6 + 4 + 4)
        assert error == 2, f"{name} is answered {error}, not CORRUPT_MESSAGE"
    assert is_alive(port)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00" * 9,
        b"\x01" + b"\0" * 20,
        b"\xff" * 1_000_000,
        b"\x7f" + b"\0" * 5,
        b"\x14\0\0\0\xff\xff\xff\xff\x0e" + b"\0" * 20,
    ],
    ids=["nothing", "no length", "negative length", "endless length", "longer than the batch", "key beyond its record"],
)
def test_records_that_lie_about_their_lengths_end_the_reading_at_once(body):
    began = time.monotonic()
    with pytest.raises(UnreadableBatchError):
        list(records_of(batch(body, count=2**31 - 1)))
    assert time.monotonic() - began < 1.0


# --- whatever else


def test_a_frame_of_every_request_mutated_at_random_never_ends_the_broker(broker, port):
    """KB_SEED=n repeats a run."""
    print(f"KB_SEED={SEED}")
    chance = random.Random(SEED)
    seeds = [framed(sample(chance, api, version)) for api in all_apis().values() for version in _ends(api)]
    sent = 0
    until = time.monotonic() + SECONDS
    while sent < FRAMES and time.monotonic() < until:
        attackers = [Attacker(port) for _ in range(50)]
        for attacker in attackers:
            attacker.send(mutated(chance, chance.choice(seeds)))
            sent += 1
        assert is_alive(port), f"with KB_SEED={SEED}"
        for attacker in attackers:
            attacker.socket.close()
    assert sent >= 300, f"only {sent} frames in the time, with KB_SEED={SEED}"
    assert memory(broker.pid) < 1500, f"with KB_SEED={SEED}"


def test_bounds_refuse_no_request_that_the_codec_can_write():
    chance = random.Random(7)
    for api in all_apis().values():
        for version in _ends(api):
            known = codec(api.name, version)
            frame = sample(chance, api, version)
            bounds.check(*known._classes, frame)
            known.read(frame)
            with pytest.raises(Exception):
                known.read(frame[: chance.randrange(8, len(frame) - 1)])


def _ends(api):
    return {api.oldest, api.newest}


def mutated(chance, frame):
    """A frame with bytes or lengths changed, cut or drawn out; its own length mostly fits."""
    body = bytearray(frame[4:])
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(8, len(body))
        match chance.randrange(5):
            case 0:
                body[at] = chance.randrange(256)
            case 1:
                body[at : at + 4] = chance.choice(
                    [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\1\0\0"]
                )
            case 2:
                del body[at : at + chance.randrange(1, 20)]
            case 3:
                body[at:at] = chance.randbytes(chance.randrange(1, 20))
            case 4:
                body[at : at + 5] = b"\xff\xff\xff\xff\x0f"
        if len(body) < 9:
            body += bytes(9)
    if chance.random() < 0.05:
        return struct.pack(">i", chance.randrange(-(2**31), 2**31)) + bytes(body)
    return framed(bytes(body))


def sample(chance, api, version):
    """A request's bytes, filled at random."""
    import io
    from importlib import import_module

    from kio.serial import entity_writer

    camel = "".join(part.title() for part in api.name.split("_"))
    made = getattr(import_module(f"kio.schema.{api.name}.v{version}.request"), f"{camel}Request")
    out = io.BytesIO()
    header = _filled(chance, made.__header_schema__, None)
    entity_writer(made.__header_schema__)(out, header)
    entity_writer(made)(out, _filled(chance, made, None))
    # The header's key and version are those of the request, not what chance gave.
    return struct.pack(">hh", api.key, version) + out.getvalue()[4:]


def _filled(chance, type_, kind):
    from dataclasses import fields, is_dataclass
    from datetime import UTC, datetime, timedelta
    from types import UnionType
    from typing import get_args, get_origin
    from uuid import UUID

    if get_origin(type_) is UnionType:
        if chance.random() < 0.2:
            return None
        type_ = next(one for one in get_args(type_) if one is not type(None))
    if get_origin(type_) is tuple:
        return tuple(_filled(chance, get_args(type_)[0], kind) for _ in range(chance.randrange(1, 3)))
    if is_dataclass(type_):
        return type_(**{one.name: _filled(chance, one.type, one.metadata.get("kafka_type")) for one in fields(type_)})
    if kind == "string":
        return chance.choice(["orders", "x", "", "a.b"])
    if kind in {"bytes", "records"}:
        return batch(b"\x0e\0\0\0\x01\x02v\0") if kind == "records" else chance.randbytes(9)
    if kind == "bool":
        return chance.random() < 0.5
    if kind == "uuid":
        return UUID(int=7)
    if kind.startswith("timedelta"):
        return timedelta(milliseconds=chance.randrange(100))
    return datetime.now(UTC) if kind.startswith("datetime") else chance.choice([-1, 0, 1, 2, 100])
