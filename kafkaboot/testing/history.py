"""What a process saw, line by line, so that a checker can judge it later.

One JSON line an event, one `os.write` a line on a descriptor opened with `O_APPEND`: nothing is buffered in the
process, so whatever kills it, the lines written before stay. Each process has a file of its own, because one that is
killed inside a write may leave half a line, and half a line is harmless only at the end of a file.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from kafkaboot.errors import KafkabootError

STARTED, ENDED, FAILED = "started", "ended", "failed"
"""A handler began with a record, returned, raised."""

GIVEN_UP, DEAD_LETTERED = "given_up", "dead_lettered"
"""A handler's last attempt at a record failed; the broker acknowledged its dead letter."""

SENT, ACKED = "sent", "acked"
"""A record was handed to the producer; the broker acknowledged it."""

KILLED, TERMINATED, DIED, PAUSED, RESUMED = "killed", "terminated", "died", "paused", "resumed"
"""What was done to a process (`about`): SIGKILL, SIGTERM, its death seen, SIGSTOP, SIGCONT."""

BROKER_DOWN, BROKER_UP = "broker_down", "broker_up"
"""The broker was stopped; it answers again."""


class Event(msgspec.Struct, omit_defaults=True):
    """One line of a history.

    Attributes:
        event: What happened, one of this module's names or a word of your own.
        process: The process that wrote the line.
        at: Monotonic nanoseconds, comparable between the processes of one machine.
        wall: Nanoseconds since the epoch.
        topic, partition, offset: The record, where there is one; -1 where not.
        id, key, seq: What the record says of itself: unique, its key, its place among the records of its key.
        about: The process that the event is about, when it is not the writer.
        detail: Anything else, for people.
    """

    event: str
    process: int
    at: int
    wall: int
    topic: str = ""
    partition: int = -1
    offset: int = -1
    id: str = ""
    key: str = ""
    seq: int = -1
    about: int = 0
    detail: str = ""


class History:
    """Appends to `directory`, to a file that belongs to this process alone. Safe from any thread and after a fork.

    Args:
        directory: Where the histories of a run are gathered; made when it is missing.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._encode = msgspec.json.Encoder().encode
        self._process = 0
        self._open()

    def write(
        self,
        event: str,
        topic: str = "",
        partition: int = -1,
        offset: int = -1,
        id: str = "",  # noqa: A002 - the name of the field on the line
        key: str = "",
        seq: int = -1,
        about: int = 0,
        detail: str = "",
    ) -> None:
        """Append one line; it survives the process when this returns. Costs a few microseconds.

        Raises:
            KafkabootError: The disk took only a part of the line.
        """
        process = os.getpid()
        if process != self._process:
            self._open()
        line = self._encode(
            Event(
                event,
                process,
                time.monotonic_ns(),
                time.time_ns(),
                topic,
                partition,
                offset,
                id,
                key,
                seq,
                about,
                detail,
            )
        )
        written = os.write(self._descriptor, line + b"\n")
        if written != len(line) + 1:
            raise KafkabootError(
                f"only {written} of {len(line) + 1} bytes of a history line were written",
                where=str(self._path),
                todo="make room on the disk; this history is of no use any more",
            )

    def _open(self) -> None:
        self._process = os.getpid()
        self._path = self._directory / f"{self._process}-{time.monotonic_ns()}.jsonl"
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


class Tail:
    """Reads the histories in a directory as they grow."""

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)
        self._read: dict[Path, int] = {}
        self._decode = msgspec.json.Decoder(Event).decode

    def fresh(self) -> list[Event]:
        """The events that were written since the last call. A line whose end is not there yet waits for the next call.

        Raises:
            KafkabootError: A whole line is not an event.
        """
        found: list[Event] = []
        for path in sorted(self._directory.glob("*.jsonl")):
            begin = self._read.get(path, 0)
            if path.stat().st_size == begin:
                continue
            with path.open("rb") as file:
                file.seek(begin)
                whole = file.read().rpartition(b"\n")[0]
            if not whole:
                continue
            self._read[path] = begin + len(whole) + 1
            for line in whole.split(b"\n"):
                try:
                    found.append(self._decode(line))
                except msgspec.MsgspecError as error:
                    raise KafkabootError(
                        f"a line of a history is no event: {line[:80]!r} ({error})",
                        where=str(path),
                        todo="write histories with kafkaboot.testing.history.History, one file a process",
                    ) from error
        return found


def read(directory: str | Path) -> list[Event]:
    """All events of a directory, in the order in which they happened on this machine."""
    return sorted(Tail(directory).fresh(), key=lambda event: event.at)
