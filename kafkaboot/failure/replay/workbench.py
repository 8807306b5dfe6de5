"""All that can be done with dead letters, in one place: the command line and a page both only call this."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kafkaboot.client import TP, TopicSpec
from kafkaboot.errors import ClientError, KafkabootError, PublishError
from kafkaboot.failure.letter import read as read_letter
from kafkaboot.failure.replay import catalogue as catalogues
from kafkaboot.failure.replay import index, plan, purge
from kafkaboot.failure.replay.jobs import FINISHED, NAME, STOPPED, Action, Errand, Job, author, new_name
from kafkaboot.failure.replay.keeper import refresh
from kafkaboot.failure.replay.marks import EDITED, Marking
from kafkaboot.failure.replay.reading import chunks
from kafkaboot.failure.replay.routes import Router, outgoing
from kafkaboot.failure.replay.selection import Place, Selection
from kafkaboot.failure.replay.work import Progress, Worker
from kafkaboot.topics import naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from kafkaboot.client import ClientFactory, TopicInfo
    from kafkaboot.failure.letter import Letter
    from kafkaboot.failure.replay.catalogue import Catalogue
    from kafkaboot.failure.replay.marks import Mark
    from kafkaboot.failure.replay.plan import Plan
    from kafkaboot.failure.replay.purge import Purge

ASKING = 3.0
"""Seconds in which a group must tell of its members."""
PARKING = {"retention.ms": "-1"}
"""Parked letters stay until somebody decides."""


class WorkbenchError(KafkabootError):
    """What was asked for cannot be done with these letters."""


class Workbench:
    """Works on one topic of letters.

    Args:
        clients: Makes clients of the cluster.
        topic: The topic of letters.
        by: Who works; the system's user and host unless given.
        heard: Called with the letters read and those to be read, while something is counted.
    """

    def __init__(
        self,
        clients: ClientFactory,
        topic: str,
        *,
        by: str | None = None,
        heard: Callable[[int, int], None] | None = None,
    ) -> None:
        self.topic = topic
        self.by = by or author()
        self._clients, self._heard = clients, heard
        self._admin = clients.admin()
        self._reader = clients.reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._reader.close()
        self._admin.close()

    # --- looking

    def catalogue(self) -> Catalogue:
        """The letters by cause, from the index and the short tail that it does not know yet.

        Raises:
            MissingTopicError: There is no such topic.
            ClientError: The cluster does not answer.
        """
        return catalogues.load(self._reader, self._admin, self.topic, self._heard)

    def known(self) -> Catalogue:
        """What has been done with letters: states, jobs and actions. No letter is read, and none is counted.

        Raises:
            MissingTopicError: There is no such topic.
            ClientError: The cluster does not answer.
        """
        return catalogues.look(self._reader, self._admin, self.topic)

    def refresh(self) -> Catalogue:
        """The same, and the index is brought up to date, or made.

        Raises:
            MissingTopicError: There is no such topic.
            ClientError: The cluster does not answer, or refuses.
        """
        return refresh(self._clients, self.topic, self._heard)

    def letter(self, place: Place) -> Letter:
        """One letter.

        Raises:
            MissingTopicError: There is no such topic.
            WorkbenchError: There is no such letter.
            ClientError: The cluster does not answer.
        """
        known = catalogues.existing(self._admin.topics(index.TIMEOUT), self.topic)
        tp = TP(self.topic, place.partition)
        where = f"{self.topic}[{place.partition}]@{place.offset}"
        if place.partition >= known.partitions:
            raise WorkbenchError(
                f"there is no partition {place.partition}",
                where=where,
                todo=f"the topic has partitions 0 to {known.partitions - 1}",
            )
        begin = self._admin.begin_offsets([tp], index.TIMEOUT)[tp]
        end = self._admin.end_offsets([tp], index.TIMEOUT)[tp]
        if begin <= place.offset < end:
            for chunk in chunks(self._reader, {tp: place.offset}, {tp: place.offset + 1}):
                return read_letter(chunk[0])
        there = f"the partition holds offsets {begin} to {end - 1}" if begin < end else "the partition is empty"
        raise WorkbenchError("there is no such letter", where=where, todo=there)

    def mark(self, place: Place) -> Mark | None:
        """What has become of a letter; `None` for a new one."""
        return self.known().states.mark(*place)

    # --- planning

    def plan(self, errand: Errand, found: Catalogue | None = None) -> Plan:
        """Count what an errand comes to; nothing is touched.

        Raises:
            MissingTopicError: There is no such topic.
            ClientError: The cluster does not answer.
        """
        found = found or self.catalogue()
        return plan.draw(found, self._reader, errand, Router(self.topic, errand, self._topics()), self._heard)

    def absent(self, groups: Iterable[str]) -> list[str]:
        """Those of the groups that have no member now: nobody takes what is sent to their topics.

        One that cannot be asked (no permission, a coordinator that is away) is not among them.
        """
        return [group for group in sorted(groups) if group and self._members(group) == 0]

    def unfinished(self, errand: Errand, found: Catalogue) -> Job | None:
        """The latest job of the same errand that has not come to its end."""
        same = [job for job in found.contents.jobs.values() if job.errand == errand and job.state != FINISHED]
        return max(same, key=lambda job: job.began, default=None)

    # --- doing

    def begin(self, counted: Plan, found: Catalogue, name: str | None = None) -> Job:
        """Make a job of a plan; `work` does it.

        Raises:
            WorkbenchError: The name cannot be used.
            ClientError: The cluster refuses.
        """
        name = name or new_name()
        if not NAME.fullmatch(name):
            raise WorkbenchError(
                f"{name!r} is no name for a job", todo="use up to 100 letters, digits, dots, dashes and underscores"
            )
        if name in found.contents.jobs:
            raise WorkbenchError(
                f"there is a job {name!r} already, {found.contents.jobs[name].state}",
                where=self.topic,
                todo="choose another name; a job that has not finished goes on when nothing but its name is given",
            )
        self._ready(found)
        job = Job(name, counted.errand, self.by, _now(), counted.begins, counted.ends, counted.selected)
        self._write(found.folded, [job, self._did(f"{counted.errand.deed} began", counted.as_json(), job=name)])
        return job

    def work(
        self,
        job: Job,
        *,
        rate: float | None = None,
        stopping: Callable[[], bool] = lambda: False,
        heard: Callable[[Progress], None] = lambda _: None,
    ) -> Progress:
        """Do a job, or go on with it.

        Args:
            job: The job, begun now or earlier.
            rate: Records a second at most.
            stopping: Answers whether to end after the batch at work.
            heard: Told after each batch.

        Raises:
            PublishError: A record was not acknowledged.
            ClientError: The cluster does not answer, or another process does this job now.
        """
        found = self.known()
        topics = self._topics()
        parking = naming.parking(self.topic)
        if parking not in topics and job.errand.deed != "resolve" and not naming.is_parking(self.topic):
            self._admin.create_topics([TopicSpec(parking, len(found.ends), -1, PARKING)], index.TIMEOUT)
        worker = Worker(
            self._clients,
            self.topic,
            job,
            Router(self.topic, job.errand, topics),
            found.states,
            self.by,
            rate,
            stopping,
            heard,
        )
        try:
            progress = worker.run()
        except KafkabootError as error:
            # Where this cannot be noted either, the job stands as a kill leaves it, and the first error is told.
            with suppress(KafkabootError):
                self._end(job, STOPPED, self.known().states.done_by(job.name), {"error": error.line})
            raise
        self._end(job, progress.state, progress.counts, {"left": progress.left})
        return progress

    def send_edited(
        self,
        letter: Letter,
        value: bytes | None,
        to: str | None = None,
        headers: Mapping[str, bytes | None] | None = None,
    ) -> str:
        """Send a letter's record with another value to where it came from; answers where it stands.

        Args:
            letter: The letter.
            value: The new value.
            to: The topic, in place of the one that it came from.
            headers: Headers that take the place of those of the same name; `None` takes one away.

        Raises:
            WorkbenchError: There is no topic to send it to.
            PublishError: It was not taken.
        """
        place = Place(letter.partition, letter.offset)
        errand = Errand("redrive", Selection(record=place, states=()), to)
        route = Router(self.topic, errand, self._topics()).source(letter)
        if not route.topic:
            raise WorkbenchError(f"the letter {route.why}", where=letter.where, fate="nothing was sent")
        found = self.known()
        self._ready(found)
        where: list[str] = []
        refused: list[Any] = []

        def answered(error: object | None, record: Any) -> None:
            if error is None:
                where.append(f"{record.topic()}[{record.partition()}]@{record.offset()}")
            else:
                refused.append(error)

        producer = self._clients.producer(index.PRODUCER)
        try:
            sent = outgoing(letter, self.by, headers)
            index.hand_over(producer, route.topic, value, letter.key, sent, route.partition, answered)
            producer.flush(index.DELIVERY + index.TIMEOUT)
            if not where:
                why = producer.translate(refused[0]).what if refused else "the broker did not answer in time"
                raise PublishError(
                    f"{route.topic} did not take the edited record: {why}",
                    where=letter.where,
                    fate="the letter stands as it stood",
                    todo="mend the cause, and edit it again",
                )
            name = f"edit-{new_name()}"
            marking = Marking(name, self.by)
            marking.add(letter.partition, letter.offset, letter.fingerprint, EDITED)
            did = self._did("edit", {"letter": letter.where, "sent": where[0]})
            index.write(producer, self.topic, [*marking.marks(_now()), did])
        finally:
            producer.close(index.TIMEOUT)
        return where[0]

    def purgeable(self, selection: Selection, found: Catalogue) -> Purge:
        """Which letters can be deleted; nothing is touched.

        Raises:
            ClientError: The cluster does not answer.
        """
        return purge.draw(found, self._reader, selection, self._heard)

    def purge(self, found: Catalogue, counted: Purge) -> None:
        """Delete them.

        Raises:
            ClientError: The cluster refuses.
        """
        self._ready(found)
        gone = purge.delete(found, self._admin, counted)
        self._write([self._did("purge", counted.as_json())], gone=gone)

    # --- inside

    def _members(self, group: str) -> int | None:
        try:
            return self._admin.group_members(group, ASKING)
        except ClientError:
            return None  # a word of warning less; nobody is kept from sending by it

    def _topics(self) -> dict[str, TopicInfo]:
        return self._admin.topics(index.TIMEOUT)

    def _ready(self, found: Catalogue) -> None:
        if not found.indexed:
            index.create(self._admin, self.topic)
            found.indexed = True

    def _did(self, what: str, details: dict[str, Any], **more: Any) -> Action:
        return Action(_now(), self.by, what, {**details, **more})

    def _end(self, job: Job, state: str, counts: dict[str, int], details: dict[str, Any]) -> None:
        did = self._did(f"{job.errand.deed} {state}", {"job": job.name, "counts": counts, **details})
        self._write([job.ended(state, counts), did])

    def _write(self, *several: Iterable[index.Row], gone: Iterable[str] = ()) -> None:
        producer = self._clients.producer(index.PRODUCER)
        try:
            index.write(producer, self.topic, [row for rows in several for row in rows], gone)
        finally:
            producer.close(index.TIMEOUT)


def _now() -> int:
    return int(time.time() * 1000)
