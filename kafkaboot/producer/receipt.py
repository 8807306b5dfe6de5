"""Where published records stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

if TYPE_CHECKING:
    from array import array


class Receipt(NamedTuple):
    """Where a published record stands.

    Attributes:
        topic: The topic.
        partition: The partition that the key or the partitioner chose.
        offset: Its offset there.
        timestamp: Milliseconds since the epoch as the broker keeps it, or `None`.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int | None


class Receipts(Sequence[Receipt]):
    """The receipts of a batch, in the order of its payloads.

    They stand in three arrays and become `Receipt`s when looked at: a hundred thousand objects that mostly nobody reads
    would cost the garbage collector a quarter of the throughput. `list(receipts)` makes them all.
    """

    __slots__ = ("_offsets", "_partitions", "_timestamps", "_topic")

    def __init__(self, topic: str, partitions: array[int], offsets: array[int], timestamps: array[int]) -> None:
        self._topic, self._partitions, self._offsets, self._timestamps = topic, partitions, offsets, timestamps

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> Receipt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Receipt]: ...
    def __getitem__(self, index: int | slice) -> Receipt | list[Receipt]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        stamp = self._timestamps[index]
        return Receipt(self._topic, self._partitions[index], self._offsets[index], stamp if stamp >= 0 else None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Receipts | list):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} receipts of {self._topic}>"
