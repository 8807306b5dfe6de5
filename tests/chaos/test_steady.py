"""Nothing grows or gets slower at 20,000 records a second: an hour by `make soak`, five minutes by `make chaos`."""

import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.dev.local import LocalKafka
from kafkaboot.testing import eventually

SECONDS = float(os.environ.get("KB_SOAK") or ("300" if os.environ.get("KB_CHAOS") else "0"))
RATE = 20_000
LOAD = Path(__file__).parent / "app" / "steady_load.py"
GROWTH = 0.01
"""Of the memory, an hour."""
VISIBLE = 1.0
"""Megabytes: an allocator's steps. A run shows growth that makes more than this of its own time."""
SLOWER = 1.25
"""How much older records may get from the first third to the last; the machine has others to serve as well."""
NOISE = 0.5
"""Milliseconds that this may be in any case."""

slow = pytest.mark.skipif(not SECONDS, reason="a soak: `make soak`, or five minutes in `make chaos`")


def growth(notes):
    """Megabytes a second: the median of all slopes, which single steps do not bend (Theil, Sen)."""
    step = max(1, len(notes) // 200)
    pairs = itertools.combinations(notes[::step], 2)
    return statistics.median((b["kb"] - a["kb"]) / 1024 / (b["at"] - a["at"]) for a, b in pairs)


def judge(notes):
    """What is wrong with a run, by its notes behind the first fifth: it warms up."""
    notes = notes[len(notes) // 5 :]
    span, memory = notes[-1]["at"] - notes[0]["at"], statistics.median(note["kb"] for note in notes) / 1024
    grown, third, wrong = growth(notes), len(notes) // 3, []
    print(
        f"{span:.0f} s, {notes[-1]['handled'] - notes[0]['handled']:,} records, memory {memory:.1f} MB, "
        f"{grown * 3600 / memory:+.2%} an hour, {notes[0]['threads']} to {notes[-1]['threads']} threads"
    )
    if grown * span > VISIBLE and grown * 3600 > GROWTH * memory:
        wrong.append(f"memory grows by {grown * 3600:.1f} MB an hour, from {memory:.1f} MB")
    for figure in ("p50", "p99"):
        first, last = (statistics.median(n[figure] for n in part) for part in (notes[:third], notes[-third:]))
        print(f"{figure} {first:.2f} ms in the first third, {last:.2f} ms in the last")
        if last > first * SLOWER + NOISE:
            wrong.append(f"{figure} goes from {first:.2f} ms to {last:.2f} ms")
    for figure in ("threads", "files"):
        first, last = (max(n[figure] for n in part) for part in (notes[:third], notes[-third:]))
        if last > first:
            wrong.append(f"{first} {figure} become {last}")
    return wrong


def soak(run, broker, seconds, **environment):
    """The notes of a run."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    kept = {"retention.bytes": str(256 * 1024 * 1024), "segment.bytes": str(64 * 1024 * 1024)}
    out = f"{run.topic}-out"
    admin.create_topics([NewTopic(out, 4, 1, config=kept)])[out].result(30)
    notes = run.directory / "notes"
    environment |= {"STEADY_NOTES": str(notes), "STEADY_EVERY": str(min(10.0, seconds / 100))}
    chaos = run.package("steady", environment)
    chaos.start()
    sender = subprocess.run(
        [sys.executable, str(LOAD), run.bootstrap, run.topic, str(RATE), str(seconds)],
        check=False, capture_output=True, text=True, timeout=seconds + 90,
    )  # fmt: skip
    assert sender.returncode == 0, sender.stderr
    sent = json.loads(sender.stdout)["sent"]
    assert sent > 0.95 * RATE * seconds, "the load itself did not keep up"

    def taken():
        return [json.loads(line) for line in notes.read_text().splitlines()]

    eventually(lambda: taken()[-1]["handled"] >= sent, 60, lambda: f"all of {sent} handled: {taken()[-1]['handled']}")
    assert set(chaos.terminate_all()) == {0}
    return [note for note in taken() if note["handled"] < sent]


@pytest.mark.chaos
@pytest.mark.real_kafka
@pytest.mark.timeout(SECONDS + 400)
@slow
def test_nothing_grows_and_nothing_slows_down(chaos_run):
    with LocalKafka() as broker, chaos_run(partitions=4, bootstrap=broker.bootstrap_servers) as run:
        assert judge(soak(run, broker, SECONDS)) == []


@pytest.mark.chaos
@pytest.mark.real_kafka
@pytest.mark.timeout(400)
@slow
def test_a_handler_that_leaks_is_found_out(chaos_run):
    """Half a byte a record would be 36 MB an hour; in a minute's run it takes sixteen to be seen."""
    with LocalKafka() as broker, chaos_run(partitions=4, bootstrap=broker.bootstrap_servers) as run:
        wrong = judge(soak(run, broker, 60, STEADY_LEAKS="16"))
        assert any("memory" in each for each in wrong), wrong


def notes_of(**changes):
    """An hour's notes: 120 MB that wander by a megabyte, ages around a millisecond."""
    made = []
    for i in range(360):
        wave = (i * 7919 % 101) / 101
        note = {"at": i * 10.0, "handled": i * 200_000, "kb": 120 * 1024 + wave * 1024, "p50": 1 + wave / 10}
        note |= {"p99": 5 + wave, "threads": 9, "files": 30}
        made.append(note | {key: change(i, note[key]) for key, change in changes.items()})
    return made


def test_an_hour_that_is_steady_is_found_so():
    assert judge(notes_of()) == []
    assert judge(notes_of(kb=lambda i, kb: kb + 4000 * (i > 30))) == [], "what is taken once, early, is no growth"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kb": lambda i, kb: kb + i * 2 * 0.0125 * 1024 / 3.6}, "memory"),
        ({"p50": lambda i, ms: ms * (1 + i / 100)}, "p50"),
        ({"p99": lambda i, ms: ms * (1 + i / 200)}, "p99"),
        ({"threads": lambda i, n: n + i // 100}, "threads"),
        ({"files": lambda i, n: n + i // 100}, "files"),
    ],
)
def test_an_hour_that_is_not_is_found_out(changes, said):
    assert any(said in each for each in judge(notes_of(**changes)))
