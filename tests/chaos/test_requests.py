"""Requests whose answering processes are killed: every asker hears what became of its own request."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest

from kafkaboot.client import TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import RequestFailedError, RequestTimeoutError
from kafkaboot.producer import Producer, Requests

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

LONG = bool(os.environ.get("KB_CHAOS"))
KILLS = 20 if LONG else 3
SEEDS = (1, 2, 3) if LONG else (1,)
ASKERS, PROCESSES = 24, 2
APP = Path(__file__).parent / "app" / "answering.py"
YAML = """
kafkaboot:
  application: {{name: {name}, packages: [answering]}}
  kafka: {{broker: external, bootstrap-servers: "{servers}"}}
  consumer: {{commit-interval: 50ms, session-timeout: 2s, properties: {{heartbeat.interval.ms: 300}}}}
  handlers: {{{off}: {{enabled: false}}}}
  retry: {{default: {{attempts: 2, backoff: {{initial: 10ms, max: 20ms}}}}}}
asked: {name}.asked
"""


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


class Answering:
    """Processes that answer, by pid; killed and replaced."""

    def __init__(self, folder, servers, *, off):
        self.name = f"answers-{uuid.uuid4().hex[:8]}"
        self.folder, self.killed = folder, 0
        shutil.copy(APP, folder)
        (folder / "application.yaml").write_text(YAML.format(name=self.name, servers=servers, off=off))
        self.processes = {}
        self.clients = ConfluentClients(KafkaSettings(), bootstrap_servers=servers)
        admin = self.clients.admin()
        admin.create_topics([TopicSpec(f"{self.name}.asked", 4, 1), TopicSpec(f"{self.name}.replies", 2, 1)], 30)
        admin.close()

    def start(self):
        log = (self.folder / "log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "kafkaboot", "run"], cwd=self.folder, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        self.processes[process.pid] = process

    def kill(self, pid):
        process = self.processes.pop(pid)
        process.kill()
        process.wait()
        self.killed += 1

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


class Asking:
    """Asks without a pause; kills whoever has answered enough, at the seed's choice, until there were enough kills."""

    def __init__(self, answering, seed, timeout):
        self.answering, self.timeout, self.random = answering, timeout, random.Random(seed)
        self.requests = Requests(answering.clients, f"{answering.name}.replies")
        self.producer = Producer(answering.clients.producer({"linger.ms": 0}), requests=self.requests)
        self.numbers, self.answered, self.since = iter(range(10**9)), Counter(), Counter()
        self.wrong, self.timeouts = [], 0
        self.over = False

    async def begun(self):
        """The processes answer; one that ended by itself is told with its log."""
        for _ in range(12):
            ended = [pid for pid, process in self.answering.processes.items() if process.poll() is not None]
            assert not ended, (self.answering.folder / "log").read_text()
            try:
                return await self.producer.request(f"{self.answering.name}.asked", {"n": 0}, timeout=5.0)
            except RequestTimeoutError:
                continue
        raise AssertionError((self.answering.folder / "log").read_text())

    async def ask(self):
        while not self.over:
            n = next(self.numbers)
            try:
                answer = await self.producer.request(f"{self.answering.name}.asked", {"n": n}, timeout=self.timeout)
            except RequestTimeoutError:
                self.timeouts += 1
                continue
            except RequestFailedError as error:
                answer = {"n": int(error.text.removeprefix("not ")), "pid": "failed"}
                if n % 10 != 7 or error.kind != "ValueError":
                    self.wrong.append((n, error))
            if answer["n"] != n:
                self.wrong.append((n, answer))
            self.answered[answer["pid"]] += 1
            self.since[answer["pid"]] += 1
            await self.maybe_kill()

    async def maybe_kill(self):
        ready = [pid for pid in self.answering.processes if self.since[pid] >= 60]
        if not ready or self.over:
            return
        if self.answering.killed == KILLS:
            self.over = True
            return
        self.since.clear()
        self.answering.kill(self.random.choice(ready))
        self.answering.start()

    async def run(self):
        for _ in range(PROCESSES):
            self.answering.start()
        try:
            await self.begun()
            await asyncio.gather(*(self.ask() for _ in range(ASKERS)))
        finally:
            await self.producer.close()
            await asyncio.to_thread(self.requests.close)
            await asyncio.to_thread(self.answering.end)


@pytest.fixture
def place(request):
    return request.getfixturevalue(request.param)


PLACES = ["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)] if LONG else ["embedded"]


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_request_is_answered_with_its_own_answer_whoever_is_killed(tmp_path, place, seed):
    print(f"seed: {seed}")
    answering = Answering(tmp_path, place.bootstrap_servers, off="behind")
    asking = Asking(answering, seed, timeout=120.0)
    await asking.run()
    assert asking.wrong == []
    assert asking.timeouts == 0
    assert answering.killed == KILLS
    assert asking.answered["failed"] > KILLS
    assert sum(asking.answered.values()) > 60 * KILLS
    assert not asking.requests.pending


async def test_control_answers_behind_the_settling_are_lost_with_their_process(tmp_path, embedded):
    answering = Answering(tmp_path, embedded.bootstrap_servers, off="right")
    asking = Asking(answering, 1, timeout=15.0)
    await asking.run()
    assert asking.wrong == []
    assert asking.timeouts > 0
