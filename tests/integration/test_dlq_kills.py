"""A redrive that is killed again and again: `kill -9` on the command line's process, on the embedded broker."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.failure.replay.reading import chunks
from kafkaboot.failure.replay.work import BATCH
from kafkaboot.testing import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

LETTERS = "orders.shop.dlt"
PARTITIONS = 2
COUNT = 20_000

HASTY = """
import time
from kafkaboot.failure.replay import work

batch_of = work.Worker._batch

def hasty(self, consumer, producer, batch, place, progress):
    place.taken(batch)
    consumer.commit(place.offsets(), None)  # before anything was acknowledged
    time.sleep(0.5)
    batch_of(self, consumer, producer, batch, place, progress)

work.Worker._batch = hasty
"""

MAIN = """
from kafkaboot.cli import main
main()
"""


class Kafka:
    def __init__(self, broker):
        self.address = broker.bootstrap_servers
        self.clients = ConfluentClients(KafkaSettings(), bootstrap_servers=self.address)
        self.admin = self.clients.admin()

    def fill(self, count=COUNT):
        self.admin.create_topics([TopicSpec("orders", PARTITIONS, 1), TopicSpec(LETTERS, PARTITIONS, 1)], 30)
        producer = self.clients.producer({"linger.ms": 5})
        for number in range(count):
            at = number % PARTITIONS
            headers = [
                ("kb-original-topic", b"orders"),
                ("kb-original-partition", str(at).encode()),
                ("kb-original-offset", str(number).encode()),
                ("kb-exception", b"shop.CardRefused"),
                ("kb-fingerprint", b"card"),
            ]
            while True:
                try:
                    producer.produce(LETTERS, str(number).encode(), b"k", headers, at, None)
                    break
                except BufferError:
                    producer.serve(0.1)
        assert producer.close(60) == 0

    def sent(self):
        return sum(self.admin.end_offsets([TP("orders", at) for at in range(PARTITIONS)], 10).values())

    def committed(self, group):
        return sum(one.offset or 0 for one in self.admin.group_offsets(group, 10).values())

    def values(self):
        """By partition, in order."""
        partitions = [TP("orders", at) for at in range(PARTITIONS)]
        reader = self.clients.reader()
        try:
            ends = self.admin.end_offsets(partitions, 10)
            found = [record for chunk in chunks(reader, dict.fromkeys(partitions, 0), ends) for record in chunk]
        finally:
            reader.close()
        return [int(record.value()) for record in found]

    def redrive(self, folder, before=""):
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                before + MAIN,
                "dlq",
                "replay",
                LETTERS,
                "--all",
                "--job",
                "killed",
                "--yes",
                "--rate",
                "4000",
            ],
            cwd=folder,
            env={**os.environ, "KAFKABOOT_KAFKA_BROKER": "external", "KAFKABOOT_KAFKA_BOOTSTRAP_SERVERS": self.address},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


@pytest.fixture
def letters():
    with EmbeddedKafka() as broker:
        kafka = Kafka(broker)
        yield kafka
        kafka.admin.close()


def kill(process, when, what):
    try:
        eventually(lambda: when() or process.poll() is not None, 60, what)
        assert process.poll() is None, process.stdout.read().decode()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def finish(process):
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output.decode()
    return output.decode()


def settled(kafka):
    """How much stands in the target when the broker has taken what the dead process had sent."""
    before = -1
    until = time.monotonic() + 10
    while (now := kafka.sent()) != before and time.monotonic() < until:
        before = now
    return before


def test_ten_kills_lose_nothing_and_each_repeats_one_unacknowledged_batch_at_most(letters, tmp_path, capsys):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    letters.fill()
    repeats = []
    for number in range(1, 11):
        before = letters.sent()
        aim = before + chance.randrange(1, COUNT // 16)
        process = letters.redrive(tmp_path)
        kill(process, lambda aim=aim: letters.sent() >= aim, f"seed {seed}, run {number} has sent up to {aim}")
        settled(letters)
        found = Counter(letters.values())
        repeats.append(sum(found.values()) - len(found))
    said = finish(letters.redrive(tmp_path))
    found = Counter(letters.values())
    repeats.append(sum(found.values()) - len(found))
    each = [after - before for before, after in zip([0, *repeats], repeats, strict=False)]
    with capsys.disabled():
        print(f"\n  ten kills of a redrive of {COUNT} letters: 0 lost, {repeats[-1]} repeated, by run: {each}")
    assert "job killed finished" in said
    assert set(found) == set(range(COUNT)), f"seed {seed}"
    assert max(each) <= BATCH, f"seed {seed}: {each}"
    assert letters.committed(f"{LETTERS}.redrive.killed") == COUNT


def test_a_redrive_that_commits_before_the_acknowledgement_loses(letters, tmp_path):
    """The negative control: the same kill, with the two steps exchanged."""
    letters.fill(4000)
    group = f"{LETTERS}.redrive.killed"
    process = letters.redrive(tmp_path, HASTY)
    kill(process, lambda: letters.committed(group) > letters.sent(), "more is committed than was sent")
    finish(letters.redrive(tmp_path, HASTY))
    lost = set(range(4000)) - set(letters.values())
    assert 0 < len(lost) <= BATCH


def test_ctrl_c_ends_it_behind_the_batch_at_work_and_nothing_is_repeated(letters, tmp_path):
    letters.fill()
    process = letters.redrive(tmp_path)
    eventually(lambda: letters.sent() > 1000 or process.poll() is not None, 60, "it sends")
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert "job killed stopped" in said
    assert "--job killed" in said
    assert letters.committed(f"{LETTERS}.redrive.killed") == letters.sent() < COUNT
    finish(letters.redrive(tmp_path))
    assert sorted(letters.values()) == list(range(COUNT))
