"""Real processes of an application, killed, paused and stopped while they work, and a record of it.

A kill by the clock hits idle processes, since a group stands still until the session of the last victim has run out. So
a kill waits until its victim has made progress and a handler is at work in it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kafkaboot.testing import history
from kafkaboot.testing.broker_faults import fail, fail_commits, fail_produces, restart_broker
from kafkaboot.testing.executions import Place
from kafkaboot.testing.history import History, Tail
from kafkaboot.testing.probes import eventually
from kafkaboot.testing.proxy import ChaosProxy
from kafkaboot.testing.rebalance import force_rebalance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = [
    "Chaos",
    "ChaosProxy",
    "Progress",
    "Worker",
    "fail",
    "fail_commits",
    "fail_produces",
    "force_rebalance",
    "restart_broker",
]

_LOG_SHOWN = 40


class Progress:
    """What the histories say so far; `look` reads on."""

    def __init__(self, directory: str | Path) -> None:
        self._tail = Tail(directory)
        self.ended: Counter[int] = Counter()
        self.running: defaultdict[int, set[Place]] = defaultdict(set)
        self.handled: set[Place] = set()

    def look(self) -> Self:
        """Take in what was written since the last look."""
        for event in self._tail.fresh():
            place = Place(event.topic, event.partition, event.offset)
            if event.event == history.STARTED:
                self.running[event.process].add(place)
            elif event.event in (history.ENDED, history.FAILED):
                self.running[event.process].discard(place)
                if event.event == history.ENDED:
                    self.ended[event.process] += 1
                    self.handled.add(place)
        return self


class Worker:
    """One process. Its output goes to `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self.log = process, log
        self.paused = False

    @property
    def pid(self) -> int:
        """The process id, as in the histories."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """`None` while it lives; negative is the signal that ended it."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Send a signal, without a line in the history."""
        self._process.send_signal(number)

    def wait(self, deadline: float) -> int:
        """Its exit code.

        Raises:
            AssertionError: It still runs after `deadline` seconds; the text has the end of its output.
        """
        try:
            return self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"process {self.pid} still runs after {deadline:g} s\n{self.output()}") from None

    def output(self) -> str:
        """The end of what it printed."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_SHOWN:])

    def said(self, text: str) -> bool:
        """Whether it has printed this."""
        return text in self.log.read_text(encoding="utf-8", errors="replace")

    def memory(self) -> int:
        """Resident bytes now (Linux)."""
        fields = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def threads(self) -> int:
        """Threads now (Linux)."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptors(self) -> int:
        """Open file descriptors now (Linux)."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


class Chaos:
    """Starts processes of one command, does harm to them, and writes down what it did.

    Args:
        directory: Where the processes run. Their histories are gathered in `histories`, below it; a process finds that
            path in its environment as `CHAOS_HISTORY`.
        command: What starts one process.
        environment: Added to this process's own.
        seed: Of the random choices.
    """

    def __init__(
        self, directory: Path, command: Sequence[str], *, environment: Mapping[str, str] | None = None, seed: int = 0
    ) -> None:
        self._directory, self._command = directory, list(command)
        self.histories = directory / "history"
        self._environment = {**os.environ, **(environment or {}), "CHAOS_HISTORY": str(self.histories)}
        self.history = History(self.histories)
        self.progress = Progress(self.histories)
        self.seed, self.random = seed, random.Random(seed)
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if worker.exit_code is None:
                worker.signal(signal.SIGKILL)
                worker.wait(30)
        if error is not None:
            for worker in self.workers:
                error.add_note(f"--- process {worker.pid}, exit code {worker.exit_code}\n{worker.output()}")

    @property
    def alive(self) -> list[Worker]:
        """Those that run."""
        return [worker for worker in self.workers if worker.exit_code is None]

    def start(self, count: int = 1) -> list[Worker]:
        """Start processes; does not wait for anything."""
        started = []
        for _ in range(count):
            log = self._directory / f"worker-{len(self.workers)}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    self._command,
                    cwd=self._directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            started.append(Worker(process, log))
            self.workers.append(started[-1])
        return started

    def until_handling(self, workers: Sequence[Worker], records: int = 1, deadline: float = 30.0) -> None:
        """Wait until each has handled so many records more than now.

        Raises:
            AssertionError: One of them ended, or did not make it in time.
        """
        begin = Counter(self.progress.look().ended)

        def handled() -> bool:
            dead = [worker for worker in workers if worker.exit_code is not None]
            if dead:
                raise RuntimeError(f"process {dead[0].pid} ended with exit code {dead[0].exit_code}")
            ended = self.progress.look().ended
            return all(ended[worker.pid] >= begin[worker.pid] + records for worker in workers)

        def lagging() -> str:
            ended = self.progress.ended
            return ", ".join(f"process {w.pid} handled {ended[w.pid] - begin[w.pid]} of {records}" for w in workers)

        eventually(handled, deadline, lagging)

    def kill(self, worker: Worker, *, after: int = 1, deadline: float = 30.0) -> None:
        """SIGKILL, once it has handled `after` more records and is at work on another one."""
        self.until_handling([worker], after, deadline)
        eventually(
            lambda: worker.exit_code is not None or self.progress.look().running[worker.pid],
            deadline,
            f"a handler at work in process {worker.pid}",
        )
        self.kill_now(worker)

    def kill_now(self, worker: Worker) -> None:
        """SIGKILL, whatever it does."""
        self.history.write(history.KILLED, about=worker.pid)
        worker.signal(signal.SIGKILL)
        worker.wait(30)
        self.history.write(history.DIED, about=worker.pid)

    def terminate(self, worker: Worker, deadline: float = 30.0) -> int:
        """SIGTERM; answers the exit code."""
        self.history.write(history.TERMINATED, about=worker.pid)
        worker.signal(signal.SIGTERM)
        code = worker.wait(deadline)
        self.history.write(history.DIED, about=worker.pid)
        return code

    def terminate_all(self, deadline: float = 30.0) -> list[int]:
        """SIGTERM to all at once; answers the exit codes."""
        stopping = self.alive
        for worker in stopping:
            self.history.write(history.TERMINATED, about=worker.pid)
            worker.signal(signal.SIGTERM)
        codes = []
        for worker in stopping:
            codes.append(worker.wait(deadline))
            self.history.write(history.DIED, about=worker.pid)
        return codes

    def terminate_ready(self, deadline: float = 30.0, saying: str = "ready in") -> set[int]:
        """The same once each that runs has said so in its output: one that still starts does not listen to signals."""

        def ready() -> bool:
            return all(worker.said(saying) for worker in self.alive)

        eventually(ready, deadline, f"{saying!r} in the output of every process")
        return set(self.terminate_all(deadline))

    def pause(self, worker: Worker) -> None:
        """SIGSTOP: it stands still and does not know."""
        self.history.write(history.PAUSED, about=worker.pid)
        worker.signal(signal.SIGSTOP)
        worker.paused = True

    def resume(self, worker: Worker) -> None:
        """SIGCONT."""
        worker.signal(signal.SIGCONT)
        worker.paused = False
        self.history.write(history.RESUMED, about=worker.pid)

    def pick(self) -> Worker:
        """One that runs, at random."""
        return self.random.choice([worker for worker in self.alive if not worker.paused])
