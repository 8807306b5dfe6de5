"""Transactional copiers in processes of their own, killed in open transactions: nothing lost, doubled, out of order."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.testing import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

LONG = bool(os.environ.get("KB_CHAOS"))
KILLS = 25 if LONG else 3
SEEDS = (1, 2, 3) if LONG else (1,)
COPIERS, PARTITIONS, RATE = 3, 4, 600
APP = Path(__file__).parent / "app" / "copier.py"


class Copier:
    """One of the processes, and how often it has had a transaction open."""

    def __init__(self, arguments, log):
        self.opened = 0
        with log.open("ab") as errors:
            command = [sys.executable, str(APP), *arguments]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self._process.stdout as output:
            for _ in output:
                self.opened += 1

    @property
    def gone(self):
        return self._process.poll() is not None

    def kill(self):
        self._process.kill()
        self._process.wait()


class Copying:
    """A topic that is written to, the one that it is copied to, and the copiers."""

    def __init__(self, bootstrap, directory, mode, seed):
        self.bootstrap, self._mode, self._directory = bootstrap, mode, directory
        self._name = f"copied-{uuid.uuid4().hex[:10]}"
        self._random = random.Random(seed)
        self.source, self.target, self.group = f"{self._name}-from", f"{self._name}-to", self._name
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        made = self._admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (self.source, self.target)])
        for future in made.values():
            future.result(30)
        self._copiers = [self._start(slot) for slot in range(COPIERS)]
        self.written = defaultdict(int)
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self._write)
        self._writer.start()

    def _start(self, slot):
        arguments = [self._mode, self.bootstrap, self.source, self.target, self.group, f"{self._name}-{slot}"]
        return Copier(arguments, self._directory / f"copier-{slot}.log")

    def _write(self):
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "log_level": 0})
        begin = time.monotonic()
        while not self._stop.wait(0.02):
            for _ in range(int((time.monotonic() - begin) * RATE) - sum(self.written.values())):
                partition = self._random.randrange(PARTITIONS)
                producer.produce(self.source, str(self.written[partition]), partition=partition)
                self.written[partition] += 1
            producer.poll(0)
        assert producer.flush(30) == 0

    def replace_the_fallen(self):
        """One that was fenced ends by itself: a supervisor starts it again."""
        self._copiers = [self._start(slot) if one.gone else one for slot, one in enumerate(self._copiers)]

    def kill_one(self):
        """A copier that has made some progress, in an open transaction."""
        seen = {one: one.opened for one in self._copiers}

        def at_work():
            self.replace_the_fallen()
            return [one for one in self._copiers if one.opened > seen.setdefault(one, 0) + 3]

        victim = self._random.choice(eventually(at_work, 60, "a copier that is at work"))
        opened = victim.opened
        eventually(lambda: victim.opened > opened or victim.gone, 30, "a transaction of the victim")
        victim.kill()
        self.replace_the_fallen()

    def settle(self):
        """No more is written, and all of it is copied."""
        self._stop.set()
        self._writer.join(40)
        asked = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.source, p) for p in self.written])

        def copied():
            self.replace_the_fallen()
            try:
                found = self._admin.list_consumer_group_offsets([asked], require_stable=True)[self.group].result(10)
            except KafkaException:
                return False
            return {one.partition: one.offset for one in found.topic_partitions} == self.written

        eventually(copied, 60, "all that was written is copied")
        # The last victim's transaction is open until the one in its place has begun.
        eventually(lambda: self._ends("read_committed") == self._ends("read_uncommitted"), 30, "all is decided")

    def _ends(self, isolation):
        self.replace_the_fallen()
        consumer = Consumer(self._reading(isolation))
        try:
            asked = [TopicPartition(self.target, partition) for partition in range(PARTITIONS)]
            return [consumer.get_watermark_offsets(one, timeout=20)[1] for one in asked]
        finally:
            consumer.close()

    def _reading(self, isolation):
        group = {"group.id": uuid.uuid4().hex, "isolation.level": isolation}
        return {"bootstrap.servers": self.bootstrap, "log_level": 0, **group}

    def end(self):
        self._stop.set()
        for one in self._copiers:
            one.kill()
        self._writer.join(40)

    def read(self, isolation):
        """What stands in the target, by partition."""
        consumer = Consumer(self._reading(isolation))
        try:
            found = {}
            for partition in range(PARTITIONS):
                consumer.assign([TopicPartition(self.target, partition, 0)])
                end = consumer.get_watermark_offsets(TopicPartition(self.target, partition), timeout=20)[1]
                found[partition], until = [], time.monotonic() + 30
                while consumer.position([TopicPartition(self.target, partition)])[0].offset < end:
                    assert time.monotonic() < until, f"{self.target}-{partition} is not read to its end"
                    found[partition] += [int(m.value()) for m in consumer.consume(5000, 0.1) if m.error() is None]
            return found
        finally:
            consumer.close()

    def verdict(self):
        """Lost, doubled, out of order; and records that only readers of uncommitted data see."""
        lost = doubled = disordered = 0
        committed = self.read("read_committed")
        for partition, values in committed.items():
            lost += len(set(range(self.written[partition])) - set(values))
            doubled += len(values) - len(set(values))
            disordered += sum(after < before for before, after in pairwise(values))
        everything = sum(map(len, self.read("read_uncommitted").values()))
        return {
            "lost": lost,
            "doubled": doubled,
            "out of order": disordered,
            "aborted": everything - sum(map(len, committed.values())),
        }


@contextmanager
def copying(bootstrap, directory, mode="transactions", seed=1):
    made = Copying(bootstrap, directory, mode, seed)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def bootstrap(request):
    if request.param == "kafka":
        yield request.getfixturevalue("kafka").bootstrap_servers
    else:
        with EmbeddedKafka() as broker:
            yield broker.bootstrap_servers


def demand(run):
    verdict = run.verdict()
    print(verdict, dict(run.written))
    assert sum(run.written.values()) >= KILLS * 100, "too little was copied to say anything"
    aborted = verdict.pop("aborted")
    assert verdict == {"lost": 0, "doubled": 0, "out of order": 0}
    assert aborted > 0, "no kill met an open transaction: nothing is shown"


@pytest.mark.parametrize("seed", SEEDS)
def test_copiers_that_are_killed_lose_nothing_and_double_nothing(bootstrap, tmp_path, seed):
    with copying(bootstrap, tmp_path, seed=seed) as run:
        for _ in range(KILLS):
            run.kill_one()
        run.settle()
        demand(run)


@pytest.mark.parametrize("seed", SEEDS)
def test_copiers_lose_nothing_when_the_broker_is_killed_too_and_keeps_its_data(tmp_path, seed):
    with (
        EmbeddedKafka(data_dir=tmp_path / "data") as broker,
        copying(broker.bootstrap_servers, tmp_path, seed=seed) as run,
    ):
        for number in range(KILLS):
            run.kill_one()
            if number % 2 == 0:
                os.kill(broker.pid, signal.SIGKILL)
                broker.stop()
                broker.start()
        run.settle()
        demand(run)


def test_control_copiers_without_transactions_double_what_a_kill_met(tmp_path):
    with EmbeddedKafka() as broker, copying(broker.bootstrap_servers, tmp_path, mode="plain") as run:
        for _ in range(3):
            run.kill_one()
        run.settle()
        assert run.verdict()["doubled"] > 0
