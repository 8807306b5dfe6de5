"""`run --workers N` and `run --reload`: fresh processes of the same application, restarted when they die.

Never forked: librdkafka's threads do not survive a fork.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal

import click

from kafkaboot.boot.analysis import CONFIGURATION, UNDRAINED, USAGE, Analysis, analyze
from kafkaboot.boot.facts import COUNTED, HandlerTally
from kafkaboot.boot.pipeline import HandlerRow
from kafkaboot.cli import narrate
from kafkaboot.cli.crew import Worker
from kafkaboot.cli.desk import already_there, kind_of, start_for, using
from kafkaboot.cli.failure import tell_failed_start
from kafkaboot.cli.output import on_terminal
from kafkaboot.cli.run_file import RunFile, Running
from kafkaboot.consumer import ConsumerSettings
from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.boot.application import Application
    from kafkaboot.cli.live_line import LiveLine
    from kafkaboot.cli.options import Choice
    from kafkaboot.config import Configuration
    from kafkaboot.dev import Broker

LOOK = 0.1
"""Seconds between two looks at signals and processes."""
FINAL = (USAGE, CONFIGURATION)
"""Exit codes that the next start would only repeat."""


class Supervisor:
    """Runs the workers until a signal, and answers the worst of their exit codes.

    Args:
        choice: The application.
        count: How many workers.
        reload: Restart them when a file changes.
        flags: Passed on to the workers.
    """

    command: Literal["run", "dev"] = "run"

    def __init__(self, choice: Choice, count: int, *, reload: bool, flags: Sequence[str]) -> None:
        self._choice, self._count, self._reload, self._flags = choice, count, reload, flags
        self._application = choice.application()
        self._broker: Broker | None = None
        self._workers: list[Worker] = []
        self._totals: dict[str, list[int]] = defaultdict(lambda: [0] * len(COUNTED))
        self._signals: list[int] = []
        self._stopping = self._restarting = self._shown = False
        self._failed: Analysis | None = None
        self._worst = 0
        self._live: LiveLine | None = None
        self._patience = 0.0
        self._changes: Callable[[], Sequence[str]] = lambda: ()

    def run(self) -> int:
        """Run until all workers have ended for good."""
        application = self._application
        run_file = RunFile(application.launch.directory)
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            configuration = application.configure()
            self._patience = configuration.bind("kafkaboot.consumer", ConsumerSettings).drain_timeout
            if self._reload:
                self._changes = self._changes_of(application)
            return self._supervise(self._find_broker(configuration, run_file))
        except KafkabootError as error:
            found = analyze(error)
            tell_failed_start(found, error, debug=bool(self._flags))
            return found.code
        finally:
            for worker in self._workers:
                worker.close()
            run_file.remove(os.getpid())
            if self._broker is not None:
                self._broker.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _changes_of(self, application: Application) -> Callable[[], Sequence[str]]:
        from kafkaboot.cli.changes import Changes

        return Changes(application).seen

    def _find_broker(self, configuration: Configuration, run_file: RunFile) -> list[str]:
        """Start the broker of the desk, or find the one that is there; answers what the workers are told of it."""
        shared = already_there(self._application)
        if shared is not None:
            narrate.fact("broker", str(shared))
            return using(configuration, shared.address)
        narrate.starting(kind_of(configuration))
        self._broker = broker = start_for(configuration)
        if broker is None:
            return []
        address = broker.bootstrap_servers
        run_file.write(Running(os.getpid(), broker.kind, address, self.command, configuration.profiles))
        narrate.fact("broker", broker.describe())
        return using(configuration, address)

    def _supervise(self, overrides: Sequence[str]) -> int:
        arguments = [*self._flags, *(each for one in overrides for each in ("--set", one))]
        chosen = self._choice.arguments()
        # `--set` of the user's comes first: the address of the broker that was started must win.
        split = chosen.index("--") if "--" in chosen else len(chosen)
        arguments = [*chosen[:split], *arguments, *chosen[split:]]
        self._begin(arguments)
        while self._goes_on():
            self._obey()
            if not self._signals:
                self._watch_files()
            select.select(self._sources(), [], [], self._pause())
            for worker in list(self._workers):
                self._attend(worker)
            self._attended()
        return self._end()

    def _begin(self, arguments: Sequence[str]) -> None:
        self._workers = [Worker(slot, arguments, piped=on_terminal()) for slot in range(self._count)]
        for worker in self._workers:
            worker.start()

    def _goes_on(self) -> bool:
        return any(worker.process is not None or worker.due for worker in self._workers)

    def _sources(self) -> list[Any]:
        return [source for worker in self._workers for source in worker.sources]

    def _pause(self) -> float:
        return LOOK

    def _attended(self) -> None:
        if self._reload and self._failed is not None and not self._stopping:
            self._wait_for_change()

    def _attend(self, worker: Worker) -> None:
        code = worker.ended()  # asked first: what it said before its end is read below
        for facts in worker.heard():
            self._told(worker, facts)
        if lines := worker.written():
            click.echo(lines, nl=False)
        if code is not None:
            self._count_up(worker)
            self._ended(worker, code)
        elif worker.process is None and worker.due and time.monotonic() >= worker.due:
            worker.due = 0.0
            if not self._stopping:
                worker.start()

    def _told(self, worker: Worker, facts: dict[str, Any]) -> None:
        if "wired" in facts:
            self._wired(facts)
        elif "ready" in facts:
            self._say(f"ready in {facts['ready'] * 1000:.0f} ms", worker, fg="green", bold=True)
            self._show_live_line()
        elif "failed" in facts and (self._failed is None or self._reload):
            self._failed = Analysis(**facts["failed"])
            if facts["traceback"]:
                click.echo(facts["traceback"], err=True)
            tell_failed_start(self._failed, None, debug=False)

    def _wired(self, facts: dict[str, Any]) -> None:
        if self._shown:
            return
        self._shown = True
        narrate.banner(facts["name"], facts["profiles"], facts["sources"])
        rows = [{**row, "topics": tuple(row["topics"]), "publishes": tuple(row["publishes"])} for row in facts["wired"]]
        narrate.handlers(HandlerRow(**row) for row in rows)
        if "--debug" in self._flags:
            click.echo(f"{facts['report']}\n")

    def _ended(self, worker: Worker, code: int) -> None:
        """Decide what an ended process means."""
        if self._stopping:
            if code >= 0:
                self._worst = max(self._worst, code)
            elif worker.was_ready:  # one that was told to stop while it was starting had no records to lose
                self._worst = max(self._worst, UNDRAINED)
            return
        if self._restarting and code >= 0:
            worker.due = time.monotonic()
            self._restarting = any(one.process is not None for one in self._workers)
            return
        if self._reload and code != 0 and self._failed is not None:
            return
        if code in FINAL or (code > 0 and not worker.was_ready):
            self._worst = max(self._worst, code)
            self._stop()
            return
        pause = worker.restart_later()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._say(f"{how}; a new one starts in {pause:g} s", worker, fg="yellow")

    def _obey(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if self._stopping:
                for worker in self._workers:
                    worker.signal(signal.SIGKILL)
                self._worst = 128 + number
                continue
            if self._live is not None:
                self._live.stop()
            narrate.stopping(signal.Signals(number).name, self._patience)
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        for worker in self._workers:
            worker.due = 0.0
            worker.signal(signal.SIGTERM)

    def _watch_files(self) -> None:
        changed = self._changes()
        if changed and not self._stopping:
            self._restarting = True
            self._failed = None
            self._say(f"changed: {', '.join(changed)}; restarting")
            for worker in self._workers:
                worker.signal(signal.SIGTERM)
                if worker.process is None:
                    worker.due = time.monotonic()

    def _wait_for_change(self) -> None:
        """After a failed start there is nothing to run until somebody corrects a file."""
        if any(worker.process is not None or worker.due for worker in self._workers):
            return
        self._say("waiting for a file to change")
        while not self._signals and any(worker.process is None and not worker.due for worker in self._workers):
            time.sleep(LOOK)
            self._watch_files()

    def _hear(self, number: int, _: object) -> None:
        self._signals.append(number)

    def _say(self, text: str, worker: Worker | None = None, **style: Any) -> None:
        who = ""
        if worker is not None and self._count > 1:
            pid = f" (process {worker.process.pid})" if worker.process is not None else ""
            who = f"worker {worker.slot}{pid}: "
        click.secho(f"{who}{text}", **style)

    def _show_live_line(self) -> None:
        if self._live is None and on_terminal():
            from kafkaboot.cli.live_line import LiveLine

            self._live = LiveLine(self._handled, self._lag)
            self._live.start()

    def _handled(self) -> int:
        now: int = sum(one["handled"] for worker in self._workers for one in worker.tallies)
        return now + sum(total[0] for total in self._totals.values())

    def _lag(self) -> int | None:
        known = [worker.lag for worker in self._workers if worker.lag is not None]
        return sum(known) if known else None

    def _count_up(self, worker: Worker) -> None:
        for one in worker.tallies:
            total = self._totals[one["id"]]
            for at, name in enumerate(COUNTED):
                total[at] += one[name]
        worker.tallies = []

    def _end(self) -> int:
        if self._live is not None:
            self._live.stop()
        if self._failed is None:
            narrate.tallies([HandlerTally(name, *counted) for name, counted in self._totals.items()])
            narrate.ended(self._worst)
        return self._worst
