"""Signals while the event loop is asleep."""

import subprocess
import sys

import pytest

ASLEEP = """
import asyncio, os, signal, sys, threading
from kafkaboot.boot import signals

def signal_me(main):
    while sys._current_frames()[main].f_code.co_name != "select":
        pass
    # To this thread, as the system may do: the loop's own is not interrupted.
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    os.write(1, b"sent\\n")

async def main():
    stopped = asyncio.get_running_loop().create_future()
    with signals.StopSignals(stopped.set_result):
        if "control" in sys.argv:
            signal.set_wakeup_fd(-1)
        threading.Thread(target=signal_me, args=(threading.get_ident(),)).start()
        os.write(1, (await stopped).encode() + b"\\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1

asyncio.run(main())
"""


def ended(*how, within):
    command = [sys.executable, "-c", ASLEEP, *how]
    return subprocess.run(command, capture_output=True, timeout=within, check=True).stdout.split()


def test_a_signal_that_another_thread_gets_wakes_the_loop():
    assert sorted(ended(within=30)) == [b"SIGTERM", b"sent"]


def test_control_without_a_wakeup_it_sleeps_on():
    with pytest.raises(subprocess.TimeoutExpired) as asleep:
        ended("control", within=3)
    assert asleep.value.stdout in (b"sent\n", None)
