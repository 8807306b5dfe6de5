"""Transactions on brokers that keep their word: the embedded one, and a real Apache Kafka."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections import Counter

import pytest
from confluent_kafka import Consumer, TopicPartition

from kafkaboot.client import TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import TransactionError
from kafkaboot.producer import Producer, ProducerSettings, Transactions

COMMITTED, ALL = "read_committed", "read_uncommitted"


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def place(request):
    broker = request.getfixturevalue(request.param)
    made = Place(broker)
    yield made
    made.close()


@pytest.fixture
def embedded_place(embedded):
    made = Place(embedded)
    yield made
    embedded.clear_faults()
    made.close()


class Place:
    """A broker, two topics of this test's own, and processes that publish to them."""

    def __init__(self, broker):
        self.broker, self.address = broker, broker.bootstrap_servers
        self.clients = ConfluentClients(KafkaSettings(), bootstrap_servers=self.address)
        self.topics = [f"txn-{n}-{uuid.uuid4().hex[:8]}" for n in ("orders", "invoices")]
        self.slot = uuid.uuid4().hex[:8]
        self.producers = []
        admin = self.clients.admin()
        admin.create_topics([TopicSpec(name, 2, 1) for name in self.topics], 30)
        admin.close()

    def producer(self, slot=None, size=2, timeout="10s", **options):
        settings = ProducerSettings.model_validate({"transaction": {"timeout": timeout}})
        pool = Transactions(
            self.clients,
            settings.transaction_properties(),
            prefix=f"shop-{slot or self.slot}",
            size=size,
            timeout=settings.transaction.timeout,
            make=Producer,
            **options,
        )
        self.producers.append(Producer(self.clients.producer(settings.client_properties()), transactions=pool))
        return self.producers[-1]

    def reader(self, isolation):
        return Reader(self.address, self.topics, isolation)

    def read(self, isolation=COMMITTED):
        """All that such a reader sees now, as `(topic, value)`."""
        with self.reader(isolation) as reader:
            reader.to_the_end()
            return reader.seen

    def close(self):
        for producer in self.producers:
            producer.sync.close(1)


class Reader:
    """Reads along, with a plain client."""

    def __init__(self, address, topics, isolation):
        self.seen = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": uuid.uuid4().hex,
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
        self._wanted = [TopicPartition(topic, partition, 0) for topic in topics for partition in (0, 1)]
        self._consumer.assign(self._wanted)

    def poll(self, timeout=0.05):
        message = self._consumer.poll(timeout)
        while message is not None:
            if message.error() is None:
                self.seen.append((message.topic(), json.loads(message.value())))
            message = self._consumer.poll(0)

    def to_the_end(self):
        ended, until = set(), time.monotonic() + 20
        while len(ended) < len(self._wanted):
            assert time.monotonic() < until, f"only {len(self.seen)} records came"
            message = self._consumer.poll(0.1)
            if message is None:
                continue
            at = (message.topic(), message.partition())
            if message.error() is not None:
                ended.add(at)
            else:
                ended.discard(at)
                self.seen.append((message.topic(), json.loads(message.value())))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._consumer.close()


async def test_readers_of_committed_records_see_all_of_a_transaction_or_none(place):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng, numbers, producer = random.Random(seed), itertools.count(), place.producer(size=3)
    sizes, committed = {}, set()

    class Stop(Exception):
        pass

    async def worker():
        while (number := next(numbers)) < 60:
            sizes[number] = rng.randrange(1, 30)
            fails, waits = rng.random() < 0.3, rng.random() < 0.3
            try:
                async with producer.transaction() as tx:
                    for i in range(sizes[number]):
                        tx.send(rng.choice(place.topics), {"tx": number, "i": i}, key=str(i))
                    if waits:
                        await tx.publish(place.topics[0], {"tx": number, "i": sizes[number]})
                    if fails:
                        raise Stop
                sizes[number] += waits
                committed.add(number)
            except Stop:
                pass

    await asyncio.gather(*(worker() for _ in range(5)))  # more than there are clients
    assert producer.transactions.outcomes == {"committed": len(committed), "aborted": 60 - len(committed)}
    seen = await asyncio.to_thread(place.read)
    counts = {n: 0 for n in committed}
    for _, value in seen:
        counts[value["tx"]] += 1
    assert counts == {n: sizes[n] for n in committed}
    everything = await asyncio.to_thread(place.read, ALL)
    assert {value["tx"] for _, value in everything} > committed  # the control: aborted records were written


async def test_the_older_of_two_processes_with_one_slot_is_fenced_and_says_so(place):
    older, newer = place.producer(), place.producer()
    await older.publish_batch(place.topics[0], [{"n": 1}], transactional=True)
    await newer.publish_batch(place.topics[0], [{"n": 2}], transactional=True)
    with pytest.raises(TransactionError) as caught:
        await older.publish_batch(place.topics[0], [{"n": 3}] * 100, transactional=True)
    assert (caught.value.fenced, caught.value.outcome, caught.value.retriable) == (True, "aborted", False)
    assert f"shop-{place.slot}-0" in str(caught.value)
    assert "slot" in caught.value.todo
    with pytest.raises(TransactionError, match="begins no more"):
        await older.publish_batch(place.topics[0], [{"n": 4}], transactional=True)
    # It made no client anew: the newer one would be fenced by it now.
    await newer.publish_batch(place.topics[0], [{"n": 5}], transactional=True)
    assert sorted(value["n"] for _, value in await asyncio.to_thread(place.read)) == [1, 2, 5]


async def test_fenced_while_records_are_on_their_way_everybody_who_waits_is_answered(place):
    older, newer = place.producer(), place.producer()
    await older.publish_batch(place.topics[0], [{"n": 0}], transactional=True)
    with pytest.raises(TransactionError) as caught:
        async with older.transaction() as tx:
            await newer.publish_batch(place.topics[0], [{"n": 1}], transactional=True)
            waiting = [asyncio.create_task(tx.publish(place.topics[0], {"n": 2})) for _ in range(50)]
            await asyncio.sleep(0)
    assert caught.value.fenced
    answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
    assert all(isinstance(answer, Exception) for answer in answers)


async def test_a_transaction_longer_than_its_timeout_is_told_from_a_fenced_one(place):
    producer = place.producer(timeout="1s")
    with place.reader(COMMITTED) as reader, pytest.raises(TransactionError) as caught:
        async with producer.transaction() as tx:
            await tx.publish(place.topics[0], {"n": 1}, partition=0)
            await producer.publish(place.topics[0], {"behind": 1}, partition=0)
            until = time.monotonic() + 20
            while not reader.seen:  # what stands behind is seen when the broker has ended the transaction
                assert time.monotonic() < until
                await asyncio.to_thread(reader.poll)
            tx.send(place.topics[0], {"n": 2})
    assert (caught.value.fenced, caught.value.outcome, caught.value.retriable) == (False, "aborted", True)
    assert "longer than its timeout of 1 s" in str(caught.value)
    await producer.publish_batch(place.topics[0], [{"n": 3}], transactional=True)
    seen = [value for _, value in await asyncio.to_thread(place.read)]
    assert [value["n"] for value in seen if "n" in value] == [3]


KILLED = """
import sys, time
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.producer import Producer, ProducerSettings, Transactions

address, slot, *topics = sys.argv[1:]
clients = ConfluentClients(KafkaSettings(), bootstrap_servers=address)
settings = ProducerSettings.model_validate({"transaction": {"timeout": "60s"}})
pool = Transactions(
    clients, settings.transaction_properties(), prefix=f"shop-{slot}", size=1, timeout=60, make=Producer
)
producer = Producer(clients.producer(settings.client_properties()), transactions=pool)
producer.sync.publish_batch(topics[0], [{"n": "before"}], transactional=True)
with producer.sync.transaction() as tx:
    for topic in topics:
        tx.publish_batch(topic, [{"n": "killed"}] * 50)
    print("open", flush=True)
    time.sleep(60)
"""


async def test_a_process_that_is_killed_in_the_middle_leaves_nothing_and_its_successor_goes_on_at_once(place, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    process = subprocess.Popen(
        [sys.executable, script, place.address, place.slot, *place.topics], stdout=subprocess.PIPE, text=True
    )
    try:
        assert await asyncio.to_thread(process.stdout.readline) == "open\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    # The control: a process of another slot does not end it, and readers wait behind it for its 60 seconds.
    other = place.producer(slot="another")
    for topic in place.topics:
        await other.publish_batch(topic, [{"n": f"other {i}"} for i in range(20)], key="n", transactional=True)
    stuck = [value["n"] for _, value in await asyncio.to_thread(place.read)]
    written = [value["n"] for _, value in await asyncio.to_thread(place.read, ALL)]
    assert written.count("killed") == 100
    assert len(stuck) < 41
    successor, begun = place.producer(), time.monotonic()
    await successor.publish_batch(place.topics[1], [{"n": "successor"}], transactional=True)
    seen = [value["n"] for _, value in await asyncio.to_thread(place.read)]
    assert time.monotonic() - begun < 50, "it did not wait for the 60 s of the one that was killed"
    assert sorted(seen) == sorted(
        ["before", "successor", *(f"other {i}" for i in range(20)), *(f"other {i}" for i in range(20))]
    )


NUMBERED = """
import sys, time
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.producer import Producer, ProducerSettings, Transactions

address, slot, first, held, *topics = sys.argv[1:]
clients = ConfluentClients(KafkaSettings(), bootstrap_servers=address)
settings = ProducerSettings.model_validate({"transaction": {"timeout": "60s"}})
pool = Transactions(
    clients, settings.transaction_properties(), prefix=f"shop-{slot}", size=1, timeout=60, make=Producer
)
producer = Producer(clients.producer(settings.client_properties()), transactions=pool)
for n in range(int(first), int(first) + 10_000):
    with producer.sync.transaction() as tx:
        for topic in topics:
            tx.publish_batch(topic, [{"n": n}] * 20)
        print("open", n, flush=True)
        time.sleep(60 if n == int(held) else 0)
    print("committed", n, flush=True)
"""


def test_killed_at_random_again_and_again_every_transaction_is_there_wholly_or_not_at_all(place, tmp_path):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng, script = random.Random(seed), tmp_path / "numbered.py"
    script.write_text(textwrap.dedent(NUMBERED))
    acknowledged, opened = set(), set()
    for life in range(5):
        first, rounds = life * 10_000, rng.randrange(0, 12)
        held = first + rounds if life % 2 == 0 else -1  # half of the kills are known to meet an open transaction
        command = [sys.executable, script, place.address, place.slot, str(first), str(held), *place.topics]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            for _ in range(2 * rounds + 1):
                what, number = process.stdout.readline().split()
                (opened if what == "open" else acknowledged).add(int(number))
            time.sleep(rng.choice((0, 0, 0.0005, 0.002, 0.005)))  # before, in the midst of, or behind a commit
        finally:
            process.kill()
            rest, _ = process.communicate()
        for line in rest.splitlines():
            what, number = line.split()
            (opened if what == "open" else acknowledged).add(int(number))
    last = place.producer()
    last.sync.publish_batch(place.topics[0], [{"n": -1}], transactional=True)
    seen = Counter((topic, value["n"]) for topic, value in place.read())
    written = Counter((topic, value["n"]) for topic, value in place.read(ALL))
    del seen[place.topics[0], -1]
    whole = {n for _, n in seen}
    assert seen == Counter({(topic, n): 20 for topic in place.topics for n in whole})
    assert acknowledged <= whole <= opened
    dropped = {n for _, n in written} - whole - {-1}
    print(f"{len(whole)} transactions are there, {len(acknowledged)} were acknowledged, {len(dropped)} were dropped")
    assert len(dropped) >= 3  # the control: kills met transactions that were open


@pytest.mark.parametrize("applied", [True, False])
async def test_a_commit_whose_answer_never_comes_is_decided_and_found_out(embedded_place, applied, caplog):
    place, producer = embedded_place, embedded_place.producer(timeout="2s")
    await producer.publish_batch(place.topics[0], [{"n": 0}], transactional=True)
    place.broker.drop("end_txn", times=None, applied=applied)
    if applied:
        await producer.publish_batch(place.topics[0], [{"n": 1}], transactional=True)
        assert "the transaction is committed" in caplog.text
    else:
        with pytest.raises(TransactionError) as caught:
            await producer.publish_batch(place.topics[0], [{"n": 1}], transactional=True)
        assert caught.value.outcome == "aborted"
    place.broker.clear_faults()
    await producer.publish_batch(place.topics[0], [{"n": 2}], transactional=True)
    seen = sorted(value["n"] for _, value in await asyncio.to_thread(place.read))
    assert seen == ([0, 1, 2] if applied else [0, 2])


async def test_a_commit_whose_first_answer_is_lost_is_asked_for_again_and_its_client_is_not_used_again(embedded_place):
    place, producer = embedded_place, embedded_place.producer()
    made, make = [], place.clients.transactional
    place.clients.transactional = lambda *args: made.append(make(*args)) or made[-1]
    await producer.publish_batch(place.topics[0], [{"n": 0}], transactional=True)
    await producer.publish_batch(place.topics[0], [{"n": 1}], transactional=True)
    assert len(made) == 1
    place.broker.drop("end_txn", times=1, applied=True)
    await producer.publish_batch(place.topics[0], [{"n": 2}], transactional=True)
    assert place.broker.faults_left() == 0
    await producer.publish_batch(place.topics[0], [{"n": 3}], transactional=True)
    assert len(made) == 2
    assert sorted(value["n"] for _, value in await asyncio.to_thread(place.read)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("UNSUPPORTED_VERSION", "UNSUPPORTED"),
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "permission"),
        ("COORDINATOR_NOT_AVAILABLE", "transaction.state.log.replication.factor"),
    ],
)
async def test_a_broker_that_has_no_transactions_for_us_is_told_with_what_to_do(embedded_place, error, says):
    place, producer = embedded_place, embedded_place.producer(timeout="1s", eager=True)
    place.broker.fail("init_producer_id", error=error, times=None)
    with pytest.raises(TransactionError) as caught:
        await asyncio.to_thread(producer.transactions.start)
    assert says in str(caught.value)
    assert f"shop-{place.slot}-" in caught.value.where
