"""What may be overheard: one small protocol per happening. Listeners run off the success path and must not block."""

from __future__ import annotations

from typing import Protocol


class OnFailure(Protocol):
    """A handler raised. The record is kept and tried again in its lane."""

    def on_failure(self, handler: str, where: str, error: BaseException, attempt: int, delay: float) -> None:
        """`where` is `topic[partition]@offset`; `delay` the seconds until the next attempt."""


class OnRebalance(Protocol):
    """Partitions came or went."""

    def on_rebalance(self, group: str, kind: str, partitions: list[tuple[str, int]]) -> None:
        """`kind` is `assigned`, `revoked` or `lost`."""


class OnCommit(Protocol):
    """A commit was answered."""

    def on_commit(self, group: str, offsets: list[tuple[str, int, int]], error: BaseException | None) -> None:
        """`offsets` are `(topic, partition, next offset)`."""
