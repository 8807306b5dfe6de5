"""What changes besides records, as lines that are only appended: topics, committed offsets, transactions.

A line is a checksum and a JSON list. One that a kill or a crash cut short is found by its checksum.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import crc32c
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Entry = list[Any]
"""What it is about, and its fields."""


class Journal:
    """Takes entries down. Until it is opened it forgets them: a broker in memory keeps none."""

    def __init__(self) -> None:
        self._file: int | None = None

    def write(self, *entry: Any) -> None:
        """Append an entry; the operating system has it when this returns."""
        if self._file is not None:
            write_whole(self._file, _line(entry))

    def open(self, path: Path, entries: Iterable[Entry]) -> None:
        """Begin a new file with these entries in the place of the old one, and go on in it."""
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            file.writelines(map(_line, entries))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def close(self) -> None:
        """Take nothing down any more."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


def read(path: Path) -> tuple[list[Entry], int]:
    """The entries up to the first line that is not whole, and the number of bytes from there on."""
    data = path.read_bytes() if path.exists() else b""
    entries: list[Entry] = []
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        checksum, _, body = data[at:end].partition(b" ")
        if checksum != _checksum(body):
            break
        entries.append(msgspec.json.decode(body))
        at = end + 1
    return entries, len(data) - at


def write_whole(file: int, data: bytes) -> None:
    """Write all of it, or nothing that stays.

    Raises:
        OSError: The disk is full or gone.
    """
    size = os.fstat(file).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(file, left) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def _line(entry: Iterable[Any]) -> bytes:
    body = msgspec.json.encode(list(entry))
    return _checksum(body) + b" " + body + b"\n"


def _checksum(body: bytes) -> bytes:
    return b"%08x" % crc32c.crc32c(body)
