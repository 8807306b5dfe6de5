"""A run under faults: a topic under load, processes that work on it, and the verdict. Raw confluent-kafka throughout:
what judges the engine shares no code with it."""

import json
import random
import shutil
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.client.confluent.comeback import Comeback
from kafkaboot.testing import eventually, history
from kafkaboot.testing.chaos import Chaos
from kafkaboot.testing.checker import Input, check
from kafkaboot.testing.executions import Place
from kafkaboot.testing.offsets_topic import TOPIC, Commit, Generation, parse

APP = Path(__file__).parent / "app"


class Load:
    """Writes records at a steady rate from a thread; each acknowledgement is a line in the history."""

    def __init__(self, bootstrap, topic, written, seed):
        servers = {"bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 500, "log_level": 0}
        self._comeback = Comeback(servers)  # a load that has lost its broker for good would judge nobody
        self._producer = Producer({**servers, "enable.idempotence": True, "linger.ms": 5})
        self._topic, self._history, self._random = topic, written, random.Random(seed)
        self._seqs, self._stop, self._thread = Counter(), threading.Event(), None
        self.sent, self.acked = 0, set()

    def _acked(self, error, message):
        if error is None:
            entry = json.loads(message.value())
            place = Place(message.topic(), message.partition(), message.offset())
            self._history.write(history.ACKED, *place, entry["id"], entry["key"], entry["seq"])
            self.acked.add(place)

    def send(self, key, work=0.002, fails=0, partition=-1, **more):
        """One record; it is acknowledged after `flush` at the latest."""
        entry = {"id": f"{self.sent}", "key": key, "seq": self._seqs[key], "work": work, "fails": fails, **more}
        value = json.dumps(entry).encode()
        while True:
            try:
                self._producer.produce(self._topic, value, key.encode(), on_delivery=self._acked, partition=partition)
                break
            except BufferError:
                self._comeback.look(self._producer)
                self._producer.poll(0.1)
        self._seqs[key] += 1
        self.sent += 1
        self._producer.poll(0)

    def flush(self, deadline=30):
        def written():
            self._comeback.look(self._producer)
            return self._producer.flush(0.2) == 0

        eventually(written, deadline, "the load is written")

    def start(self, rate, keys=50, work=0.002, fails=0.0):
        """So many records a second; a share `fails` of them makes its handler raise once or twice first."""

        def run():
            begin, due = time.monotonic(), 0
            while not self._stop.wait(0.01):
                self._comeback.look(self._producer)
                due_now = int((time.monotonic() - begin) * rate)
                for _ in range(due, due_now):
                    raises = self._random.randint(1, 2) if self._random.random() < fails else 0
                    self.send(f"k{self._random.randrange(keys)}", work, raises)
                due = due_now
                self._producer.poll(0)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def stop(self, deadline=30):
        """No more; all that was sent is acknowledged when this returns."""
        self._stop.set()
        if self._thread:
            self._thread.join(10)
        self.flush(deadline)


class Run:
    """One topic, one group, the processes that work on it."""

    def __init__(self, bootstrap, directory, partitions, seed):
        self.bootstrap, self.directory, self.seed = bootstrap, directory, seed
        self.topic = self.group = f"chaos-{uuid.uuid4().hex[:10]}"
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(self.topic, partitions, 1)])[self.topic].result(30)
        self.chaos = None

    def application(
        self, handler="note", ordering="partition", concurrency=8, session_timeout="2s", properties=None, **consumer
    ):
        """The ledger, with one of its handlers."""
        other = {"note": "note_in_a_thread", "note_in_a_thread": "note"}[handler]
        return self.package(
            "ledger",
            consumer={
                "session-timeout": session_timeout,
                "properties": {"heartbeat.interval.ms": 300, **(properties or {})},
                **{name.replace("_", "-"): value for name, value in consumer.items()},
            },
            handlers={
                handler: {"ordering": ordering, "concurrency": concurrency},
                other: {"enabled": False},
            },
            # Kills may hit the owner of one record three times in a row, which is not to be taken for what kills it.
            retry={"default": {"deaths": 1000, "backoff": {"initial": "50ms", "max": "500ms"}}},
        )

    def package(self, module, environment=None, consumer=None, **sections):
        """A module of `app/` as users run applications: a YAML file, `python -m kafkaboot run`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(APP / f"{module}.py", self.directory)
        written = {
            "kafkaboot": {
                "application": {"name": self.group, "packages": [module]},
                "kafka": {"broker": "external", "bootstrap-servers": self.bootstrap},
                "consumer": {
                    "session-timeout": "2s",
                    "commit-interval": "500ms",
                    "properties": {"heartbeat.interval.ms": 300},
                    **(consumer or {}),
                },
                **sections,
            },
            "ledger": {"topic": self.topic},
        }
        (self.directory / "application.yaml").write_text(_yaml(written))
        return self._processes([sys.executable, "-m", "kafkaboot", "run"], environment)

    def bare(self, mode, session_ms=1000, poll_ms=10_000):
        """A loop without kafkaboot, see `app/bare.py`."""
        arguments = [mode, self.bootstrap, self.topic, self.group, str(session_ms), str(poll_ms)]
        return self._processes([sys.executable, str(APP / "bare.py"), *arguments])

    def _processes(self, command, environment=None):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.chaos = Chaos(self.directory, command, environment=environment, seed=self.seed)
        self.load = Load(self.bootstrap, self.topic, self.chaos.history, self.seed)
        return self.chaos

    def settle(self, deadline=30.0):
        """The load ends, and all that was acknowledged is handled."""
        self.load.stop()
        progress = self.chaos.progress
        eventually(
            lambda: not self.load.acked - progress.look().handled,
            deadline,
            lambda: f"all of {len(self.load.acked)} handled, {len(self.load.acked - progress.handled)} are not",
        )

    def stand_still(self, quiet=2.5, deadline=30.0):
        """The load ends, and nothing more is handled: for controls, which lose records."""
        self.load.stop()
        progress, seen = self.chaos.progress, [0, time.monotonic()]

        def still():
            if len(progress.look().handled) != seen[0]:
                seen[:] = [len(progress.handled), time.monotonic()]
            return time.monotonic() - seen[1] > quiet

        eventually(still, deadline, "no progress any more")

    def until_committed(self, deadline=15.0, mark="", event=history.ENDED):
        """A commit came after the last record that was handled, and has this mark in what it says beside the offset."""
        last = max(e.wall for e in history.read(self.chaos.histories) if e.event == event) // 1_000_000

        def committed():
            return [c for c in self.said_by_the_broker()[0] if c.wall_ms > last and mark in c.metadata]

        eventually(committed, deadline, "a commit after the last record was handled")

    def inputs(self):
        found = []
        for message in _read_whole(self.bootstrap, self.topic):
            entry = json.loads(message.value())
            place = Place(message.topic(), message.partition(), message.offset())
            found.append(Input(place, entry["id"], entry["key"], entry["seq"]))
        return found

    def said_by_the_broker(self):
        """Commits and generations of the group, from the broker's own topic."""
        found = [parse(m.key(), m.value(), m.timestamp()[1]) for m in _read_whole(self.bootstrap, TOPIC)]
        mine = [each for each in found if each is not None and each.group == self.group]
        return [c for c in mine if isinstance(c, Commit)], [g for g in mine if isinstance(g, Generation)]

    def read(self, topic):
        """All that stands in a topic now."""
        return _read_whole(self.bootstrap, topic)

    def until_shared(self, members, deadline=30.0):
        """So many members have all partitions between them, and none is on its way from one to another."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        partitions = len(admin.list_topics(self.topic, timeout=30).topics[self.topic].partitions)

        def shared():
            group = admin.describe_consumer_groups([self.group])[self.group].result(30)
            held = [len(member.assignment.topic_partitions) for member in group.members]
            return group.state == ConsumerGroupState.STABLE and len(held) == members and sum(held) == partitions

        eventually(shared, deadline, f"{members} members share {partitions} partitions")

    def generation(self):
        """The number of the group's last rebalance."""
        return max((each.number for each in self.said_by_the_broker()[1]), default=0)

    def judge(self, **options):
        inputs = options.pop("inputs", None) or self.inputs()
        report = check(
            history.read(self.chaos.histories), inputs, self.said_by_the_broker()[0], seed=self.seed, **options
        )
        print(report)
        return report


@pytest.fixture
def chaos_run(kafka, tmp_path):
    """`with chaos_run(partitions=6, seed=1) as run:`: everything that a run under faults needs."""

    @contextmanager
    def make(partitions=6, seed=1, bootstrap=None):
        run = Run(bootstrap or kafka.bootstrap_servers, tmp_path / f"run-{uuid.uuid4().hex[:6]}", partitions, seed)
        try:
            yield run
        except BaseException as error:
            if run.chaos:
                run.chaos.__exit__(type(error), error, None)
            raise
        run.chaos.__exit__(None, None, None)

    return make


def _read_whole(bootstrap, topic):
    """All that stands in a topic now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        # Not until the end is reported: one that is written to without a pause reports none.
        left = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30)[1] for p in partitions}
        until, found = time.monotonic() + 60, []
        while left := {p: end for p, end in left.items() if end > 0}:
            assert time.monotonic() < until, f"{topic} could not be read to its end, partitions {left} are left"
            for message in consumer.consume(1000, 0.2):
                at_end = message.error() is not None and message.error().name() == "_PARTITION_EOF"
                if message.error() is None:
                    found.append(message)
                if at_end or message.offset() + 1 >= left.get(message.partition(), 0):
                    left[message.partition()] = 0
        return found
    finally:
        consumer.close()


def _yaml(value, depth=0):
    lines = []
    for key, inner in value.items():
        if isinstance(inner, dict):
            lines += ["  " * depth + f"{key}:" if inner else "  " * depth + f"{key}: {{}}"]
            lines += [_yaml(inner, depth + 1)] if inner else []
        else:
            lines.append("  " * depth + f"{key}: {json.dumps(inner)}")
    return "\n".join(lines)
