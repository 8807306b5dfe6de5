"""Transactional handlers of whole applications, run as users run them."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.boot.analysis import DIED
from kafkaboot.boot.application import Application
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import TransactionError
from kafkaboot.testing import eventually

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
        names = self.source, self.target, f"{self.source}.{self.name}.dlt"
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
            producer.produce(self.source, json.dumps({"id": n, "key": "k", "seq": n}).encode())
        assert producer.flush(20) == 0

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
