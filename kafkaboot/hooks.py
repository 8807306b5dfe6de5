"""What may be overheard: one small protocol per happening. Listeners run off the success path and must not block."""

from __future__ import annotations

from typing import Protocol


class OnFailure(Protocol):
    """A handler raised."""

    def on_failure(self, handler: str, where: str, error: BaseException, attempt: int, delay: float | None) -> None:
        """`where` is `topic[partition]@offset`; `delay` the seconds until the next attempt, `None` after the last."""


class OnRebalance(Protocol):
    """Partitions came or went."""

    def on_rebalance(self, group: str, kind: str, partitions: list[tuple[str, int]]) -> None:
        """`kind` is `assigned`, `revoked` or `lost`."""


class OnCommit(Protocol):
    """A commit was answered."""

    def on_commit(self, group: str, offsets: list[tuple[str, int, int]], error: BaseException | None) -> None:
        """`offsets` are `(topic, partition, next offset)`."""


class OnDeadLetter(Protocol):
    """A record was written to the dead letters, and the broker has acknowledged it."""

    def on_dead_letter(self, handler: str, where: str, error: BaseException, letter: str) -> None:
        """`where` is the record's `topic[partition]@offset`, `letter` that of its dead letter."""


class OnTransaction(Protocol):
    """A transaction has ended."""

    def on_transaction(self, outcome: str, seconds: float) -> None:
        """`outcome` is `committed`, `aborted` or `unknown`, `seconds` how long it was open."""


class OnCircuit(Protocol):
    """A circuit changed its state."""

    def on_circuit(self, circuit: str, state: str, reason: str) -> None:
        """`state` is `closed`, `open` or `half-open`."""
