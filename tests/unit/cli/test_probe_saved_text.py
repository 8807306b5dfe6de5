from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kafkaboot.cli import probe_test
from kafkaboot.client.memory import MemoryRecord
from kafkaboot.testing.probing import Probed

SEED = random.SystemRandom().randrange(2**32)
RUFF = Path(sys.executable).parent / "ruff"
ALPHABETS = [bytes(range(256)), b'"', b"'", b"\"'\\", b"\\", b'{"a":1,"b":\'x\'}', "äöü€".encode(), b"abc\n\t"]


def probed(*records, handler="bill", outcome="raised"):
    error = ValueError('a "quoted" \\ error\n')
    return Probed(handler, "shop.py:1", "shop", records, outcome, error, None, [], {}, "", None, [], 0.0, [])


def values(random_):
    for length in (0, 1, 60, 70, 75, 80, 90, 200, 1000):
        for alphabet in ALPHABETS:
            yield bytes(random_.choice(alphabet) for _ in range(length))


def test_the_bytes_in_a_saved_test_are_the_record_s_and_its_layout_is_the_formatter_s(tmp_path):
    print(f"seed {SEED}")
    random_ = random.Random(SEED)
    for number, value in enumerate(values(random_)):
        key, header = (next(values(random_)) or None for _ in range(2))
        key = bytes(random_.choice(ALPHABETS[number % len(ALPHABETS)]) for _ in range(random_.randrange(120)))
        headers = [("h" * random_.randrange(1, 60), value), ("ä\"'", key), ("none", header)]
        record = MemoryRecord("orders", 3, number, value, key, headers, 5)
        handler = "shop.billing:" + "b" * random_.randrange(100)
        text = probe_test.text(probed(record, handler=handler), "shop" if number % 2 else None, start=bool(number % 3))
        space: dict[str, object] = {}
        exec(compile(text, "saved", "exec"), space)
        saved = space["RECORD"]
        assert (saved.value, saved.key, saved.headers, saved.offset) == (value, key, headers, number)
        (tmp_path / f"test_{number}.py").write_text(text, encoding="utf-8")
    for command in (["format", "--check", "--diff"], ["check", "--select", "B,E,F,I,N,SIM,UP,W"]):
        done = subprocess.run(
            [RUFF, *command, "--isolated", "--target-version", "py311", str(tmp_path)],
            capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, f"seed {SEED}\n{done.stdout[-3000:]}{done.stderr[-1000:]}"


def test_a_null_value_and_a_batch_are_written_too(tmp_path):
    records = [MemoryRecord("orders", 0, n, None if n else b"x", None, None, 5) for n in range(3)]
    text = probe_test.text(probed(*records, handler="shop.billing:bill-all"), None, start=True)
    space: dict[str, object] = {}
    exec(compile(text, "saved", "exec"), space)
    assert [space[f"RECORD_{n}"].value for n in (1, 2, 3)] == [b"x", None, None]
    assert "RECORD_1, RECORD_2, RECORD_3" in text
    file = tmp_path / "test_it.py"
    file.write_text(text)
    subprocess.run([RUFF, "format", "--check", "--isolated", str(file)], check=True, timeout=60)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Exception, match="No space left"):
        probe_test.save(tmp_path / "test_it.py", probed(MemoryRecord("t", 0, 0, b"")), None, start=True)
    assert os.listdir(tmp_path) == []
