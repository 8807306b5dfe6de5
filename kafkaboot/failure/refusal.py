"""Requests that are given up: their askers are told, rather than left to wait until their time is over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kafkaboot.consumer import Away, Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.consumer import Failed, Verdict
    from kafkaboot.consumer.route import Failing
    from kafkaboot.message import RawRecord


@dataclass(frozen=True, slots=True)
class Refusing:
    """A `Failing` of a handler with `reply=True`: the verdicts of another one, and a word to the asker with the last.

    A dead letter's asker is told when the letter is written: until then the record may still be handled again.

    Attributes:
        failing: What decides.
        refuse: Tells the asker; it neither blocks nor raises.
    """

    failing: Failing
    refuse: Callable[[RawRecord, BaseException], None]

    def judge(self, failed: Failed) -> Verdict:
        """See `Failing`."""
        verdict = self.failing.judge(failed)
        if isinstance(verdict, Settled):
            self.refuse(failed.record, failed.error)
        elif isinstance(verdict, Away) and verdict.why == "dead_lettered":
            return verdict._replace(send=partial(self._send, verdict, failed))
        return verdict

    def _send(self, verdict: Away, failed: Failed, settled: Callable[[], None], wanted: Callable[[], bool]) -> None:
        def written() -> None:
            self.refuse(failed.record, failed.error)
            settled()

        verdict.send(written, wanted)
