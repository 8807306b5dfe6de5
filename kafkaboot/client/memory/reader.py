"""Reads partitions from any place, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafkaboot.client.memory.kafka import MemoryKafka
    from kafkaboot.client.ports import TP
    from kafkaboot.message import RawRecord


class MemoryReader:
    """`ReaderPort` on a `MemoryKafka`. A poll never waits."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka
        self._positions: dict[TP, int] = {}

    @property
    def positions(self) -> Mapping[TP, int]:
        """See `ReaderPort`."""
        return self._positions

    def begin(self, offsets: Mapping[TP, int]) -> None:
        """See `ReaderPort`."""
        self._positions = dict(offsets)

    def poll(self, limit: int, timeout: float) -> list[RawRecord]:  # noqa: ARG002 - it never waits
        """See `ReaderPort`."""
        found: list[RawRecord] = []
        with self._kafka.lock:
            self._kafka.end_old_transactions()
            for tp, position in self._positions.items():
                log = self._kafka.log(tp)
                wanted = limit - len(found)
                read = log.read(max(position, log.start), wanted)
                found += read
                self._positions[tp] = read[-1].offset() + 1 if len(read) == wanted else max(position, log.stable)
                if len(found) >= limit:
                    break
        return found

    def close(self) -> None:
        """See `ReaderPort`."""
