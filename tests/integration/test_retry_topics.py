"""Retry topics on brokers: nothing is tried early, topic follows topic, and in the end there is one dead letter."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import defaultdict
from contextlib import asynccontextmanager

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.failure import read
from kafkaboot.testing import eventually_async

NUMBERS = itertools.count(1)
DEADLINE = 20.0
DELAYS = (0.3, 0.7)

HEAD = """
import time
from kafkaboot import Context, DeadLetter, Record, event_handler, BatchFailed

CALLS = []  # when, topic, partition, offset, value, attempt, due
FAILS = {}  # by value: how many calls fail
SIGNAL = {}  # by value: what is raised, by attempt


def note(record, attempt):
    value = (record.value or b"").decode()
    due = int(dict(record.headers).get("kb-retry-due", b"0")) / 1000
    CALLS.append((time.time(), record.topic, record.partition, record.offset, value, attempt, due))
    if attempt in SIGNAL.get(value, {}):
        raise SIGNAL[value][attempt]
    if attempt <= FAILS.get(value, 0):
        raise RuntimeError(f"{value} fails at attempt {attempt}")
"""
SYNC = """
@event_handler("{topic}", id="bill"{more})
def bill(record: Record, context: Context) -> None:
    note(record, context.attempt)
"""
ASYNC = SYNC.replace("def bill", "async def bill")
BATCH = """
@event_handler("{topic}", id="bill", batch=10{more})
async def bill(records: list[Record], context: Context) -> None:
    for index, record in enumerate(records):
        try:
            note(record, context.attempt)
        except RuntimeError as error:
            raise BatchFailed(index, error)
"""
TYPED = """
@event_handler("{topic}", type="placed", id="bill"{more})
async def bill(record: Record, context: Context) -> None:
    note(record, context.attempt)

@event_handler("{topic}", type="cancelled", id="refund", retry=False)
async def refund(record: Record) -> None:
    CALLS.append((time.time(), record.topic, record.partition, record.offset, "refund", 1, 0))
"""


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def broker(request):
    return request.getfixturevalue(request.param)


class Desk:
    """A topic of this test's own, and an application that takes it."""

    def __init__(self, broker, folder, partitions):
        self.address, self.folder, self.partitions = broker.bootstrap_servers, folder, partitions
        self.name = f"later{next(NUMBERS)}_{time.time_ns() % 10**9}"
        self.topic = f"{self.name}-orders"
        self.clients = ConfluentClients(KafkaSettings(), bootstrap_servers=self.address)
        self.admin = self.clients.admin()
        self.admin.create_topics([TopicSpec(self.topic, partitions, 1)], 30)
        self.producer = self.clients.producer({"linger.ms": 0})

    def application(self, handlers, more="", **overrides):
        package = self.folder / self.name
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(HEAD + handlers.format(topic=self.topic, more=more))
        said = {
            "application.name": self.name,
            "application.packages": self.name,
            "kafka.broker": "external",
            "kafka.bootstrap-servers": self.address,
            "consumer.commit-interval": "200ms",
            "retry.default.attempts": 2,
            "retry.default.backoff.initial": "10ms",
            "retry.default.topics": ",".join(f"{delay:g}s" for delay in DELAYS),
            **{name.replace("__", ".").replace("_", "-"): value for name, value in overrides.items()},
        }
        return Application(
            directory=self.folder, environ={}, overrides=[f"kafkaboot.{name}={value}" for name, value in said.items()]
        )

    @property
    def module(self):
        return sys.modules[self.name]

    def publish(self, value, key=b"k", partition=0, kind=None):
        headers = [("mine", b"1"), *([("kb-type", kind)] if kind else [])]
        self.producer.produce(self.topic, value.encode(), key, headers, partition, None)
        assert self.producer.flush(20) == 0

    def calls(self, value):
        return [call for call in self.module.CALLS if call[4] == value]

    def retries(self):
        return [f"{self.topic}.{self.name}.retry.{name}" for name in ("300ms", "700ms")]

    def standing(self, topic):
        """All records of a topic."""
        known = self.admin.topics(10)
        if topic not in known:
            return []
        tps = [TP(topic, at) for at in range(known[topic].partitions)]
        ends, reader, found = self.admin.end_offsets(tps, 10), self.clients.reader(), []
        reader.begin(dict.fromkeys(tps, 0))
        until = time.monotonic() + 10
        while any(reader.positions[tp] < ends[tp] for tp in tps) and time.monotonic() < until:
            found += reader.poll(1000, 0.1)
        reader.close()
        return found

    def letters(self):
        found = self.standing(f"{self.topic}.{self.name}.dlt")
        return [read(one) for one in found]

    async def until(self, condition, what):
        await eventually_async(condition, DEADLINE, what)


@pytest.fixture
def desk(broker, tmp_path):
    made = []

    def make(partitions=1):
        made.append(Desk(broker, tmp_path, partitions))
        return made[-1]

    yield make
    for one in made:
        one.producer.close(0)
        one.admin.close()
        sys.modules.pop(one.name, None)


@asynccontextmanager
async def running(application):
    ready = await application.start()
    try:
        yield ready
    finally:
        await application.stop()


def assert_never_early(calls, delays=DELAYS):
    """By the header, and by the clock: counted from the attempt before."""
    by_value = defaultdict(list)
    for call in calls:
        by_value[call[4]].append(call)
    for of_value in by_value.values():
        for before, call in itertools.pairwise(of_value):
            if call[6]:
                assert call[0] >= call[6] - 0.001, f"{call} came before it was due"
            if call[1] != before[1]:
                wanted = delays[0] if call[1].endswith("300ms") else delays[1]
                assert call[0] - before[0] >= wanted - 0.001, f"{call} came {call[0] - before[0]:.3f} s after {before}"


@pytest.mark.parametrize("handlers", [SYNC, ASYNC, BATCH], ids=["def", "async", "batch"])
async def test_a_record_goes_from_topic_to_topic_never_early_and_then_to_the_dead_letters(desk, handlers):
    shop = desk(partitions=2)
    async with running(shop.application(handlers)) as ready:
        assert set(shop.retries()) <= set(ready.created_topics)
        assert all(shop.admin.topics(10)[name].partitions == 2 for name in shop.retries())
        shop.module.FAILS.update({"bad": 99, "late": 3})
        for value in ("one", "bad", "two", "late", "three"):
            shop.publish(value, partition=1)
        await shop.until(shop.letters, "a dead letter")
        await shop.until(lambda: len(shop.calls("late")) >= 4, "the fourth attempt at what fails three times")
    tried = shop.calls("bad")
    assert [call[1] for call in tried] == [shop.topic] * 2 + shop.retries()
    assert [call[5] for call in tried] == [1, 2, 3, 4]
    assert {call[2] for call in tried} == {1}
    assert [call[1] for call in shop.calls("late")] == [shop.topic] * 2 + shop.retries()
    assert_never_early(shop.module.CALLS)
    assert all(len(shop.calls(value)) == 1 for value in ("one", "two", "three"))
    assert shop.calls("three")[0][0] < tried[2][0], "those behind it do not wait"
    (letter,) = shop.letters()
    assert (letter.value, letter.attempts, letter.original.topic, letter.original.partition) == (
        b"bad", 4, shop.topic, 1,
    )  # fmt: skip
    assert ("mine", b"1") in letter.headers
    assert len([name for name, _ in letter.headers if name == "kb-attempts"]) == 1
    assert "kb-retry-due" not in dict(letter.headers)


async def test_many_wait_side_by_side_and_each_is_tried_when_it_is_due(desk):
    shop = desk(partitions=3)
    async with running(shop.application(ASYNC, ', ordering="unordered"')):
        values = [f"v{at}" for at in range(60)]
        shop.module.FAILS.update(dict.fromkeys(values, 2))
        for at, value in enumerate(values):
            shop.publish(value, key=value.encode(), partition=at % 3)
        await shop.until(lambda: all(len(shop.calls(value)) == 3 for value in values), "a third attempt at each")
    assert_never_early(shop.module.CALLS)
    late = max(call[0] - call[6] for call in shop.module.CALLS if call[6])
    assert late < 5.0
    assert not shop.letters()


async def test_a_restart_in_the_middle_neither_loses_it_nor_shortens_its_wait(desk):
    shop = desk()
    application = shop.application(ASYNC, retry__default__topics="1s,2s")
    async with running(application):
        shop.module.FAILS["bad"] = 3
        shop.publish("bad")
        await shop.until(lambda: shop.standing(f"{shop.topic}.{shop.name}.retry.1s"), "it waits")
    shop.module.CALLS.clear()
    async with running(shop.application(ASYNC, retry__default__topics="1s,2s")):
        await shop.until(lambda: len(shop.calls("bad")) == 2, "both topics")
    tried = shop.calls("bad")
    assert [call[1].rpartition(".")[2] for call in tried] == ["1s", "2s"]
    assert all(call[0] >= call[6] - 0.001 for call in tried)
    assert tried[1][0] - tried[0][0] >= 1.999


async def test_types_share_a_topic_and_only_the_one_with_retries_goes_there(desk):
    shop = desk()
    async with running(shop.application(TYPED)):
        shop.module.FAILS["bad"] = 2
        shop.publish("bad", kind=b"placed")
        shop.publish("void", kind=b"cancelled")
        await shop.until(lambda: len(shop.calls("bad")) == 3 and shop.calls("refund"), "both handled")
    assert [call[1] for call in shop.calls("bad")] == [shop.topic] * 2 + shop.retries()[:1]
    assert [call[1] for call in shop.calls("refund")] == [shop.topic]


async def test_a_dead_letter_signal_ends_it_in_a_retry_topic_too(desk):
    shop = desk()
    async with running(shop.application(ASYNC)):
        shop.module.FAILS["bad"] = 2
        from kafkaboot import DeadLetter

        shop.module.SIGNAL["bad"] = {3: DeadLetter("no such customer")}
        shop.publish("bad")
        await shop.until(shop.letters, "a dead letter")
    (letter,) = shop.letters()
    assert (letter.attempts, letter.message, letter.topic) == (3, "no such customer", f"{shop.topic}.{shop.name}.dlt")
    assert len(shop.calls("bad")) == 3


async def test_on_exhausted_counts_behind_the_last_retry_topic(desk):
    shop = desk()
    async with running(shop.application(ASYNC, ', on_exhausted="skip"')):
        shop.module.FAILS["bad"] = 99
        shop.publish("bad")
        await shop.until(lambda: len(shop.calls("bad")) == 4, "all attempts")
        group = f"{shop.name}.retry"
        last = TP(shop.retries()[1], 0)
        await shop.until(
            lambda: (shop.admin.group_offsets(group, 10).get(last) or (0,))[0] == 1, "it is settled there as well"
        )
    assert not shop.letters()


async def test_no_attempt_begins_beyond_the_time_limit(desk):
    shop = desk()
    async with running(shop.application(ASYNC, retry__default__time_limit="500ms")):
        shop.module.FAILS["bad"] = 99
        shop.publish("bad")
        await shop.until(shop.letters, "a dead letter")
    assert [call[1] for call in shop.calls("bad")] == [shop.topic] * 2 + shop.retries()[:1]


# --- keep-order


KEYED = {"retry__default__keep_order": "key"}


@pytest.mark.parametrize("handlers", [SYNC, ASYNC], ids=["def", "async"])
async def test_later_records_of_a_key_follow_the_one_that_waits_and_others_flow(desk, handlers):
    shop = desk()
    async with running(shop.application(handlers, **KEYED)) as ready:
        assert shop.retries()[0] in ready.created_topics
        assert shop.retries()[1] not in shop.admin.topics(10)
        shop.module.FAILS["x1"] = 3
        for value in ("x0", "x1", "y1", "x2", "x3", "y2"):
            shop.publish(value, key=value[:1].encode())
        await shop.until(lambda: shop.calls("x3"), "the key's last record")
        # The key comes back though its records never pause.
        until = time.monotonic() + DEADLINE
        for number in itertools.count():
            shop.publish(f"x{10 + number}", key=b"x")
            if (seen := shop.calls(f"x{10 + number - 5}")) and seen[0][1] == shop.topic:
                break
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        await shop.until(lambda: shop.calls(f"x{10 + number}"), "all")
    order = [call[4] for call in shop.module.CALLS if call[4].startswith("x")]
    assert order[:7] == ["x0", "x1", "x1", "x1", "x1", "x2", "x3"]
    assert order[7:] == [f"x{10 + at}" for at in range(number + 1)]
    assert [call[1] for call in shop.calls("x1")] == [shop.topic] * 2 + [shop.retries()[0]] * 2
    assert shop.calls("x2")[0][1:2] + shop.calls("x2")[0][5:6] == (shop.retries()[0], 1)
    assert {call[1] for call in shop.module.CALLS if call[4].startswith("y")} == {shop.topic}
    assert shop.calls("y2")[0][0] < shop.calls("x1")[2][0]
    first, second, third, fourth = shop.calls("x1")
    assert third[0] >= third[6] - 0.001
    assert third[0] - second[0] >= 0.299
    assert fourth[0] - third[0] >= 0.699
    assert first[5:6] + fourth[5:6] == (1, 4)


async def test_a_record_that_followed_gets_all_attempts_of_its_own(desk):
    shop = desk()
    async with running(shop.application(ASYNC, **KEYED)):
        shop.module.FAILS.update(x1=3, x2=99)
        for value in ("x1", "x2", "x3"):
            shop.publish(value, key=b"x")
        await shop.until(lambda: shop.calls("x3"), "the last one")
        await shop.until(shop.letters, "a dead letter")
    assert [call[5] for call in shop.calls("x2")] == [1, 2, 3, 4]
    waits = [after[0] - before[0] for before, after in itertools.pairwise(shop.calls("x2"))]
    assert waits[1] >= 0.299
    assert waits[2] >= 0.699
    assert [call[4] for call in shop.module.CALLS] == ["x1"] * 4 + ["x2"] * 4 + ["x3"]
    (letter,) = shop.letters()
    assert (letter.value, letter.attempts, letter.original.offset) == (b"x2", 4, 1)


async def test_a_key_that_waits_is_still_known_after_a_restart(desk):
    shop = desk()
    later = {**KEYED, "retry__default__topics": "1500ms"}
    async with running(shop.application(ASYNC, **later)):
        shop.module.FAILS["x1"] = 2
        for value in ("x1", "x2", "y1"):
            shop.publish(value, key=value[:1].encode())
        await shop.until(lambda: len(shop.standing(f"{shop.topic}.{shop.name}.retry.1500ms")) == 2, "both wait")
        await shop.until(lambda: shop.calls("y1"), "the other key is handled")
    first = list(shop.module.CALLS)
    shop.module.CALLS.clear()
    async with running(shop.application(ASYNC, **later)):
        for value in ("x3", "y2"):
            shop.publish(value, key=value[:1].encode())
        await shop.until(lambda: shop.calls("x3") and shop.calls("y2"), "all are handled")
        second = list(shop.module.CALLS)
    assert sorted(call[4] for call in first) == ["x1", "x1", "y1"]
    assert [call[4] for call in second if call[4].startswith("x")] == ["x1", "x2", "x3"]
    assert [call[1] for call in second if call[4] == "y2"] == [shop.topic]
