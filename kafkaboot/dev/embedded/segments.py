"""A partition on disk: files of whole batches as they are served, one behind the other, that are only appended to."""

from __future__ import annotations

import logging
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

import crc32c
import msgspec

from kafkaboot.dev.embedded.journal import write_whole
from kafkaboot.dev.embedded.log import BATCH, MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger("kafkaboot.embedded")

SEGMENT = 64 * 2**20
"""Bytes from which on a file is followed by the next one; what is deleted goes by whole files."""
MOST_OPEN = 200
"""Files that are open at a time."""
_SUFFIX = ".log"
_BASE_AND_LENGTH = struct.Struct(">qi")
_CRC = struct.Struct(">I")
_CRC_AT, _CRC_FROM, _MAGIC_AT = 17, 21, 16


class OpenFiles:
    """Files that are written to. The one that was not for the longest time is closed when there are too many."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}

    def append(self, path: Path, data: bytes) -> None:
        """Write to the end; the operating system has it when this returns."""
        file = self._open.pop(path, None)
        if file is None:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if len(self._open) >= MOST_OPEN:
                self.close(next(iter(self._open)))
        self._open[path] = file
        write_whole(file, data)

    def close(self, *paths: Path) -> None:
        """Close these."""
        for path in paths:
            file = self._open.pop(path, None)
            if file is not None:
                os.close(file)

    def close_all(self) -> None:
        """Close what is open."""
        self.close(*self._open)


class Bounds(NamedTuple):
    """What the batches alone do not say.

    Attributes:
        start: The oldest offset that is kept.
        end: The next offset, at least.
        compacted: Before it markers may be missing, and nothing is undecided or aborted.
    """

    start: int = 0
    end: int = 0
    compacted: int = 0


class PartitionFiles:
    """The files of one partition.

    A file's name is its generation and its first offset. What compaction leaves is a file of the next generation,
    which takes the place of all before it at once, by its name.
    """

    def __init__(self, directory: Path, files: OpenFiles) -> None:
        self._directory = directory
        self._files = files
        self._generation = 0
        self._segments: list[tuple[int, Path]] = []
        self._size = 0
        self._bounds = Bounds()

    def append(self, base: int, raw: bytes) -> None:
        """Keep a batch behind the others.

        Raises:
            OSError: It cannot be kept; nothing of it is.
        """
        if not self._segments or self._size >= SEGMENT:
            self._begin(base)
        self._files.append(self._segments[-1][1], raw)
        self._size += len(raw)

    def delete_before(self, start: int, end: int) -> None:
        """Remember where the partition starts, and delete the files that end before; `end` is the partition's."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._write_bounds(self._bounds._replace(start=start, end=end))
        following = [base for base, _ in self._segments[1:]] + [end]
        gone = [path for (_, path), after in zip(self._segments, following, strict=True) if after <= start]
        self._segments = self._segments[len(gone) :]
        self._delete(gone)

    def replace(self, batches: Iterable[bytes], end: int, compacted: int) -> None:
        """Keep these batches in the place of all: those before `compacted` are what compaction has left."""
        self._directory.mkdir(parents=True, exist_ok=True)
        old = [path for _, path in self._segments]
        new = self._directory / "new"
        with new.open("wb") as file:
            file.writelines(batches)
            self._size = file.tell()
        # The bounds are true of the old files too: compaction takes nothing that is undecided or visible.
        self._write_bounds(self._bounds._replace(end=end, compacted=compacted))
        self._generation += 1
        self._segments = [(self._bounds.start, new.replace(self._path(self._bounds.start)))]
        self._delete(old)

    def load(self) -> tuple[Bounds, list[bytes]]:
        """What is kept. From the first batch on that is not whole, everything is cut off, and a line says so."""
        if not self._directory.exists():
            return self._bounds, []
        bounds = self._directory / "bounds"
        if bounds.exists():
            self._bounds = msgspec.json.decode(bounds.read_bytes(), type=Bounds)
        found = sorted(self._directory.glob(f"*{_SUFFIX}"))
        self._generation = _numbers(found[-1])[0] if found else 0
        self._delete([path for path in found if _numbers(path)[0] != self._generation])
        self._segments = [(_numbers(path)[1], path) for path in found if _numbers(path)[0] == self._generation]
        batches: list[bytes] = []
        for at, (base, path) in enumerate(self._segments):
            data = path.read_bytes()
            self._bounds = self._bounds._replace(end=max(self._bounds.end, base))
            whole = _whole(data, batches)
            self._size = whole
            if whole < len(data):
                behind = self._segments[at + 1 :]
                log.warning(
                    "%s: the last %d bytes are no whole batch, a write was cut short: they are cut off%s",
                    path, len(data) - whole, f", and {len(behind)} files behind them" if behind else "",
                )  # fmt: skip
                os.truncate(path, whole)
                del self._segments[at + 1 :]
                self._delete([path for _, path in behind])
                break
        return self._bounds, batches

    def close(self) -> None:
        """Close what is open of it."""
        self._files.close(*(path for _, path in self._segments))

    def _begin(self, base: int) -> None:
        if self._segments:
            self._files.close(self._segments[-1][1])
        self._directory.mkdir(parents=True, exist_ok=True)
        self._segments.append((base, self._path(base)))
        self._size = 0

    def _path(self, base: int) -> Path:
        return self._directory / f"{self._generation:08d}-{base:020d}{_SUFFIX}"

    def _write_bounds(self, bounds: Bounds) -> None:
        new = self._directory / "bounds.new"
        new.write_bytes(msgspec.json.encode(bounds))
        self._bounds = bounds
        new.replace(self._directory / "bounds")

    def _delete(self, paths: list[Path]) -> None:
        self._files.close(*paths)
        for path in paths:
            path.unlink(missing_ok=True)


def _numbers(path: Path) -> tuple[int, int]:
    """Generation and first offset."""
    generation, _, base = path.stem.partition("-")
    return int(generation), int(base)


def _whole(data: bytes, batches: list[bytes]) -> int:
    """Add the whole batches of a file; how many bytes they are."""
    view = memoryview(data)
    at = 0
    while at + BATCH.size <= len(data):
        end = at + _BASE_AND_LENGTH.size + _BASE_AND_LENGTH.unpack_from(data, at)[1]
        if not at + BATCH.size <= end <= len(data) or data[at + _MAGIC_AT] != MAGIC:
            break
        if crc32c.crc32c(view[at + _CRC_FROM : end]) != _CRC.unpack_from(data, at + _CRC_AT)[0]:
            break
        batches.append(data[at:end])
        at = end
    return at
