"""Runs one program and ends it when the process that asked for it is gone, however that one died.

It is started as a script, not imported: `python -I -S watchdog.py [--remove DIR] -- PROGRAM ARGS...`. Its standard
input is a pipe from the asking process. A byte on it is an order, its end means that nobody is left to give one. The
program's own standard output and error go to this process's standard error; the first line on standard output is the
program's process id.

A pipe alone is not enough: a process that the asker forked keeps it open, hence the second look at the parent's id.
PR_SET_PDEATHSIG is not used: macOS has none, and it fires when the *thread* ends that started the child.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time

TERMINATE = b"T"
KILL = b"K"

_GRACE = 5.0
_LOOK = 1.0


def _next_order(parent: int) -> bytes:
    """Waits for an order; empty when the parent is gone."""
    while True:
        readable, _, _ = select.select([0], [], [], _LOOK)
        if readable:
            return os.read(0, 1)
        if os.getppid() != parent:
            return b""


def _obey(child: subprocess.Popen[bytes], parent: int, orphaned: threading.Event) -> None:
    while order := _next_order(parent):
        child.send_signal(signal.SIGKILL if order == KILL else signal.SIGTERM)
    orphaned.set()
    child.terminate()
    time.sleep(_GRACE)
    child.kill()


def main(arguments: list[str]) -> int:
    """Run the program and answer its exit code, negative when a signal ended it."""
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    remove = options[1] if options else None
    parent = os.getppid()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, stderr=2)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGINT, lambda *_: child.terminate())
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    orphaned = threading.Event()
    threading.Thread(target=_obey, args=(child, parent, orphaned), daemon=True).start()
    ended = child.wait()
    if remove is not None and orphaned.is_set():
        shutil.rmtree(remove, ignore_errors=True)
    return ended


if __name__ == "__main__":
    code = main(sys.argv[1:])
    os._exit(code if code >= 0 else 128 - code)
