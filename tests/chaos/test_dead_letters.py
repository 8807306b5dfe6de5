"""F13: poison of four kinds, processes killed while its letters are written, and letters that cannot be written.

What must die is in the dead letters at the end, byte for byte; everything else is handled; and no offset was ever
committed beyond a record whose letter did not stand in the topic.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from functools import partial

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from kafkaboot.testing import eventually, history
from kafkaboot.testing.checker import Input
from kafkaboot.testing.executions import Place
from kafkaboot.testing.history import Tail
from kafkaboot.testing.letters_seen import Carried, LetterSeen

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

LONG = bool(os.environ.get("KB_CHAOS"))
RECORDS, KILLS, RATE = (100_000, 30, 1200) if LONG else (5_000, 2, 700)
SEEDS = (1, 2, 3) if LONG else (1,)
ORDERINGS = ["partition", "key"] if LONG else ["key"]
PARTITIONS, KEYS = 6, 50
DEADLY = ("undecodable", "wrong type", "always failing")
GRACE = 0.5
"""Seconds until a topic's new settings have come to where it is written."""
OUTAGE = 3.0
"""Seconds without letters before a kill."""
KINDS = (*DEADLY, "failing for a while")
SMALL = {"max.message.bytes": "40"}
"""What makes the broker refuse letters. (`min.insync.replicas` beyond the number of copies is without effect.)"""


class Poison:
    """Writes records at a steady rate, a tenth of them poison. Each says in its headers what it is."""

    def __init__(self, run, seed, least=RECORDS, rate=RATE):
        self._producer = Producer({"bootstrap.servers": run.bootstrap, "linger.ms": 5, "enable.idempotence": True})
        self._run, self._least, self._rate = run, least, rate
        self._random, self._seqs = random.Random(seed), Counter()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.sent, self._enough = Counter(), threading.Event()

    def start(self):
        self._thread.start()

    def stop(self, deadline):
        """No more than at least is due; all is written when this returns."""
        self._enough.set()
        self._thread.join(deadline)
        assert not self._thread.is_alive()
        assert self._producer.flush(60) == 0

    def _write(self):
        begin, number = time.monotonic(), 0
        while number < self._least or not self._enough.is_set():
            if number > (time.monotonic() - begin) * self._rate:
                self._producer.poll(0.005)
            else:
                self._send(number)
                number += 1

    def _send(self, number):
        draw = self._random
        kind = draw.choice(KINDS) if draw.random() < 0.1 else "good"
        key = f"k{draw.randrange(KEYS)}"
        entry = {"id": str(number), "key": key, "seq": self._seqs[key], "work": 0.002, "fails": 0}
        entry["fails"] = {"always failing": -1, "failing for a while": draw.randint(1, 3)}.get(kind, 0)
        value = json.dumps(entry).encode()
        if kind == "undecodable":
            value = b"\xff\x00" + draw.randbytes(draw.randrange(60))
        elif kind == "wrong type":
            value = json.dumps(entry | {"seq": "many"}).encode()
        delivered = partial(self._delivered, str(number), key, self._seqs[key])
        said = [
            ("about", f"{number} {key} {self._seqs[key]} {kind}".encode()),
            ("raw", draw.randbytes(4)),
            ("raw", None),
        ]
        self._producer.produce(self._run.topic, value, key.encode(), headers=said, on_delivery=delivered)
        self._seqs[key] += 1
        self.sent[kind] += 1

    def _delivered(self, number, key, seq, error, message):
        assert error is None, error
        where = message.topic(), message.partition(), message.offset()
        self._run.chaos.history.write(history.ACKED, *where, number, key, seq)


def about(message):
    return dict(message.headers())["about"].decode().split(" ", 3)


def carried(message):
    own = tuple((name, value) for name, value in message.headers() or () if not name.startswith("kb-"))
    return Carried(message.key(), message.value(), own)


def inputs_of(run):
    for message in run.read(run.topic):
        number, key, seq, kind = about(message)
        place = Place(message.topic(), message.partition(), message.offset())
        yield Input(place, number, key, int(seq), kind in DEADLY, carried(message))


def letters_of(run):
    for message in run.read(f"{run.topic}.{run.group}.dlt"):
        said = dict(message.headers())
        place = Place(
            said["kb-original-topic"].decode(), int(said["kb-original-partition"]), int(said["kb-original-offset"])
        )
        yield LetterSeen(place, carried(message), message.timestamp()[1])


class Letters:
    """The dead letters' topic of a run: made as the application would, but for the broker's clock in it."""

    def __init__(self, run):
        self.topic = f"{run.topic}.{run.group}.dlt"
        self.closed = []
        self._admin = AdminClient({"bootstrap.servers": run.bootstrap})
        made = NewTopic(self.topic, PARTITIONS, 1, config={"message.timestamp.type": "LogAppendTime"})
        self._admin.create_topics([made])[self.topic].result(30)

    def close(self):
        """From here on the broker refuses them."""
        self._alter(SMALL, AlterConfigOpType.SET)
        self.closed.append([time.time()])

    def stay_closed(self, seconds):
        until = self.closed[-1][0] + seconds
        eventually(lambda: time.time() > until, seconds + 1, "an outage")

    def open(self):
        self.closed[-1].append(time.time())
        self._alter(dict.fromkeys(SMALL), AlterConfigOpType.DELETE)

    def were_refused(self, run, letters):
        """The evidence: each time for a while records were given up, and no letter was written."""
        given_up = [each.wall / 1e9 for each in history.read(run.chaos.histories) if each.event == history.GIVEN_UP]
        for begin, end in self.closed:
            print(f"no letter could be written for {end - begin:.1f} s")
            assert not [letter for letter in letters if begin + GRACE < letter.wall_ms / 1000 < end]
            assert len([at for at in given_up if begin + GRACE < at < end]) > 20

    def _alter(self, entries, operation):
        changes = [ConfigEntry(name, value, incremental_operation=operation) for name, value in entries.items()]
        resource = ConfigResource(ResourceType.TOPIC, self.topic, incremental_configs=changes)
        self._admin.incremental_alter_configs([resource])[resource].result(20)


class InFlight:
    """Which processes have a letter on its way, as their histories say."""

    def __init__(self, run):
        self._tail, self.open = Tail(run.chaos.histories), {}

    def look(self):
        for event in self._tail.fresh():
            mine = self.open.setdefault(event.process, set())
            place = Place(event.topic, event.partition, event.offset)
            if event.event == history.GIVEN_UP:
                mine.add(place)
            elif event.event == history.DEAD_LETTERED:
                mine.discard(place)
        return self.open

    def kill_one(self, chaos, deadline=30):
        """Kill a process that has a letter on its way at this moment, and start another one."""

        def found():
            self.look()
            return [worker for worker in chaos.alive if self.open.get(worker.pid)]

        begin = time.monotonic()
        while not (victims := found()):
            assert time.monotonic() - begin < deadline, "no letter was on its way"
            time.sleep(0.002)
        chaos.kill_now(chaos.random.choice(victims))
        chaos.start()


def all_settled(run, deadline):
    """What the group has committed is all that there is."""
    consumer = Consumer({"bootstrap.servers": run.bootstrap, "group.id": run.group, "enable.auto.commit": False})
    every = [TopicPartition(run.topic, partition) for partition in range(PARTITIONS)]
    ends = {each.partition: consumer.get_watermark_offsets(each, timeout=20)[1] for each in every}

    def lag():
        stands = consumer.committed(every, timeout=20)
        return {one.partition: (max(one.offset, 0), ends[one.partition]) for one in stands}

    try:
        eventually(lambda: all(at == end for at, end in lag().values()), deadline, lambda: f"all settled: {lag()}")
    finally:
        consumer.close()


def poisoned(run, ordering, **environment):
    letters = Letters(run)
    chaos = run.package(
        "poisoned",
        environment,
        handlers={"take": {"ordering": ordering, "concurrency": 32}, "pay": {"enabled": False}},
        # What kills processes here is no record: that is F20, which has tests of its own.
        retry={"default": {"attempts": 4, "deaths": 1000, "backoff": {"initial": "5ms", "max": "50ms"}}},
    )
    return chaos, letters


def judge(run, letters, **options):
    found = list(letters_of(run))
    letters.were_refused(run, found)
    # A revoke waits for letters on their way, and until it is over no commit of the other members is answered: the
    # broker keeps a connection waiting behind its request to join the group again.
    uncommitted = 2 + max(end - begin for begin, end in letters.closed)
    return run.judge(inputs=list(inputs_of(run)), letters=found, uncommitted=uncommitted, **options)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_dead_letters_are_exactly_the_poison_though_processes_are_killed_at_them(chaos_run, ordering, seed):
    with chaos_run(partitions=PARTITIONS, seed=seed) as run:
        chaos, letters = poisoned(run, ordering)
        # In order of partitions 2 ms a record and the waits for retries leave some 200 a second and partition.
        load = Poison(run, seed, rate=RATE if ordering == "key" else RATE // 2)
        started = chaos.start(3)
        load.start()
        chaos.until_handling(started, 20)
        flying = InFlight(run)
        for number in range(KILLS):
            refused = number % 2 == 1
            if refused:
                letters.close()
                letters.stay_closed(OUTAGE)
            flying.kill_one(chaos)
            if refused:
                chaos.until_handling(chaos.alive[:-1], 20)
                letters.open()
            chaos.until_handling(chaos.alive, 20)
        load.stop(RECORDS / RATE * 2 + 60)
        all_settled(run, 300 if LONG else 60)
        assert set(chaos.terminate_all()) == {0}
        report = judge(run, letters, ordering=ordering)
        print(f"poison {dict(load.sent)}")
        met = KILLS * 3 // 4  # a letter may arrive between the look and the kill
        report.demand(records=RECORDS, faults=KILLS, commits=KILLS * 6, letters=RECORDS // 20, letters_in_flight=met)
        assert min(load.sent[kind] for kind in KINDS) > RECORDS // 100
        assert report.letters_repeated < report.letters // 10
        assert report.letters_repeated or not LONG, "kills that repeat nothing show nothing"


def test_control_a_record_that_is_settled_before_its_letter_is_delivered_is_lost(chaos_run):
    with chaos_run(partitions=PARTITIONS) as run:
        chaos, letters = poisoned(run, "partition", POISONED="settle-first")
        load = Poison(run, seed=1, least=0)
        started = chaos.start(2)
        load.start()
        chaos.until_handling(started, 20)
        letters.close()
        letters.stay_closed(1 + GRACE)
        InFlight(run).kill_one(chaos)
        letters.open()
        load.stop(10)
        all_settled(run, 30)
        chaos.terminate_all()
        report = judge(run, letters)
        assert "is not in the dead letters" in report.broken("I1")[0].what
        assert report.broken("I5")
