"""Relays that are killed at an outbox: each row is published, and a handler with an inbox takes it once."""

import asyncio
import json
import os
import random
import threading
import time
from collections import Counter, defaultdict

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from kafkaboot.sql import INBOX_TABLES, OUTBOX_TABLES, Database, DatabaseSettings, Outbox
from kafkaboot.testing import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

LONG = bool(os.environ.get("KB_CHAOS"))
ROWS = 50_000 if LONG else 1_500
KILLS = 20 if LONG else 3
SEED = int(os.environ.get("KB_SEED", str(time.time_ns() % 10_000)))


class Desk:
    """The database: rows are written into its outbox, and what the handlers took stands in `effects`."""

    def __init__(self, url, topic, seed):
        self._topic, self._random, self._seqs = topic, random.Random(seed), Counter()
        self.outbox, self.written = Outbox(), 0
        database = Database.of("main", DatabaseSettings(url=url))
        database.need([*INBOX_TABLES, *OUTBOX_TABLES])
        database.prepare()
        asyncio.run(database.dispose())
        patient = {"timeout": 60} if database.kind == "sqlite" else {}  # its one writer is wanted by all
        self.engine = create_engine(database.engine.url, poolclass=NullPool, connect_args=patient)
        serial = "BIGSERIAL" if database.kind == "postgresql" else "INTEGER"
        self.run(f"CREATE TABLE effects (id {serial} PRIMARY KEY, entry TEXT, record_key TEXT, seq INTEGER)")

    def run(self, statement):
        with self.engine.begin() as connection:
            found = connection.execute(text(statement))
            return [tuple(row) for row in found] if found.returns_rows else []

    def write(self, rows):
        """Rows in transactions of one to five."""
        end = self.written + rows
        with self.engine.connect() as connection:
            while self.written < end:
                with Session(connection) as session, session.begin():
                    for _ in range(min(self._random.randint(1, 5), end - self.written)):
                        key = f"k{self._random.randrange(200)}"
                        entry = {"id": str(self.written), "key": key, "seq": self._seqs[key]}
                        self.outbox.add(session, self._topic, entry, key=key)
                        self._seqs[key] += 1
                        self.written += 1

    def waiting(self):
        return self.run("SELECT count(*) FROM kafkaboot_outbox")[0][0]

    def taken(self):
        return self.run("SELECT count(DISTINCT entry) FROM effects")[0][0]

    def at_work(self):
        """The process that has the lease."""
        owner = self.run("SELECT owner FROM kafkaboot_outbox_lease")
        return int(owner[0][0].split("-")[-2]) if owner and owner[0][0] else None


def outboxed(run, url, processes=3, **environment):
    chaos = run.package(
        "outboxed",
        environment={name: str(value) for name, value in environment.items()},
        databases={"main": {"url": url}},
        outbox={"database": "main", "lease": "600ms", "batch": 50},
        retry={"default": {"deaths": 1000}},  # kills are the test's, not a record's
    )
    chaos.start(processes)
    return chaos


def until(condition, saying, chaos, deadline, processes=3):
    """`condition` holds; as many processes are at it, whatever has become of earlier ones."""
    due = [0.0]

    def met():
        if time.monotonic() < due[0]:
            return False
        due[0] = time.monotonic() + 0.1
        while len(chaos.alive) < processes:
            chaos.start()
        return condition()

    eventually(met, deadline, saying)


def judged(run, desk):
    """What was published, and taken: how often each row, and whether each key's came in their order."""
    published, first = Counter(), defaultdict(list)
    for message in run.read(run.topic):
        entry = json.loads(message.value())
        if entry["id"] not in published:
            first[entry["key"]].append(entry["seq"])
        published[entry["id"]] += 1
    taken, by_key = Counter(), defaultdict(list)
    for entry, key, seq in desk.run("SELECT entry, record_key, seq FROM effects ORDER BY id"):
        taken[entry] += 1
        by_key[key].append(seq)
    ordered = all(seqs == sorted(seqs) for seqs in [*first.values(), *by_key.values()])
    twice = sum(n > 1 for n in published.values())
    print(f"{len(published)} rows published, {twice} of them more than once; {len(taken)} taken, in order: {ordered}")
    return published, taken, ordered


def test_each_row_is_published_and_taken_once_whichever_relay_is_killed(chaos_run, database_url):
    print(f"KB_SEED={SEED}")
    with chaos_run(seed=SEED) as run:
        desk = Desk(database_url, run.topic, SEED)
        desk.write(ROWS // 2)
        chaos = outboxed(run, database_url)
        writer = threading.Thread(target=desk.write, args=(ROWS - ROWS // 2,))
        writer.start()
        killed = 0
        for number in range(KILLS):
            goal = ROWS * (number + 1) // (KILLS + 2)
            told = lambda goal=goal: f"{goal} rows published, {desk.written} written, {desk.waiting()} wait"
            until(lambda goal=goal: desk.written - desk.waiting() >= goal, told, chaos, 120)
            victim = next((worker for worker in chaos.alive if worker.pid == desk.at_work()), None)
            if victim is not None:
                chaos.kill_now(victim)
                killed += 1
        writer.join(120)
        until(lambda: desk.taken() == ROWS, lambda: f"{ROWS} taken, {desk.taken()} are", chaos, 900 if LONG else 90)
        eventually(lambda: desk.waiting() == 0, 30, lambda: f"no row waits, {desk.waiting()} do")
        assert chaos.terminate_ready() == {0}
        published, taken, ordered = judged(run, desk)
    assert killed >= KILLS * 3 // 4
    assert set(published) == set(taken) == {str(number) for number in range(ROWS)}
    assert {entry: n for entry, n in taken.items() if n != 1} == {}
    assert ordered


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"] if LONG else ["postgresql"], indirect=True)
@pytest.mark.parametrize("mode", ["", "keyless", "early"])
def test_a_kill_between_the_acknowledgement_and_the_rows_end_repeats_what_a_handler_knows(
    chaos_run, database_url, mode
):
    with chaos_run(seed=SEED, partitions=2) as run:
        desk = Desk(database_url, run.topic, SEED)
        desk.write(600)
        chaos = outboxed(run, database_url, processes=2, OUTBOXED=mode, OUTBOXED_DIES=3)
        until(lambda: desk.waiting() == 0, lambda: f"{desk.waiting()} rows wait", chaos, 90, 2)
        published, _, _ = judged(run, desk)
        until(lambda: desk.taken() == len(published), lambda: f"{desk.taken()} taken", chaos, 60, 2)
        killed = [worker for worker in chaos.workers if worker.exit_code == -9]
        chaos.terminate_all()
        published, taken, ordered = judged(run, desk)
    assert len(killed) >= 2
    if mode == "early":
        assert len(published) < 600  # the control: they are gone, and nobody has them
        return
    assert len(published) == len(taken) == 600
    assert max(published.values()) > 1
    assert (max(taken.values()) == 1) == (mode != "keyless")
    assert ordered == (mode != "keyless")
