"""Transactional handlers in processes that are killed and frozen: each record's output is there exactly once."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.client.confluent.comeback import Comeback
from kafkaboot.dev.broker import NotInstalledError
from kafkaboot.dev.local import LocalKafka
from kafkaboot.testing import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

LONG = bool(os.environ.get("KB_CHAOS"))
RECORDS, KILLS, ZOMBIES, RATE = (200_000, 42, 4, 2500) if LONG else (6_000, 5, 1, 700)
SEEDS = (1, 2, 3) if LONG else (1,)
POINTS = ("produced", "sent", "committing", "committed")
PROCESSES, PARTITIONS, KEYS = 3, 6, 60
SESSION = 2.0
APP = Path(__file__).parent / "app" / "enclosed.py"


class Copier:
    """A process with a slot of its own; `said` counts what it has told."""

    def __init__(self, command, directory, slot, environment):
        self.slot, self.said, self.death, self.unsent = slot, Counter(), None, {}
        self.log = directory / f"slot-{slot}-{uuid.uuid4().hex[:4]}.log"
        self.paused = False
        self._errors = self.log.open("wb")
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "KB_WORKER": str(slot), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self.process.stdout as output, self._errors as log:
            for line in output:
                if not line.startswith(b"@"):
                    log.write(line)
                    continue
                what, *rest = line[1:].split()
                if what == b"dies":
                    self.unsent = {int(part): int(to) for part, to in (one.split(b":") for one in rest[2:])}
                    self.death = rest[0].decode()
                else:
                    self.said[what.decode()] += 1

    @property
    def gone(self):
        return self.process.poll() is not None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Copying:
    """A topic that is written to, its copy, the processes between them, and one who reads along."""

    def __init__(self, bootstrap, directory, seed, *, records=RECORDS, rate=RATE, fails=0.0, dies=0.0, environment=None,
                 ordering="partition", timeout=1.5):  # fmt: skip
        self.bootstrap, self.random = bootstrap, random.Random(seed)
        self.name = f"enclosed-{uuid.uuid4().hex[:10]}"
        self.source, self.target, self.letters = (
            f"{self.name}-from",
            f"{self.name}-to",
            f"{self.name}-from.{self.name}.dlt",
        )
        self._directory, self._records, self._rate = directory / self.name, records, rate
        self._fails, self._dies, self._timeout = fails, dies, timeout
        self._environment = {"ENCLOSED_TARGET": self.target, **(environment or {})}
        self._directory.mkdir()
        shutil.copy(APP, self._directory)
        (self._directory / "application.yaml").write_text(json.dumps(self._settings(ordering)))
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        topics = [NewTopic(topic, PARTITIONS, 1) for topic in (self.source, self.target, self.letters)]
        for future in admin.create_topics(topics).values():
            future.result(30)
        self.deaths, self.expected, self.poison, self.aborted_inputs = Counter(), set(), set(), 0
        self.copiers = [self._start(slot) for slot in range(PROCESSES)]
        self._written, self._enough, self._stop = threading.Event(), threading.Event(), threading.Event()
        self.along, self._position = [], {}
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._write, self._read_along)]
        for thread in self._threads:
            thread.start()

    def _settings(self, ordering):
        return {
            "kafkaboot": {
                "application": {"name": self.name, "packages": ["enclosed"]},
                "kafka": {"broker": "external", "bootstrap-servers": self.bootstrap},
                # The client is told of a shorter session than kafkaboot where a transaction is to outlive it.
                "consumer": {
                    "session-timeout": f"{max(SESSION, self._timeout + 1)}s",
                    "properties": {"heartbeat.interval.ms": 300, "session.timeout.ms": int(SESSION * 1000)},
                },
                "producer": {"transaction": {"timeout": f"{self._timeout}s"}},
                "handlers": {"copy": {"ordering": ordering, "concurrency": 16}},
                "retry": {"default": {"attempts": 3, "deaths": 1000, "backoff": {"initial": "5ms", "max": "20ms"}}},
            },
            "enclosed": {"source": self.source, "target": self.target},
        }

    # --- processes

    def _start(self, slot, die=""):
        command = [sys.executable, "-m", "kafkaboot", "run"]
        environment = self._environment | ({"ENCLOSED_DIE": die} if die else {})
        return Copier(command, self._directory, slot, environment)

    def replace_the_fallen(self, die=""):
        for index, one in enumerate(self.copiers):
            if one.gone:
                if one.death and one.death not in {"stopped", "pending"}:
                    self.deaths[one.death] += 1
                self.copiers[index] = self._start(one.slot, die)
                die = ""

    def at_work(self, deadline=60):
        """Wait for a copier that commits, and answer it."""
        seen = {one: one.said["committed"] for one in self.copiers}

        def found():
            self.replace_the_fallen()
            return [c for c in self.copiers if not c.paused and c.said["committed"] > seen.setdefault(c, 0) + 2]

        return self.random.choice(eventually(found, deadline, "a copier that is at work"))

    def kill_at_random(self):
        """Somewhere in a transaction: a process that commits all the time is killed at any moment."""
        victim = self.at_work()
        until = time.monotonic() + self.random.uniform(0, 0.03)
        while time.monotonic() < until:
            pass
        victim.kill()
        self.deaths["at random"] += 1
        self.replace_the_fallen()

    def kill_at(self, point):
        """A process is replaced by one that ends itself at this point."""
        victim = self.at_work()
        victim.kill()
        self.deaths["at random"] += 1
        index, count = self.copiers.index(victim), self.deaths[point]
        often = 40 if point == "produced" else 3
        doomed = self.copiers[index] = self._start(victim.slot, f"{point}:{self.random.randint(1, often)}")

        def died():
            self.replace_the_fallen()
            return self.deaths[point] > count

        eventually(died, 60, lambda: f"a death {point}: {doomed.said}")

    def freeze(self):
        """A process stands still for longer than its session lasts, and goes on where it was."""
        victim = self.at_work()
        victim.process.send_signal(signal.SIGSTOP)
        victim.paused = True
        until = time.monotonic() + SESSION * 1.5
        eventually(lambda: time.monotonic() > until, SESSION * 3)
        self.at_work()  # others have its partitions
        victim.process.send_signal(signal.SIGCONT)
        victim.paused = False

    def freeze_in_a_transaction(self):
        """A process stands still with its outputs written and its offsets not sent, until others have done its records.

        Its transaction is open all the while, so that nothing but the group's generation keeps it from committing.
        """
        frozen = self._frozen("stopped:2")
        eventually(lambda: self._others_have_done(frozen.unsent), 60, lambda: f"others do its records {frozen.unsent}")
        ended = frozen.said["committed"]
        frozen.process.send_signal(signal.SIGCONT)
        frozen.paused, frozen.death = False, None
        eventually(lambda: frozen.gone or frozen.said["committed"] > ended + 1, 60, "it goes on")

    def freeze_behind_its_offsets(self):
        """A process stands still in a transaction that has offsets, until the others have its partitions; answers it.

        Nobody is told where the group stands on those, as long as that transaction is open.
        """
        eventually(lambda: all(one.said["committed"] for one in self.copiers), 60, "each of them has partitions")
        frozen = self._frozen("pending:2")
        others = [one for one in self.copiers if one is not frozen]
        eventually(lambda: any("is not known yet" in one.log.read_text() for one in others), 60, "they are given away")
        return frozen

    def _frozen(self, point):
        victim = self.at_work()
        victim.kill()
        index = self.copiers.index(victim)
        frozen = self.copiers[index] = self._start(victim.slot, point)
        eventually(lambda: frozen.death, 60, lambda: f"a process that stands still: {frozen.said}")
        frozen.paused = True
        return frozen

    def stands(self):
        """Where the group stands, by partition; none of which an open transaction has the offset."""
        consumer, found = self._consumer("read_committed", self.name), {}
        for partition in range(PARTITIONS):
            with suppress(KafkaException):
                found[partition] = consumer.committed([TopicPartition(self.source, partition)], 0.5)[0].offset
        consumer.close()
        return found

    def _others_have_done(self, unsent):
        """Whether the group has committed all that a process in a transaction has not sent."""
        self.replace_the_fallen()
        consumer = self._consumer("read_uncommitted", self.name)
        found = consumer.committed([TopicPartition(self.source, partition) for partition in unsent], 20)
        consumer.close()
        return all(one.offset >= unsent[one.partition] for one in found)

    # --- records

    def _abort_some(self, producer, number):
        """Records that are never to be seen by a reader of committed ones."""
        producer.begin_transaction()
        for n in range(5):
            entry = {"id": -number - n, "key": f"k{n}", "seq": -1, "fails": 0}
            producer.produce(self.source, json.dumps(entry).encode(), f"k{n}".encode())
        assert producer.flush(60) == 0
        producer.abort_transaction()
        self.aborted_inputs += 5

    def _write(self):
        settings = {"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
        comeback, another = Comeback(settings), Comeback(settings)
        producer = Producer(settings)
        aborting = Producer({**settings, "transactional.id": f"{self.name}-upstream", "retry.backoff.ms": 5})
        aborting.init_transactions()
        begin, seqs, n, draw = time.monotonic(), Counter(), 0, random.Random(self.random.random())
        while (n < self._records or not self._enough.is_set()) and not self._stop.is_set():
            if n > (time.monotonic() - begin) * self._rate:
                producer.poll(0.005)
                comeback.look(producer)
                another.look(aborting)
                continue
            key = f"k{draw.randrange(KEYS)}"
            luck = draw.random()
            fails = -1 if luck < self._dies else 1 if luck < self._dies + self._fails else 0
            entry = {"id": n, "key": key, "seq": seqs[key], "fails": fails}
            producer.produce(self.source, json.dumps(entry).encode(), key.encode())
            (self.poison if fails < 0 else self.expected).add(n)
            seqs[key] += 1
            n += 1
            if n % self._rate == 0:
                self._abort_some(aborting, n)
        assert producer.flush(60) == 0
        self._written.set()

    def _consumer(self, isolation, group=None):
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": group or uuid.uuid4().hex,
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 5,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def _read_along(self):
        comeback = Comeback({"bootstrap.servers": self.bootstrap})
        consumer = self._consumer("read_committed")
        consumer.assign([TopicPartition(self.target, p, 0) for p in range(PARTITIONS)])
        while not self._stop.is_set():
            comeback.look(consumer)
            for message in consumer.consume(2000, 0.1):
                if message.error() is None:
                    self.along.append(json.loads(message.value()))
        consumer.close()

    def read(self, topic, isolation="read_committed"):
        """All that such a reader sees in the topic now."""
        consumer, found = self._consumer(isolation), []
        try:
            for partition in range(PARTITIONS):
                consumer.assign([TopicPartition(topic, partition, 0)])
                end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1]
                until = time.monotonic() + 60
                while end and consumer.position([TopicPartition(topic, partition)])[0].offset < end:
                    assert time.monotonic() < until, f"{topic}[{partition}] is not read to its end"
                    found += [json.loads(m.value()) for m in consumer.consume(5000, 0.1) if m.error() is None]
        finally:
            consumer.close()
        return found

    def ends(self):
        """By partition of the target, how far readers of committed records may read, and how far the others."""
        found = []
        for isolation in ("read_committed", "read_uncommitted"):
            consumer = self._consumer(isolation)
            at = [TopicPartition(self.target, partition) for partition in range(PARTITIONS)]
            found.append([consumer.get_watermark_offsets(one, timeout=20)[1] for one in at])
            consumer.close()
        return list(zip(*found, strict=True))

    def settle(self, deadline=120):
        """All is written, and copied or among the letters; no transaction is open any more."""
        self._enough.set()
        eventually(self._written.is_set, deadline + self._records / self._rate, "all is written")

        def done():
            self.replace_the_fallen()
            return {entry["id"] for entry in self.along} >= self.expected

        def left():
            missing = sorted(self.expected - {entry["id"] for entry in self.along})
            return f"{len(missing)} are not copied, for example {missing[:5]}; open and all: {self.ends()}"

        eventually(done, deadline, left)
        eventually(lambda: len(self.read(self.letters)) >= len(self.poison), 30, "all letters")
        for one in self.copiers:
            one.process.send_signal(signal.SIGTERM)
        codes = [one.process.wait(30) for one in self.copiers]
        assert codes == [0] * len(codes), codes

    def verdict(self):
        after = self.read(self.target)
        ids = Counter(entry["id"] for entry in after)
        everything = self.read(self.target, "read_uncommitted")
        orders = defaultdict(list)
        for entry in after:
            orders[entry["key"]].append(entry["seq"])
        along = Counter(entry["id"] for entry in self.along)
        letters = Counter(entry["id"] for entry in self.read(self.letters))
        return {
            "lost": len(self.expected - ids.keys()),
            "doubled": sum(count - 1 for count in ids.values()),
            "made up": len(ids.keys() - self.expected),
            "lost along": len(self.expected - along.keys()),
            "doubled along": sum(count - 1 for count in along.values()),
            "out of order": sum(seqs != sorted(seqs) for seqs in orders.values()),
            "letters missing": len(self.poison - letters.keys()),
            "letters too many": sum(letters.values()) - len(self.poison & letters.keys()),
        }, len(everything) - len(after)

    def end(self):
        self._stop.set()
        for one in self.copiers:
            one.process.send_signal(signal.SIGCONT)
            one.kill()
        for thread in self._threads:
            thread.join(30)

    def logs(self):
        paths = sorted(self._directory.glob("slot-*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in paths[-4:])


@contextmanager
def copying(bootstrap, directory, seed, **options):
    print(f"seed {seed}")
    run = Copying(bootstrap, directory, seed, **options)
    try:
        yield run
    except BaseException as error:
        error.add_note(run.logs())
        raise
    finally:
        run.end()


def demand(run, kills):
    verdict, aborted = run.verdict()
    print(f"{len(run.expected)} records, {len(run.poison)} poison, deaths {dict(run.deaths)}, aborted {aborted}")
    print(verdict)
    assert verdict == dict.fromkeys(verdict, 0)
    assert run.aborted_inputs > 0
    assert aborted > 0, "no fault met an open transaction: nothing is shown"
    assert sum(run.deaths.values()) >= kills
    assert sum(run.deaths[point] for point in POINTS) >= kills // 2, "kills that are known to have met work in flight"


VARIANTS = {
    "all_goes_well": {},
    "a_third_fails_once": {"fails": 0.33, "dies": 0.01},
    "by_key": {"ordering": "key", "fails": 0.1, "dies": 0.01},
    "published_inside": {"fails": 0.002, "dies": 0.001, "environment": {"ENCLOSED_INSIDE": "1"}},
}


SEEDED = {"all_goes_well", "a_third_fails_once"}
CASES = [(variant, seed) for variant in VARIANTS for seed in (SEEDS if variant in SEEDED else (1,))]


@pytest.fixture
def mortal():
    """A broker for one test alone, which it may kill."""
    made = LocalKafka()
    try:
        made.start()
    except NotInstalledError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must test against a real Kafka: {error}")
        pytest.skip(f"no real Kafka on this machine: {error}")
    with made:
        yield made


@pytest.fixture
def broker(request):
    """One that may be restarted where that is part of the run; else the session's."""
    return request.getfixturevalue("mortal" if LONG else "kafka")


@pytest.mark.real_kafka
@pytest.mark.parametrize(("variant", "seed"), CASES)
def test_every_output_is_there_exactly_once_though_processes_are_killed_and_frozen(broker, tmp_path, seed, variant):
    with copying(broker.bootstrap_servers, tmp_path, seed, **VARIANTS[variant]) as run:
        for number in range(KILLS):
            if number % 2:
                run.kill_at_random()
            else:
                run.kill_at(POINTS[number // 2 % len(POINTS)])
            if number % (KILLS // ZOMBIES) == 1:
                run.freeze()
            if LONG and number in {KILLS // 3, KILLS * 2 // 3}:
                run.at_work()
                broker.restart(clean=number == KILLS // 3)
        run.settle(300 if LONG else 120)
        demand(run, KILLS)
        assert not LONG or len(run.expected) + len(run.poison) >= RECORDS


@pytest.mark.real_kafka
def test_every_output_is_there_exactly_once_though_the_broker_is_killed(mortal, tmp_path):
    with copying(mortal.bootstrap_servers, tmp_path, 1, fails=0.1, dies=0.01) as run:
        run.kill_at_random()
        run.at_work()
        mortal.restart(clean=False)
        run.at_work()
        run.kill_at("sent")
        run.settle()
        demand(run, 2)


def test_a_process_that_slept_in_its_transaction_is_fenced_by_the_group(kafka, tmp_path):
    with copying(kafka.bootstrap_servers, tmp_path, seed=1, timeout=90) as run:
        run.freeze_in_a_transaction()
        run.settle()
        demand(run, 0)


def test_while_the_offsets_of_a_process_that_stands_still_are_pending_nothing_but_its_partitions_waits(kafka, tmp_path):
    with copying(kafka.bootstrap_servers, tmp_path, seed=1, timeout=90) as run:
        frozen = run.freeze_behind_its_offsets()
        others = {one: one.said["committed"] for one in run.copiers if one is not frozen}
        eventually(
            lambda: all(one.said["committed"] > before + 20 for one, before in others.items()),
            60,
            lambda: f"both others go on: {[(one.said['committed'], before) for one, before in others.items()]}",
        )
        assert not run.stands().keys() & frozen.unsent.keys(), "they are pending still"
        frozen.kill()
        run.settle()
        verdict, _ = run.verdict()
        print(verdict)
        assert verdict == dict.fromkeys(verdict, 0)


def test_control_without_the_groups_generation_it_commits_what_others_have_done_meanwhile(kafka, tmp_path):
    without = {"ENCLOSED_WITHOUT": "fencing"}
    with copying(kafka.bootstrap_servers, tmp_path, seed=1, timeout=90, environment=without) as run:
        run.freeze_in_a_transaction()
        run.settle()
        verdict, _ = run.verdict()
        print(verdict)
        assert verdict["doubled"] > 0
        assert verdict["doubled along"] > 0


def test_control_offsets_that_are_committed_behind_the_transaction_let_a_kill_double_it(kafka, tmp_path):
    with copying(kafka.bootstrap_servers, tmp_path, seed=1, environment={"ENCLOSED_WITHOUT": "offsets"}) as run:
        for _ in range(3):
            run.kill_at("committed")
        run.settle()
        verdict, _ = run.verdict()
        print(verdict)
        assert verdict["doubled"] > 0


def test_control_who_reads_uncommitted_records_copies_what_never_was(kafka, tmp_path):
    with copying(kafka.bootstrap_servers, tmp_path, seed=1, environment={"ENCLOSED_WITHOUT": "read_committed"}) as run:
        run.at_work()
        eventually(lambda: run.aborted_inputs > 10, 30, "aborted inputs")
        run.settle()
        verdict, _ = run.verdict()
        print(verdict)
        assert verdict["made up"] > 0
