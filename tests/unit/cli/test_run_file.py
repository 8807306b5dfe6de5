from __future__ import annotations

import os
import subprocess
import sys

from kafkaboot.cli.run_file import RunFile, Running


def test_what_one_process_writes_another_reads(tmp_path):
    running = Running(os.getpid(), "embedded", "127.0.0.1:1234", "run", ("dev",))
    RunFile(tmp_path).write(running)
    assert RunFile(tmp_path).read() == running
    RunFile(tmp_path).remove(os.getpid())
    assert RunFile(tmp_path).read() is None


def test_a_file_whose_process_is_gone_counts_as_absent(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait(30)
    RunFile(tmp_path).write(Running(gone.pid, "local", "127.0.0.1:1", "broker"))
    assert RunFile(tmp_path).path.exists()
    assert RunFile(tmp_path).read() is None


def test_a_file_that_is_somebody_elses_stays(tmp_path):
    RunFile(tmp_path).write(Running(os.getppid(), "local", "127.0.0.1:1", "broker"))
    RunFile(tmp_path).remove(os.getpid())
    assert RunFile(tmp_path).read() is not None


def test_a_broken_file_counts_as_absent(tmp_path):
    file = RunFile(tmp_path)
    file.path.parent.mkdir()
    for text in ("", "[]", '{"pid": 1}', '{"pid": "x", "kind": 1'):
        file.path.write_text(text)
        assert file.read() is None
