"""Transactional handlers of whole applications, run as users run them."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.boot.analysis import DIED
from kafkaboot.boot.application import Application
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import TransactionError
from kafkaboot.testing import eventually, eventually_async

COPIER = Path(__file__).parent.parent / "chaos" / "app" / "enclosed.py"


@pytest.fixture
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def place(request, tmp_path):
    made = Place(request.getfixturevalue(request.param).bootstrap_servers, tmp_path)
    yield made
    made.end()


class Place:
    """A copier's folder, its topics, and processes of it."""

    def __init__(self, bootstrap, folder, timeout="5s"):
        self.name = f"enclosed-{uuid.uuid4().hex[:8]}"
        self.folder, self.bootstrap, self.processes = folder, bootstrap, []
        self.source, self.target = f"{self.name}-from", f"{self.name}-to"
        shutil.copy(COPIER, folder)
        section = {
            "application": {"name": self.name, "packages": ["enclosed"]},
            "kafka": {"broker": "external", "bootstrap-servers": bootstrap},
            "producer": {"transaction": {"timeout": timeout, "slot": "one"}},
        }
        written = {"kafkaboot": section, "enclosed": {"source": self.source, "target": self.target}}
        (folder / "application.yaml").write_text(json.dumps(written))
        admin = AdminClient({"bootstrap.servers": bootstrap})
        kinds = [f"{self.name}-{kind}" for kind in ("awaiting", "threads", "batches", "returning")]
        names = self.source, self.target, f"{self.source}.{self.name}.dlt", *kinds
        for future in admin.create_topics([NewTopic(name, 2, 1) for name in names]).values():
            future.result(20)

    def start(self):
        log = self.folder / f"{len(self.processes)}.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "kafkaboot", "run"]
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT, env={**os.environ}
            )
        self.processes.append(process)
        return process, log

    def give(self, count):
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for n in range(count):
            producer.produce(self.source, json.dumps({"id": n, "key": "k", "seq": n}).encode(), str(n % 7))
        assert producer.flush(20) == 0

    def committed(self, topic):
        """How often each id stands in the topic, for a reader of committed records."""
        reading = {"group.id": uuid.uuid4().hex, "isolation.level": "read_committed", "enable.auto.commit": False}
        consumer, found = Consumer({"bootstrap.servers": self.bootstrap, **reading}), Counter()
        try:
            known = consumer.list_topics(topic, timeout=20).topics[topic].partitions
            for at in [TopicPartition(topic, partition, 0) for partition in known]:
                consumer.assign([at])
                end = consumer.get_watermark_offsets(at, timeout=20)[1]
                while end and consumer.position([at])[0].offset < end:
                    found.update(json.loads(m.value())["id"] for m in consumer.consume(500, 0.1) if not m.error())
        finally:
            consumer.close()
        return found

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def test_of_two_processes_with_one_slot_the_older_ends_with_a_code_and_says_what_to_do(place):
    older, log = place.start()
    place.give(5)
    eventually(lambda: "@committed" in log.read_text(), 30, lambda: log.read_text()[-2000:])
    newer, newer_log = place.start()
    eventually(lambda: "ready in" in newer_log.read_text(), 30, lambda: newer_log.read_text()[-2000:])

    def ended():
        place.give(5)
        return older.poll() is not None

    eventually(ended, 40, lambda: log.read_text()[-2000:])
    assert older.wait() == DIED, log.read_text()[-2000:]
    text = log.read_text()
    assert "another producer has taken over the transactional id" in text
    assert "kafkaboot.producer.transaction.slot" in text
    assert newer.poll() is None


async def test_a_broker_that_has_no_transactions_is_told_at_start(embedded, tmp_path, monkeypatch):
    place = Place(embedded.bootstrap_servers, tmp_path, timeout="1s")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCLOSED_TARGET", place.target)
    embedded.fail("init_producer_id", error="COORDINATOR_NOT_AVAILABLE", times=None)
    with pytest.raises(TransactionError) as caught:
        await Application().start()
    assert "__transaction_state" in caught.value.todo
    assert place.name in caught.value.where


KINDS = '''
from typing import Annotated

from pydantic import BaseModel

from kafkaboot import Context, Producer, event_handler, publisher

FAILED = set()


class Entry(BaseModel):
    id: int


def once(entry, what):
    """Fails at the first attempt at every fifth record."""
    if entry.id % 5 == 0 and (what, entry.id) not in FAILED:
        FAILED.add((what, entry.id))
        raise ValueError(what)


@event_handler("NAME-from", id="awaiting", group="awaiting", transactional=True)
async def awaiting(entry: Entry, producer: Producer) -> None:
    receipt = await producer.publish("NAME-awaiting", entry)
    assert receipt.offset >= 0
    await producer.publish_batch("NAME-awaiting", [entry])
    once(entry, "awaiting")


@event_handler("NAME-from", id="threads", group="threads", transactional=True, ordering="key")
def threads(entry: Entry, producer: Producer) -> None:
    producer.sync.publish("NAME-threads", entry)
    once(entry, "threads")


@event_handler("NAME-from", id="batches", group="batches", transactional=True, batch=20)
@publisher("NAME-batches")
async def batches(entries: list[Entry]) -> list[Entry]:
    return entries


@event_handler("NAME-from", id="returning", group="returning", transactional=True)
@publisher("NAME-returning")
def returning(entry: Entry) -> Entry:
    once(entry, "returning")
    return entry
'''


async def test_handlers_of_every_kind_publish_exactly_once(place, monkeypatch):
    package = f"kinds_{uuid.uuid4().hex[:8]}"
    (place.folder / f"{package}.py").write_text(KINDS.replace("NAME", place.name))
    written = json.loads((place.folder / "application.yaml").read_text())["kafkaboot"]
    written["application"]["packages"] = [package]
    written["retry"] = {"default": {"backoff": {"initial": "1ms", "max": "5ms"}}}
    written["kafka"]["topics"] = "create"
    (place.folder / "application.yaml").write_text(json.dumps({"kafkaboot": written}))
    monkeypatch.chdir(place.folder)
    place.give(60)
    application = Application()
    await application.start()
    try:
        kinds = {"awaiting": 2, "threads": 1, "batches": 1, "returning": 1}
        for kind, times in kinds.items():
            expected = Counter(dict.fromkeys(range(60), times))
            await eventually_async(
                lambda kind=kind, expected=expected: place.committed(f"{place.name}-{kind}") == expected,
                60,
                lambda kind=kind: f"{kind}: {sorted(place.committed(f'{place.name}-{kind}').items())[:9]}",
            )
    finally:
        stopped = await application.stop()
    assert stopped.code == 0
    for kind, times in kinds.items():
        assert place.committed(f"{place.name}-{kind}") == Counter(dict.fromkeys(range(60), times))
