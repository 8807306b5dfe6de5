"""The compacted topic beside a topic of letters: folds of its blocks, marks on letters, jobs, and what was done.

It has one partition, so that what is written later counts, whoever wrote it.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafkaboot.client import TP, TopicSpec
from kafkaboot.errors import PublishError
from kafkaboot.failure.replay.fold import Block
from kafkaboot.failure.replay.jobs import Action, Job
from kafkaboot.failure.replay.marks import Mark
from kafkaboot.failure.replay.reading import chunks
from kafkaboot.topics import naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kafkaboot.client import AdminPort, ProducerPort, ReaderPort
    from kafkaboot.message import RawRecord

TIMEOUT = 10.0
"""Seconds for one question to the cluster."""
DELIVERY = 30.0
"""Seconds in which the broker must have acknowledged what was sent."""
PRODUCER: dict[str, object] = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 5,
    "message.timeout.ms": int(DELIVERY * 1000),
}
"""What is sent from here stays in order, and is not doubled by the client's own attempts."""
CONFIG = {"cleanup.policy": "compact"}

Row = Block | Mark | Job | Action


@dataclass(slots=True)
class Contents:
    """What an index says.

    Attributes:
        blocks: By partition and number.
        marks: In the order in which they were written, by the keys of their rows.
        jobs: By name.
        actions: In the order in which they were done.
        strange: Rows that this version cannot read.
    """

    blocks: dict[tuple[int, int], Block] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    strange: int = 0

    def take(self, key: str, row: bytes | None) -> None:
        """Take one row in; a null value takes back what was said under that key."""
        kind = key.partition("/")[0]
        try:
            said = json.loads(row) if row else None
            if kind == "fold":
                _, partition, number = key.split("/")
                place = (int(partition), int(number))
                self.blocks.pop(place, None)
                if said is not None:
                    self.blocks[place] = Block.of_json(said)
            elif kind == "mark":
                self.marks.pop(key, None)  # what is written again is said last
                if said is not None:
                    self.marks[key] = Mark.of_json(said)
            elif kind == "job" and said is not None:
                job = Job.of_json(said)
                self.jobs[job.name] = job
            elif kind == "audit" and said is not None:
                self.actions[key] = Action.of_json(said)
            else:
                self.strange += said is not None
        except (ValueError, KeyError, TypeError, AttributeError):
            self.strange += 1

    def gone(self, begins: Mapping[int, int]) -> list[str]:
        """The keys of rows that speak only of letters before these offsets."""
        blocks = [key_of(one) for one in self.blocks.values() if one.covered <= begins.get(one.partition, 0)]
        return blocks + [key for key, one in self.marks.items() if one.last < begins.get(one.partition, 0)]


def key_of(row: Row) -> str:
    """The key under which a row stands."""
    if isinstance(row, Block):
        return f"fold/{row.partition}/{row.number}"
    if isinstance(row, Mark):
        first = min(min(offsets) for offsets in row.letters.values())
        return f"mark/{row.job}/{row.state}/{row.partition}@{first}"
    if isinstance(row, Job):
        return f"job/{row.name}"
    return f"audit/{uuid.uuid4().hex}"


def read(reader: ReaderPort, admin: AdminPort, letters: str) -> Contents:
    """All that the index of a topic of letters says.

    Raises:
        ClientError: The cluster does not answer.
    """
    tp = TP(naming.index(letters), 0)
    begins, ends = admin.begin_offsets([tp], TIMEOUT), admin.end_offsets([tp], TIMEOUT)
    contents = Contents()
    for chunk in chunks(reader, begins, ends):
        for record in chunk:
            contents.take(str(record.key() or b"", "utf-8", "replace"), record.value())
    return contents


def create(admin: AdminPort, letters: str) -> None:
    """Make the index's topic where it is missing."""
    admin.create_topics([TopicSpec(naming.index(letters), 1, -1, CONFIG)], TIMEOUT)


def write(producer: ProducerPort, letters: str, rows: Iterable[Row], gone: Iterable[str] = ()) -> None:
    """Write rows, take back those of the keys that are `gone`, and return when the broker has acknowledged it all.

    Raises:
        PublishError: One was not.
    """
    written = {key_of(row): json.dumps(row.as_json(), ensure_ascii=False).encode() for row in rows}
    send(producer, letters, {**dict.fromkeys(gone), **written})


def send(producer: ProducerPort, letters: str, rows: Mapping[str, bytes | None]) -> None:
    """Write rows by key, and wait for the broker's acknowledgement of all.

    Raises:
        PublishError: One was not acknowledged.
    """
    topic = naming.index(letters)
    answers: list[object | None] = []

    def answered(error: object | None, _: RawRecord) -> None:
        answers.append(error)

    for key, value in rows.items():
        hand_over(producer, topic, value, key.encode(), None, 0, answered)
    producer.flush(DELIVERY)
    refused = [error for error in answers if error is not None]
    if refused or len(answers) < len(rows):
        why = producer.translate(refused[0]).what if refused else "the broker did not answer in time"
        raise PublishError(
            f"{len(rows) - len(answers) + len(refused)} of {len(rows)} rows of the index were not written: {why}",
            where=topic,
            fate="the letters stand as they stood; what became of some of them may not be noted",
            todo="see whether the broker is up and this user may write to the topic; the same command goes on",
        )


def hand_over(
    producer: ProducerPort,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    headers: Any,
    partition: int,
    answered: Any,
) -> None:
    """Hand one record to the producer, and wait where it has no room.

    Raises:
        ClientError: Its client is lost.
    """
    while True:
        try:
            producer.produce(topic, value, key, headers, partition, answered)
        except BufferError:
            if (lost := producer.lost) is not None:
                raise lost from None
            producer.serve(0.1)
        else:
            return
