"""`kafkaboot dev` at work: a running worker, and one beside it that stands by for the next save.

The one that stands by has loaded all libraries. A save lets it read the application; once everything fits together
the running one is told to stop, and as soon as it has committed and left its group the other one goes. What cannot be
wired is told, and the running one never notices.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, Literal

import click

from kafkaboot.boot.analysis import CONFIGURATION, USAGE, Analysis
from kafkaboot.cli import narrate
from kafkaboot.cli.affected_tests import TestRun
from kafkaboot.cli.changes import CODE, CONFIG, WatchfilesMissingError, config_folders, packages
from kafkaboot.cli.crew import Worker
from kafkaboot.cli.failure import tell_failed_start
from kafkaboot.cli.first_event import MARK
from kafkaboot.cli.keys import Keys
from kafkaboot.cli.output import on_terminal
from kafkaboot.cli.supervisor import LOOK, Supervisor
from kafkaboot.cli.worker import EVENT, GO, WIRE
from kafkaboot.message import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from kafkaboot.boot.application import Application
    from kafkaboot.cli.options import Choice
    from kafkaboot.cli.run_file import RunFile
    from kafkaboot.config import Configuration

SWAP_LOOK = 0.01
"""Seconds between two looks while one worker takes the other's place: the end of a process wakes nobody."""
HINT = "keys: t tests, e send an event, r restart, q quit"


class DevLoop(Supervisor):
    """Runs the application until Ctrl-C or `q`, and answers the exit code.

    Args:
        choice: The application.
        flags: Passed on to the workers.
    """

    command: Literal["run", "dev"] = "dev"

    def __init__(self, choice: Choice, flags: Sequence[str]) -> None:
        super().__init__(choice, 1, reload=True, flags=flags)
        self._began = time.monotonic()
        self._directory = self._application.launch.directory
        self._next: Worker | None = None
        self._next_is: Literal["standing by", "wiring", "wired", "failed"] = "standing by"
        self._saved: float | None = None
        self._broken: set[str] = set()
        self._on_desk = self._event_waits = self._ready = self._handled_once = False
        self._keys = Keys()
        self._tests: TestRun | None = None

    def run(self) -> int:
        """Run until it is ended."""
        with self._keys:
            try:
                return super().run()
            finally:
                if self._tests is not None:
                    self._tests.stop()

    # --- what the supervisor asks for

    def _changes_of(self, application: Application) -> Callable[[], Sequence[str]]:
        try:
            return super()._changes_of(application)
        except WatchfilesMissingError as error:
            self._say(f"what you save is not seen: {error.todo}; until then r restarts", fg="yellow")
            return lambda: ()

    def _find_broker(self, configuration: Configuration, run_file: RunFile) -> list[str]:
        overrides = super()._find_broker(configuration, run_file)
        self._on_desk = bool(overrides)
        self._say("starting the application")
        return overrides

    def _begin(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._workers = [Worker(0, arguments, piped=on_terminal())]
        self._workers[0].start()

    def _goes_on(self) -> bool:
        return not self._stopping or super()._goes_on()

    def _sources(self) -> list[Any]:
        return [*super()._sources(), *self._keys.sources]

    def _pause(self) -> float:
        return LOOK if self._saved is None else SWAP_LOOK

    def _attended(self) -> None:
        for key in self._keys.pressed():
            self._press(key)

    # --- saves

    def _watch_files(self) -> None:
        changed = self._changes()
        if not changed or self._stopping:
            return
        code = {name for name in (*changed, *self._broken) if name.endswith(CODE)}
        troubles = {name: trouble for name in sorted(code) if (trouble := syntax_error(self._directory, name))}
        self._broken = set(troubles)
        if troubles:
            for trouble in troubles.values():
                self._say(f"{trouble}; {self._what_goes_on()}", fg="red")
            return
        self._replace(f"changed: {', '.join(changed)}; trying it {self._beside()}")

    def _replace(self, why: str) -> None:
        """Let a fresh process read the application; one that is reading already has read something older."""
        self._say(why)
        self._failed = None
        self._saved = time.monotonic()
        if self._next is not None and self._next_is != "standing by":
            self._dismiss(self._next)
        if self._next is None:
            self._stand_by()
        assert self._next is not None
        self._next.tell(WIRE)
        self._next_is = "wiring"

    def _stand_by(self) -> None:
        self._next = Worker(0, self._arguments, piped=on_terminal())
        self._next_is = "standing by"
        self._workers.append(self._next)
        self._next.start(stand_by=True)

    def _dismiss(self, worker: Worker) -> None:
        """End a process that runs nothing yet."""
        process = worker.process
        worker.signal(signal.SIGKILL)
        if process is not None:
            process.wait()
        worker.close()
        self._workers.remove(worker)
        self._next = None

    # --- what workers say, and how they end

    @property
    def _running(self) -> Worker:
        return self._workers[0]

    def _told(self, worker: Worker, facts: dict[str, Any]) -> None:
        if worker is self._next:
            self._told_by_next(facts)
        elif "ready" in facts:
            self._told_ready()
        elif "event" in facts:
            event = facts["event"]
            self._say(f"sent {event['type']} to {event['place']} for {event['handler']}: {printable(event['value'])}")
        elif "no_event" in facts:
            self._say(f"no event was sent: {facts['no_event']}", fg="yellow")
        else:
            super()._told(worker, facts)
        self._tell_first(facts.get("tallies", ()))

    def _told_by_next(self, facts: dict[str, Any]) -> None:
        if "wired" in facts:
            self._wired(facts)
            self._next_is = "wired"
            self._running.due = 0.0
            self._running.signal(signal.SIGTERM)
            if self._running.process is None:
                self._hand_over()
        elif "failed" in facts:
            if facts["traceback"]:
                click.echo(facts["traceback"], err=True)
            tell_failed_start(Analysis(**facts["failed"]), None, debug=False)
            self._saved, self._next_is = None, "failed"
            self._say(self._what_goes_on())

    def _told_ready(self) -> None:
        seconds = time.monotonic() - (self._began if self._saved is None else self._saved)
        again = "" if self._saved is None else "again, offsets kept, "
        self._saved, self._ready = None, True
        self._say(f"ready {again}in {seconds:.2f} s", fg="green", bold=True)
        if self._keys.sources and not again:
            self._say(HINT)
        if self._next is None:
            self._stand_by()
        self._show_live_line()
        mark = self._directory / ".kafkaboot" / MARK
        if self._on_desk and mark.exists():
            mark.unlink()
            self._say("a first event, since this application is new; e sends another one")
            self._running.tell(EVENT)

    def _tell_first(self, tallies: Iterable[dict[str, Any]]) -> None:
        handled = [one["id"] for one in tallies if one["handled"]]
        if handled and not self._handled_once:
            self._handled_once = True
            self._say(
                f"{handled[0]} has handled its first record, {time.monotonic() - self._began:.1f} s from the start"
            )

    def _ended(self, worker: Worker, code: int) -> None:
        if self._stopping:
            super()._ended(worker, code)
        elif worker is self._next:
            self._dismiss(worker)
            if self._saved is not None:
                self._saved = None
                self._say(f"what was saved ended with exit code {code} before it ran; {self._what_goes_on()}", fg="red")
            self._stand_by()
        else:
            self._running_ended(worker, code)

    def _running_ended(self, worker: Worker, code: int) -> None:
        self._ready = False
        if self._next is not None and self._next_is == "wired":
            self._hand_over()
        elif self._next is not None and self._next_is == "wiring":
            pass  # it was told to make room for what a later save has overtaken, or died: its place is wanted anyway
        elif self._failed is not None or code in {USAGE, CONFIGURATION}:
            self._say("waiting for a file to change")
            self._saved = None
            if self._next is None:
                self._stand_by()
        else:
            pause = worker.restart_later()
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            self._say(f"the application {how}; it starts again in {pause:g} s", fg="yellow")

    def _hand_over(self) -> None:
        before, after = self._running, self._next
        assert after is not None
        before.close()
        self._workers, self._next = [after], None
        after.tell(GO)

    def _what_goes_on(self) -> str:
        return "the application goes on with what it had" if self._alive() else "waiting for a file to change"

    def _beside(self) -> str:
        return "beside the running application" if self._alive() else "now"

    def _alive(self) -> bool:
        return self._running.process is not None

    # --- keys

    def _press(self, key: str) -> None:
        if self._stopping:
            if key == "q":
                self._signals.append(signal.SIGINT)
        elif key == "q":
            if self._live is not None:
                self._live.stop()
            narrate.stopping("q", self._patience)
            self._stop()
        elif key == "r":
            self._replace(f"restarting; the new one is made ready {self._beside()}")
        elif key == "e":
            self._send_event()
        elif key == "t":
            self._run_tests()
        elif not key.isspace():
            self._say(HINT)

    def _send_event(self) -> None:
        if not self._on_desk:
            self._say("e sends to brokers of the desk only, and this one is external: see `kafkaboot publish --help`")
        elif not self._ready:
            self._say("no event was sent: the application does not run yet")
        else:
            self._running.tell(EVENT)

    def _run_tests(self) -> None:
        if self._tests is None:
            application = self._application  # as it was read at the start: the files may not be readable just now
            folders = config_folders(application)
            settings = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in CONFIG]
            self._tests = TestRun(self._directory, packages(application), settings)
        self._tests.start()


def syntax_error(directory: Path, name: str) -> str:
    """What keeps a file from being parsed, with file and line; "" where nothing does, or where it is gone."""
    try:
        compile((directory / name).read_bytes(), name, "exec", dont_inherit=True)
    except SyntaxError as error:
        source = f": {error.text.strip()}" if error.text else ""
        return f"{name}:{error.lineno}: {type(error).__name__}: {error.msg}{source}"
    except ValueError as error:
        return f"{name}: {error}"
    except OSError:
        return ""
    return ""
