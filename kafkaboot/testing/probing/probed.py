"""What a probe found."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kafkaboot.errors import KafkabootError
from kafkaboot.failure.fingerprints import is_own
from kafkaboot.message import decoder, event_type, place

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import TP
    from kafkaboot.message import RawRecord
    from kafkaboot.testing.probing.capture import Captured

Outcome = Literal["returned", "filtered", "skipped", "undecodable", "raised"]


@dataclass(frozen=True, slots=True)
class Probed:
    """What became of the records, and what would have: nothing was published, nothing committed.

    Attributes:
        handler: The handler's id.
        where: Where it is defined.
        group: Its consumer group.
        records: What it was given.
        outcome: `returned`; `filtered` by its filter; `skipped` where it raised `Skip`; `undecodable` where it
            was not called because the record is not what it takes; `raised`, whatever its policy makes of that.
        error: What was raised, or `None`.
        returned: What it returned.
        published: What would have been published, in order.
        commits: The offsets that would have been committed, as soon as everything before them is settled.
        fate: What would have become of the record, in one sentence.
        delay: Seconds until the next attempt, where there would be one.
        logs: What was logged.
        seconds: What the call took.
        notes: What else is to be known, one sentence each.
    """

    handler: str
    where: str
    group: str
    records: Sequence[RawRecord]
    outcome: Outcome
    error: BaseException | None
    returned: Any
    published: Sequence[Captured]
    commits: Mapping[TP, int]
    fate: str
    delay: float | None
    logs: Sequence[logging.LogRecord]
    seconds: float
    notes: Sequence[str]

    @property
    def settled(self) -> bool:
        """Whether the records are done with as they are: handled, filtered or skipped."""
        return self.outcome in {"returned", "filtered", "skipped"}

    @property
    def places(self) -> str:
        """Where the records stand."""
        return ", ".join(place(one.topic(), one.partition(), one.offset()) for one in self.records)

    @property
    def traceback(self) -> str:
        """The traceback, with the frames of the application's own code only; empty where there are none."""
        if self.error is None or (isinstance(self.error, KafkabootError) and not _own_frames(self.error)):
            return ""
        shown = traceback.TracebackException.from_exception(self.error)
        one: traceback.TracebackException | None = shown
        while one is not None:
            one.stack = traceback.StackSummary.from_list([frame for frame in one.stack if is_own(frame.filename)])
            one = one.__cause__ or one.__context__
        return "".join(shown.format()).rstrip()

    def assert_settled(self) -> None:
        """The handler is done with the records: it returned, it raised `Skip`, or its filter kept them out.

        Raises:
            AssertionError: With what it raised; that exception is its cause.
        """
        if not self.settled:
            raise AssertionError(str(self)) from self.error

    def payloads(self, topic: str, kind: Any) -> list[Any]:
        """What would have been published to a topic, decoded; records of other types are passed over.

        Args:
            topic: The topic.
            kind: The payload's type.
        """
        from kafkaboot.declare import event_name

        decode, name = decoder(kind), event_name(kind)
        records = [one.record for one in self.published if one.record.topic() == topic]
        return [
            decode(record.value()) for record in records if name is None or event_type(record.headers()) in {name, None}
        ]

    def __str__(self) -> str:
        said = f"handler {self.handler} ({self.where}): {self.places} {self.outcome}"
        if self.error is not None:
            said = f"{said}: {type(self.error).__name__}: {self.error}"
        return "\n".join([said, f"  {self.fate}", *(f"  {note}" for note in self.notes)])


def _own_frames(error: BaseException) -> bool:
    return any(is_own(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__))
