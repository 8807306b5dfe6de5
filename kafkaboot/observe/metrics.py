"""Every metric's name, and what they are made of: happenings that are overheard, all of them off the success path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from kafkaboot.observe.prometheus import Exposition

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Edges of histograms: those that OpenTelemetry's messaging conventions (v1.44) ask for."""
STATES = {"closed": 0, "half-open": 1, "open": 2}


class Family(NamedTuple):
    """One metric, with its labels.

    Attributes:
        name: Without its prefix `kafkaboot_`, and a counter's without `_total`.
        kind: What it is.
        help: One line.
        labels: Their names; never an id, a key or an offset.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


RETRIES = Family("retries", "counter", "Failed attempts that are followed by another one", ("handler", "exception"))
LETTERS = Family("dead_letters", "counter", "Records written to the dead letters", ("handler", "exception"))
COMMITS = Family("commits", "counter", "Commits of offsets that were answered", ("group", "outcome"))
REBALANCES = Family("rebalances", "counter", "Partitions that came or went, by rebalance", ("group", "kind"))
CIRCUITS = Family("circuit_state", "gauge", "0: closed, 1: half-open, 2: open; from the first change on", ("circuit",))
TRANSACTIONS = Family("transactions", "counter", "Transactions that have ended", ("outcome",))
TRANSACTION_SECONDS = Family("transaction_seconds", "histogram", "How long transactions were open")
FAMILIES = (RETRIES, LETTERS, COMMITS, REBALANCES, CIRCUITS, TRANSACTIONS, TRANSACTION_SECONDS)


class Metrics:
    """Overhears what happens (`kafkaboot.hooks`) and counts it.

    Args:
        exposition: Keeps the figures and serves them.
    """

    def __init__(self, exposition: Exposition) -> None:
        self.exposition = exposition

    def on_failure(self, handler: str, where: str, error: BaseException, attempt: int, delay: float | None) -> None:  # noqa: ARG002
        """See `OnFailure`."""
        if delay is not None:
            self.exposition.count(RETRIES, handler, type(error).__name__)

    def on_dead_letter(self, handler: str, where: str, error: BaseException, letter: str) -> None:  # noqa: ARG002
        """See `OnDeadLetter`."""
        self.exposition.count(LETTERS, handler, type(error).__name__)

    def on_commit(self, group: str, offsets: list[tuple[str, int, int]], error: BaseException | None) -> None:  # noqa: ARG002
        """See `OnCommit`."""
        self.exposition.count(COMMITS, group, "failed" if error is not None else "committed")

    def on_rebalance(self, group: str, kind: str, partitions: list[tuple[str, int]]) -> None:
        """See `OnRebalance`."""
        if partitions:
            self.exposition.count(REBALANCES, group, kind)

    def on_circuit(self, circuit: str, state: str, reason: str) -> None:  # noqa: ARG002
        """See `OnCircuit`."""
        self.exposition.set(CIRCUITS, STATES[state], circuit)

    def on_transaction(self, outcome: str, seconds: float) -> None:
        """See `OnTransaction`. One that held nothing but offsets was open for no time."""
        self.exposition.count(TRANSACTIONS, outcome)
        if seconds > 0:
            self.exposition.observe(TRANSACTION_SECONDS, seconds)
