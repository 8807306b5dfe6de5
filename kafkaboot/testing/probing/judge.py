"""What would have become of the records, by the handler's own policy. Nothing of it is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.client import TP
from kafkaboot.consumer.route import Again, Away, Failed, Settled
from kafkaboot.errors import BatchFailed, Skip, UndecodableError
from kafkaboot.failure import Refusing
from kafkaboot.message import place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.consumer import Route
    from kafkaboot.message import RawRecord
    from kafkaboot.testing.probing.probed import Outcome


class Judged(NamedTuple):
    """See `Probed`."""

    outcome: Outcome
    error: BaseException | None
    commits: dict[TP, int]
    fate: str
    delay: float | None = None


def judged(route: Route, records: Sequence[RawRecord], error: BaseException | None) -> Judged:
    """What became of a call, and what would become of its records."""
    filtered = route.counters.filtered
    if error is None:
        some = f"; its filter kept {filtered} out" if filtered else ""
        if filtered == len(records):
            return Judged(
                "filtered", None, _commits(records), "settled without a call: the handler's filter keeps it out"
            )
        return Judged("returned", None, _commits(records), f"settled{some}")
    failed, before, cause = records[0], records[:0], error
    if isinstance(error, BatchFailed) and 0 <= error.index < len(records):
        failed, before, cause = records[error.index], records[: error.index], error.cause
    elif len(records) > 1:
        fate = "the batch would be halved and tried again, until the record that fails is alone"
        return Judged("raised", error, {}, fate)
    outcome: Outcome = "undecodable" if isinstance(cause, UndecodableError) else "raised"
    at = place(failed.topic(), failed.partition(), failed.offset())
    if not isinstance(cause, Exception):
        fate = f"the application would end: {type(cause).__name__} is no ordinary exception; {at} is kept"
        return Judged(outcome, cause, _commits(before), fate)
    failing, told = route.failing, ""
    if isinstance(failing, Refusing):  # whose verdict would be carried out in part at once
        failing, told = failing.failing, "; the asker would be told"
    verdict = failing.judge(Failed(failed, cause, 1, time.time()))
    through = [*before, failed]
    if isinstance(verdict, Again):
        behind = {"partition": "its partition", "key": "its key", "unordered": "nothing"}[route.ordering]
        fate = f"{at} would be tried again in about {verdict.delay:.1f} s; meanwhile {behind} waits"
        return Judged(outcome, cause, _commits(before), fate, verdict.delay)
    if isinstance(verdict, Settled):
        said: Outcome = "skipped" if isinstance(cause, Skip) else outcome
        return Judged(
            said, cause, _commits(through), f"{at} would be {verdict.why.replace('_', ' ')}, and settled{told}"
        )
    if isinstance(verdict, Away):
        told = told if verdict.why == "dead_lettered" else ""
        fate = f"{at}: {verdict.fate}; its offset follows once the broker has it there{told}"
        return Judged(outcome, cause, _commits(through), fate)
    return Judged(outcome, cause, _commits(before), f"the application would stop, and keep {at}: so its policy says")


def _commits(records: Sequence[RawRecord]) -> dict[TP, int]:
    """The next offset to read, by partition."""
    offsets: dict[TP, int] = {}
    for record in records:
        at = TP(record.topic(), record.partition())
        offsets[at] = max(offsets.get(at, 0), record.offset() + 1)
    return offsets
