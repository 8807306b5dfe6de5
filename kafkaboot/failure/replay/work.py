"""The job itself: letters read by a group of its own, sent, acknowledged, marked, and only then committed.

A kill at any moment loses nothing: what was not committed is read again. It repeats at most the batch that was sent and
not marked yet; a batch that was marked is left out, though its commit is missing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kafkaboot.client import TP, Committed
from kafkaboot.errors import ClientError, PublishError
from kafkaboot.failure.letter import read as read_letter
from kafkaboot.failure.replay import index
from kafkaboot.failure.replay.index import DELIVERY, TIMEOUT, hand_over
from kafkaboot.failure.replay.jobs import FINISHED, STOPPED
from kafkaboot.failure.replay.marks import Marking
from kafkaboot.failure.replay.routes import outgoing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client import ClientFactory, ConsumerPort, ProducerPort
    from kafkaboot.failure.letter import Letter
    from kafkaboot.failure.replay.jobs import Job
    from kafkaboot.failure.replay.marks import States
    from kafkaboot.failure.replay.routes import Route, Router
    from kafkaboot.message import RawRecord

BATCH = 500
"""Letters that are sent before one commit."""
LOOK = 0.2
"""Seconds that one look waits for letters."""
SILENCE = 20.0
"""Seconds without a letter after which the topic is asked whether there are any left."""
GIVE_UP = 90.0
"""Seconds without a letter after which the job stops: a group that another process has just left may take as long."""


@dataclass(slots=True)
class Progress:
    """How far a job has come.

    Attributes:
        job: The job.
        counts: How many letters by their new state, earlier runs of the same job included.
        left: How many were left as they are, in this run, by the reason.
        state: `running`, `stopped` or `finished`.
    """

    job: Job
    counts: dict[str, int]
    left: dict[str, int] = field(default_factory=dict)
    state: str = "running"

    @property
    def done(self) -> int:
        """Letters that something was done with."""
        return sum(self.counts.values())


@dataclass(slots=True)
class Worker:
    """Does a job.

    Attributes:
        clients: Makes its consumer and its producer.
        letters: The topic of letters.
        job: What is to be done.
        router: Where each letter's record goes.
        states: What had become of letters when it began.
        rate: Records a second at most.
        stopping: Answers whether it is to end after the batch at work.
        heard: Told after each batch.
        by: Who does it.
    """

    clients: ClientFactory
    letters: str
    job: Job
    router: Router
    states: States
    by: str
    rate: float | None = None
    stopping: Callable[[], bool] = lambda: False
    heard: Callable[[Progress], None] = lambda _: None

    def run(self) -> Progress:
        """Do it, from where the job stands to its end.

        Raises:
            PublishError: A record was not acknowledged: it stands before the job's place, and is sent when it goes on.
            ClientError: The cluster does not answer, or another process does this job now.
        """
        progress = Progress(self.job, self.states.done_by(self.job.name))
        consumer = self.clients.consumer(self.job.group(self.letters), self._properties())
        producer = self.clients.producer(index.PRODUCER)
        try:
            self._all(consumer, producer, progress)
        finally:
            producer.close(TIMEOUT)
            consumer.close(TIMEOUT)
        return progress

    def _properties(self) -> dict[str, object]:
        return {
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "group.protocol": "classic",
            # Whoever comes with the same name takes over at once, from a dead process without waiting for its session
            # to run out; a living one is told by its next commit.
            "group.instance.id": f"redrive-{self.job.name}",
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": 16_384,
        }

    def _all(self, consumer: ConsumerPort, producer: ProducerPort, progress: Progress) -> None:
        place = _Place(consumer, self.letters, self.job)
        consumer.subscribe([self.letters], place)
        size = BATCH if self.rate is None else max(1, min(BATCH, int(self.rate)))
        heard_last = time.monotonic()
        asked = False
        resting: set[TP] = set()
        while not place.reached():
            if self.stopping():
                progress.state = STOPPED
                return
            if more := place.resting() - resting:
                consumer.pause(sorted(more))
                resting |= more
            began = time.monotonic()
            batch = [record for record in consumer.poll_chunk(size, LOOK) if place.wants(record)]
            if batch:
                self._batch(consumer, producer, batch, place, progress)
                heard_last, asked = time.monotonic(), False
                if self.rate is not None:
                    self._wait(began + len(batch) / self.rate)
            elif not asked and time.monotonic() - heard_last > SILENCE:
                asked = True
                self._skip_deleted(place)
            elif time.monotonic() - heard_last > GIVE_UP:
                raise _silent(self.letters, self.job)
        progress.state = FINISHED

    def _batch(
        self,
        consumer: ConsumerPort,
        producer: ProducerPort,
        batch: Sequence[RawRecord],
        place: _Place,
        progress: Progress,
    ) -> None:
        routed = []
        for record in batch:
            letter = read_letter(record)
            if self.job.errand.selection.takes(letter, self.states.of(letter.partition, letter.offset)):
                route = self.router.route(letter)
                if route.state:
                    routed.append((letter, route))
                else:
                    progress.left[route.why] = progress.left.get(route.why, 0) + 1
        refused = _send(producer, routed)
        marking = Marking(self.job.name, self.by)
        for number, (letter, route) in enumerate(routed):
            if number not in refused:
                marking.add(letter.partition, letter.offset, letter.fingerprint, route.state)
                progress.counts[route.state] = progress.counts.get(route.state, 0) + 1
        if marking.letters:
            index.write(producer, self.letters, marking.marks(int(time.time() * 1000)))
        if refused:
            raise _unsent(self.letters, self.job, routed, refused)
        place.taken(batch)
        try:
            consumer.commit(place.offsets(), None)
        except ClientError as error:
            if error.fatal:
                raise _taken_over(self.letters, self.job) from error
            raise
        self.heard(progress)

    def _wait(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0 and not self.stopping():
            time.sleep(min(left, 0.1))

    def _skip_deleted(self, place: _Place) -> None:
        """Retention may have deleted letters that the job still waits for."""
        admin = self.clients.admin()
        try:
            partitions = [TP(self.letters, partition) for partition in self.job.ends]
            place.begins_now(admin.begin_offsets(partitions, TIMEOUT))
        finally:
            admin.close()


class _Place:
    """Where the job stands on each partition; it starts them there."""

    def __init__(self, consumer: ConsumerPort, letters: str, job: Job) -> None:
        self._consumer, self._letters = consumer, letters
        self._begins, self._ends = job.begins, job.ends
        self._next: dict[int, int] = {}
        self._idle: set[TP] = set()

    def assigned(self, partitions: Sequence[TP]) -> Mapping[TP, int]:
        """See `RebalanceListener`."""
        self._idle = {tp for tp in partitions if tp.partition not in self._ends}
        committed = self._consumer.committed(partitions, TIMEOUT)
        for tp in partitions:
            if tp.partition in self._ends:
                at = committed[tp].offset
                self._next[tp.partition] = self._begins[tp.partition] if at is None else at
        return {tp: self._next[tp.partition] for tp in partitions if tp.partition in self._next}

    def revoked(self, partitions: Sequence[TP]) -> None:
        """Each batch is committed before the next poll: nothing is left to do."""

    def lost(self, partitions: Sequence[TP]) -> None:
        """The next commit is refused, and says so."""

    def resting(self) -> set[TP]:
        """Partitions of which nothing more is wanted."""
        done = {TP(self._letters, one) for one, end in self._ends.items() if self._next.get(one, -1) >= end}
        return self._idle | done

    def reached(self) -> bool:
        """Whether the job's end is."""
        return all(self._next.get(partition, -1) >= end for partition, end in self._ends.items())

    def wants(self, record: RawRecord) -> bool:
        """Whether a record stands within the job's bounds and before nothing that is done."""
        partition = record.partition()
        return partition in self._ends and self._next.get(partition, 0) <= record.offset() < self._ends[partition]

    def taken(self, batch: Sequence[RawRecord]) -> None:
        """These are done."""
        for record in batch:
            self._next[record.partition()] = record.offset() + 1

    def begins_now(self, begins: Mapping[TP, int]) -> None:
        """The topic begins here now."""
        for tp, begin in begins.items():
            self._next[tp.partition] = max(self._next.get(tp.partition, 0), begin)

    def offsets(self) -> dict[TP, Committed]:
        """What is to be committed."""
        return {TP(self._letters, partition): Committed(at) for partition, at in self._next.items()}


def _send(producer: ProducerPort, routed: Sequence[tuple[Letter, Route]]) -> dict[int, object]:
    """Send, and wait for all acknowledgements; answers what was refused by its number."""
    answers: dict[int, object | None] = {}
    for number, (letter, route) in enumerate(routed):
        if not route.topic:
            answers[number] = None
            continue

        def answered(error: object | None, _: RawRecord, number: int = number) -> None:
            answers[number] = error

        headers = letter.headers if route.state == "parked" else outgoing(letter)
        hand_over(producer, route.topic, letter.value, letter.key, headers, route.partition, answered)
    producer.flush(DELIVERY + TIMEOUT)
    refused: dict[int, object] = {}
    for number in range(len(routed)):
        error = answers.get(number, "the broker did not answer in time")
        if error is not None:
            refused[number] = producer.translate(error).what
    return refused


def _unsent(
    letters: str, job: Job, routed: Sequence[tuple[Letter, Route]], refused: Mapping[int, object]
) -> PublishError:
    number, why = next(iter(refused.items()))
    letter, route = routed[number]
    return PublishError(
        f"{len(refused)} of {len(routed)} records were not taken, the first by {route.topic}: {why}",
        where=letter.where,
        fate=f"nothing is lost: job {job.name} stands before them, and the others of their batch are marked as done",
        todo=f"mend the cause, and let it go on: kafkaboot dlq replay {letters} --job {job.name}",
    )


def _taken_over(letters: str, job: Job) -> ClientError:
    return ClientError(
        f"another process does job {job.name} now",
        code="FENCED_INSTANCE_ID",
        fatal=True,
        where=letters,
        fate="the batch at work was sent and marked; the other process goes on behind it or sends it once more",
        todo="let the other process finish, or end it and call this command again",
    )


def _silent(letters: str, job: Job) -> ClientError:
    return ClientError(
        f"no letter came for {GIVE_UP:g} s, and job {job.name} is not at its end",
        code="_TIMED_OUT",
        retriable=True,
        where=letters,
        fate="nothing is lost: the job stands where it stood",
        todo=f"see whether the broker is up and who is in group {job.group(letters)}, and call the command again",
    )
