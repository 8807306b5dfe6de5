"""Processes that are killed while they write rows in the transactions of their records: each row is there once."""

import json
import os
import time
from collections import Counter, defaultdict

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from kafkaboot.testing import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

LONG = bool(os.environ.get("KB_CHAOS"))
RECORDS = 50_000 if LONG else 1_500
KILLS = 20 if LONG else 3
PAUSES = 4 if LONG else 2
SEED = int(os.environ.get("KB_SEED", str(time.time_ns() % 10_000)))
HANDLERS = ("note", "note_in_a_thread", "note_many")
KINDS = ("sqlite", "postgresql")
EVERY = [
    (kind, handler)
    for kind in KINDS
    for handler in (("note", "partition"), ("note_in_a_thread", "key"), ("note_many", "partition"))
]
WAYS = EVERY if LONG else [EVERY[0], EVERY[2], EVERY[4]]


class Effects:
    """The rows that the handlers have written."""

    def __init__(self, url):
        url = make_url(url)
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT"
        if url.drivername == "postgresql":
            url, serial = url.set(drivername="postgresql+psycopg"), "BIGSERIAL PRIMARY KEY"
        patient = {"timeout": 60} if url.drivername == "sqlite" else {}  # its one writer is wanted by all
        self.engine = create_engine(url, poolclass=NullPool, connect_args=patient)
        with self.engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE effects (id {serial}, entry TEXT, record_key TEXT, seq INTEGER)"))

    def rows(self):
        with self.engine.begin() as connection:
            return [
                tuple(row) for row in connection.execute(text("SELECT entry, record_key, seq FROM effects ORDER BY id"))
            ]

    def count(self):
        with self.engine.begin() as connection:
            return connection.execute(text("SELECT count(DISTINCT entry) FROM effects")).scalar()


def inboxed(run, url, handler, ordering="partition", **environment):
    return run.package(
        "inboxed",
        environment={name: str(value) for name, value in environment.items()},
        databases={"main": {"url": url}},
        handlers={
            handler: {"ordering": ordering},
            **{other: {"enabled": False} for other in HANDLERS if other != handler},
        },
        # Some of the kills hit the same record; it is not to be taken for what kills its process.
        retry={"default": {"attempts": 3, "deaths": 1000, "backoff": {"initial": "10ms", "max": "50ms"}}},
    )


def load(run, records, fails=0.03, dead=0.01):
    """So many records, some of which fail once, and some always; answers those that do."""
    given_up, chance = set(), run.load._random
    for number in range(records):
        drawn = chance.random()
        often = -1 if drawn < dead else 1 if drawn < dead + fails else 0
        if often < 0:
            given_up.add(str(number))
        run.load.send(f"k{chance.randrange(60)}", work=0, fails=often)
    run.load.flush(120)
    return given_up


def until_written(effects, records, chaos, deadline):
    """So many rows are there; three processes are at it, whatever has become of earlier ones."""
    due = [0.0]

    def written():
        if time.monotonic() < due[0]:  # to count takes its time
            return False
        due[0] = time.monotonic() + 0.2
        while len(chaos.alive) < 3:
            chaos.start()
        return effects.count() >= records

    eventually(written, deadline, lambda: f"{records} rows, {effects.count()} are there")


def at_work(chaos):
    """A process in whose handler a record is at this moment."""

    def busy():
        running = chaos.progress.look().running
        found = [worker for worker in chaos.alive if running[worker.pid]]
        return chaos.random.choice(found) if found else None

    return eventually(busy, 30, "a handler at work")


@pytest.mark.parametrize(("database_url", "way"), WAYS, indirect=["database_url"])
def test_each_row_is_there_once_whatever_is_killed(chaos_run, database_url, way):
    handler, ordering = way
    print(f"KB_SEED={SEED}")
    effects = Effects(database_url)
    with chaos_run(seed=SEED) as run:
        chaos = inboxed(run, database_url, handler, ordering)
        given_up = load(run, RECORDS)
        expected = RECORDS - len(given_up)
        for number in range(KILLS):
            until_written(effects, expected * (number + 1) // (KILLS + 2), chaos, 120)
            chaos.kill_now(at_work(chaos))
        assert effects.count() < expected, "the last kill met nothing"
        until_written(effects, expected, chaos, 900 if LONG else 90)
        assert chaos.terminate_ready() == {0}
        rows = effects.rows()
        letters = Counter(json.loads(m.value())["id"] for m in run.read(f"{run.topic}.{run.group}.dlt"))
    print(f"{len(rows)} rows, {KILLS} kills, {sum(letters.values())} letters for {len(letters)} records")
    times = Counter(entry for entry, _, _ in rows)
    assert {entry: n for entry, n in times.items() if n != 1} == {}
    assert set(times) == {str(n) for n in range(RECORDS)} - given_up
    assert set(letters) == given_up
    by_key = defaultdict(list)
    for _, key, seq in rows:
        by_key[key].append(seq)
    assert all(seqs == sorted(seqs) for seqs in by_key.values())


@pytest.mark.parametrize("database_url", KINDS if LONG else ["postgresql"], indirect=True)
def test_a_process_that_does_not_know_that_it_lost_its_partitions_repeats_nothing(chaos_run, database_url):
    print(f"KB_SEED={SEED}")
    effects, records = Effects(database_url), RECORDS // 2
    with chaos_run(seed=SEED) as run:
        chaos = inboxed(run, database_url, "note")
        given_up = load(run, records)
        expected, slept = records - len(given_up), 0
        for number in range(PAUSES):
            until_written(effects, expected * (number + 1) // (PAUSES + 2), chaos, 120)
            zombie = at_work(chaos)
            generation = run.generation()
            chaos.pause(zombie)
            eventually(lambda before=generation: run.generation() > before, 30, "the others take its partitions")
            chaos.resume(zombie)
            slept += 1
        until_written(effects, expected, chaos, 300 if LONG else 60)
        assert chaos.terminate_ready() == {0}
    times = Counter(entry for entry, _, _ in effects.rows())
    print(f"{len(times)} rows, {slept} zombies")
    assert set(times) == {str(n) for n in range(records)} - given_up
    assert {entry: n for entry, n in times.items() if n != 1} == {}


@pytest.mark.parametrize("database_url", KINDS if LONG else ["sqlite"], indirect=True)
@pytest.mark.parametrize(("mode", "once"), [("", True), ("outside", False)], ids=["as it is", "control"])
def test_a_kill_behind_the_commit_repeats_nothing_unless_the_position_is_outside_of_the_transaction(
    chaos_run, database_url, mode, once
):
    effects = Effects(database_url)
    with chaos_run(seed=SEED, partitions=3) as run:
        chaos = inboxed(
            run, database_url, "note_in_a_thread", INBOXED=mode, INBOXED_DIES=80
        )  # 600 are four deaths at least: three alive have less than 240
        load(run, 600, fails=0, dead=0)
        until_written(effects, 600, chaos, 90)
        killed = [worker for worker in chaos.workers if worker.exit_code == -9]
        chaos.terminate_all()
    assert len(killed) >= 3
    times = Counter(entry for entry, _, _ in effects.rows())
    assert len(times) == 600
    assert all(n == 1 for n in times.values()) == once
