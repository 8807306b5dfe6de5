"""What is published while a record is handled carries that record's ids on, whichever way it is published."""

from __future__ import annotations

import importlib
import sys

import pytest

from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.producer import Producer
from kafkaboot.testing import RunningBroker, TestApp

HANDLERS = """
import asyncio
from dataclasses import dataclass
from kafkaboot import Producer, event, event_handler, publisher

@event("in")
@dataclass
class In:
    n: int

@event("out")
@dataclass
class Out:
    n: int

FAILED = set()

@event_handler("row")
async def row(one: In, producer: Producer) -> None:
    await producer.publish("out", Out(one.n))

@event_handler("key", ordering="key")
async def key(one: In, producer: Producer) -> None:
    await asyncio.sleep(0)
    producer.send("out", Out(one.n))

@event_handler("unordered", ordering="unordered", concurrency=4)
async def unordered(one: In, producer: Producer) -> None:
    await asyncio.sleep(0.001 * (one.n % 3))
    await asyncio.gather(producer.publish("out", Out(one.n)))

@event_handler("threads")
def threads(one: In, producer: Producer) -> None:
    producer.sync.publish("out", Out(one.n))

@event_handler("threads-key", ordering="key")
def threads_key(one: In, producer: Producer) -> None:
    producer.sync.publish("out", Out(one.n))

@event_handler("returned")
@publisher("out")
async def returned(one: In) -> Out:
    return Out(one.n)

@event_handler("returned-def", ordering="key")
@publisher("out")
def returned_def(one: In) -> Out:
    return Out(one.n)

@event_handler("many")
async def many(one: In, producer: Producer) -> None:
    await producer.publish_batch("out", [Out(one.n)])

@event_handler("off-loop")
async def off_loop(one: In, producer: Producer) -> None:
    await asyncio.to_thread(lambda: producer.sync.publish("out", Out(one.n)))

@event_handler("again")
async def again(one: In, producer: Producer) -> None:
    if one.n not in FAILED:
        FAILED.add(one.n)
        raise ValueError("once")
    await producer.publish("out", Out(one.n))

@event_handler("transaction")
async def transaction(one: In, producer: Producer) -> None:
    async with producer.transaction() as tx:
        await tx.publish("out", Out(one.n))

@event_handler("batches")
async def batches(some: list[In], producer: Producer) -> None:
    for one in some:
        await producer.publish("out", Out(one.n))

LEFT = set()

@event_handler("left", ordering="key")
async def left(one: In, producer: Producer) -> None:
    async def later() -> None:
        for _ in range(one.n % 7):
            await asyncio.sleep(0)
        await producer.publish("out", Out(one.n))

    task = asyncio.create_task(later())
    LEFT.add(task)
    task.add_done_callback(LEFT.discard)

@event_handler("said")
async def said(one: In, producer: Producer) -> None:
    await producer.publish("out", Out(one.n), headers={"kb-correlation-id": "mine"})
"""
WAYS = ["row", "key", "unordered", "threads", "threads-key", "returned", "returned-def", "many", "off-loop", "again",
        "transaction"]  # fmt: skip
COUNT = 40


@pytest.fixture(scope="module")
def broker():
    with EmbeddedKafka() as made:
        yield made


@pytest.fixture
def shop(tmp_path, monkeypatch, broker):
    """An application whose topics are new for each test: the number of the test stands in their names."""
    monkeypatch.chdir(tmp_path)
    name = f"idshop{abs(hash(str(tmp_path))) % 10**9}"
    (tmp_path / name).mkdir()
    text = HANDLERS
    for topic in [*WAYS, "batches", "said", "left", "out"]:
        text = text.replace(f'("{topic}"', f'("{name}.{topic}"')
    (tmp_path / name / "__init__.py").write_text(text)
    (tmp_path / "application.yaml").write_text(
        f"kafkaboot:\n  application: {{name: {name}, packages: [{name}]}}\n"
        "  retry: {default: {attempts: 3, backoff: {initial: 5ms, max: 5ms}}}\n"
    )
    path = list(sys.path)

    class Made:
        app = TestApp(RunningBroker(broker.bootstrap_servers), directory=tmp_path)

        @property
        def module(self):
            return importlib.import_module(name)

    made = Made()
    made.name = name
    yield made
    sys.path[:] = path
    sys.modules.pop(name, None)


async def outputs(app, shop, count):
    return [await app.published_record(f"{shop.name}.out", shop.module.Out, within=30) for _ in range(count)]


@pytest.mark.parametrize("way", WAYS)
async def test_the_cause_and_the_correlation_of_the_record_are_carried_on(shop, way):
    async with shop.app as app:
        for n in range(COUNT):
            headers = {"ce_id": f"cause-{n}", "kb-correlation-id": f"journey-{n}"}
            await app.publish(f"{shop.name}.{way}", shop.module.In(n), key=str(n % 5), headers=headers)
        for found in await outputs(app, shop, COUNT):
            headers = dict(found.record.headers)
            n = found.payload.n
            assert headers["kb-causation-id"] == f"cause-{n}".encode()
            assert headers["kb-correlation-id"] == f"journey-{n}".encode()
            assert headers["ce_id"] != headers["kb-causation-id"]


async def test_the_first_of_its_kind_is_the_correlation_of_what_follows(shop):
    async with shop.app as app:
        await app.publish(f"{shop.name}.row", shop.module.In(1), headers={"ce_id": "first"})
        await app.publish(f"{shop.name}.row", {"n": 2})
        first, nameless = [dict(found.record.headers) for found in await outputs(app, shop, 2)]
        if first["kb-causation-id"] != b"first":
            first, nameless = nameless, first
        assert first["kb-correlation-id"] == first["kb-causation-id"] == b"first"
        assert nameless["kb-correlation-id"].startswith(f"{shop.name}.row[".encode())


async def test_what_the_caller_says_wins_and_a_batch_has_no_single_cause(shop):
    async with shop.app as app:
        await app.publish(f"{shop.name}.said", shop.module.In(1), headers={"ce_id": "first"})
        (said,) = await outputs(app, shop, 1)
        assert [value for name, value in said.record.headers if name == "kb-correlation-id"] == [b"mine"]
        assert dict(said.record.headers)["kb-causation-id"] == b"first"
        await app.publish(f"{shop.name}.batches", shop.module.In(2), headers={"ce_id": "one-of-many"})
        (of_batch,) = await outputs(app, shop, 1)
        assert not {"kb-correlation-id", "kb-causation-id"} & dict(of_batch.record.headers).keys()


async def test_outside_of_a_handler_nothing_is_carried(shop):
    async with shop.app as app:
        await app.publish(f"{shop.name}.row", shop.module.In(1))
        await outputs(app, shop, 1)
        await app.get(Producer).publish(f"{shop.name}.out", shop.module.Out(7))
        (alone,) = await outputs(app, shop, 1)
        assert "kb-correlation-id" not in dict(alone.record.headers)


async def test_what_a_handler_leaves_behind_can_publish_whatever_its_worker_is_at(shop):
    async with shop.app as app:
        for n in range(300):
            await app.publish(f"{shop.name}.left", shop.module.In(n), key=str(n % 50))
        assert {found.payload.n for found in await outputs(app, shop, 300)} == set(range(300))
