"""The watchdog ends its program when the process that asked for it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from kafkaboot.dev import jvm, watchdog
from kafkaboot.testing import eventually

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _parent_of_a_sleeper(log, folder, *, tail: str = "time.sleep(60)") -> subprocess.Popen[str]:
    code = textwrap.dedent(f"""
        import pathlib, sys, time
        from kafkaboot.dev import jvm
        process, pid = jvm.launch({SLEEPER!r}, pathlib.Path({str(log)!r}), pathlib.Path({str(folder)!r}))
        print(pid, flush=True)
        {tail}
    """)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_the_program_and_its_temporary_folder_go_when_the_parent_is_killed(tmp_path, blow):
    folder = tmp_path / "data"
    folder.mkdir()
    with _parent_of_a_sleeper(tmp_path / "log", folder) as parent:
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.send_signal(blow)
        parent.wait(10)
    eventually(lambda: not _alive(pid), 10, "the program ended")
    eventually(lambda: not folder.exists(), 10, "the folder is removed")


def test_the_program_goes_although_a_fork_of_the_parent_keeps_the_pipe_open(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    tail = "import os; child = os.fork(); print(child, flush=True) if child else None; time.sleep(60)"
    with _parent_of_a_sleeper(tmp_path / "log", folder, tail=tail) as parent:
        pid = int(parent.stdout.readline())
        fork = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait(10)
            eventually(lambda: not _alive(pid), 10, "the program ended")
            assert _alive(fork)
        finally:
            os.kill(fork, signal.SIGKILL)


def test_the_folder_stays_when_the_program_is_only_ended_by_order(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    process, pid = jvm.launch(SLEEPER, tmp_path / "log", folder)
    jvm.end(process, watchdog.KILL, 10)
    assert not _alive(pid)
    assert folder.exists()


def test_a_program_that_ignores_sigterm_is_killed_at_the_deadline(tmp_path):
    process, pid = jvm.launch(DEAF, tmp_path / "log", None)
    eventually(lambda: "deaf" in (tmp_path / "log").read_text(), 10)
    jvm.end(process, watchdog.TERMINATE, 0.3)
    assert not _alive(pid)


def test_the_exit_code_of_a_program_that_ends_by_itself_is_seen(tmp_path):
    process, _ = jvm.launch([sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "log", None)
    assert process.wait(10) == 7
    jvm.end(process, watchdog.TERMINATE, 1)
