"""One tree of errors. Each says what happened, where, what became of the record, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence


class KafkabootError(Exception):
    """The root of everything that kafkaboot raises.

    Args:
        what: What happened, in one sentence.
        where: A file and line, or a topic, partition and offset.
        fate: What became of the record, where there is one.
        todo: What the reader can do about it.

    `retriable` says whether the same call may succeed later without anybody changing anything.
    """

    retriable: bool = False

    def __init__(self, what: str, *, where: str = "", fate: str = "", todo: str = "") -> None:
        self.what, self.where, self.fate, self.todo = what, where, fate, todo
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return "\n  ".join(part for part in (head, self.fate, self.todo and f"To do: {self.todo}") if part)

    @property
    def line(self) -> str:
        """The same on one line, for logs."""
        return "; ".join(str(self).splitlines()).replace(";   ", "; ")


class ConfigurationError(KafkabootError):
    """The configuration cannot be used; `kafkaboot run` ends with exit code 3."""


class DeclarationError(KafkabootError):
    """A decorated object cannot mean what it says: a handler that cannot be wired, an id used twice."""


class WiringError(KafkabootError):
    """The graph of components has a hole, a choice or a circle in it; the path is drawn in the text."""


class ClientError(KafkabootError):
    """Kafka, or the way to it, answered with an error.

    Args:
        what: What happened.
        code: Kafka's or librdkafka's name of the error, for example `TOPIC_AUTHORIZATION_FAILED`.
        retriable: Whether the same call may succeed later.
        fatal: Whether the client that raised it must be thrown away.
        where: See `KafkabootError`.
        fate: See `KafkabootError`.
        todo: See `KafkabootError`.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str = "",
        retriable: bool = False,
        fatal: bool = False,
        where: str = "",
        fate: str = "",
        todo: str = "",
    ) -> None:
        super().__init__(what, where=where, fate=fate, todo=todo)
        self.code, self.retriable, self.fatal = code, retriable, fatal


class BrokerUnreachableError(ClientError):
    """No broker answered; `kafkaboot run` ends with exit code 4."""


class PublishError(ClientError):
    """A record was not delivered."""


class BatchPublishError(PublishError):
    """Some records of a batch were not delivered.

    Attributes:
        failed: `(index, error)` for each payload that was not delivered; all the others were.
        receipts: One `Receipt` for each payload that was delivered, `None` where it was not.
    """

    def __init__(self, what: str, *, failed: list[tuple[int, Exception]], receipts: list[object | None]) -> None:
        super().__init__(what, todo="publish the failed payloads again; the others are delivered")
        self.failed, self.receipts = failed, receipts


class TransactionError(ClientError):
    """A transaction is not committed, or nobody knows whether it is.

    Args:
        what: What happened.
        outcome: `aborted`: no reader of committed records sees any of it. `unknown`: the commit was sent, its answer
            never came, and reading did not tell either. `none`: there was no transaction to publish in. `open`: a
            port's own word for "abort it now".
        fenced: Whether another producer has taken over the transactional id, so that this process is to end.
        failed: The errors of the records that were not delivered, where that is the reason.
        code: See `ClientError`.
        retriable: Whether the same transaction may succeed when it is done again from its beginning.
        fatal: Whether the client must be thrown away.
        todo: See `KafkabootError`.
    """

    def __init__(
        self,
        what: str,
        *,
        outcome: Literal["none", "open", "aborted", "unknown"],
        fenced: bool = False,
        failed: Sequence[Exception] = (),
        code: str = "",
        retriable: bool = False,
        fatal: bool = False,
        where: str = "",
        todo: str = "",
    ) -> None:
        super().__init__(
            what, code=code, retriable=retriable, fatal=fatal, where=where, fate=_FATES[outcome], todo=todo
        )
        self.outcome, self.fenced, self.failed = outcome, fenced, list(failed)

    def decide(self, outcome: Literal["aborted", "unknown"]) -> None:
        """It is known now what became of the transaction."""
        self.outcome, self.fate = outcome, _FATES[outcome]


_FATES = {
    "none": "nothing was published",
    "open": "the transaction is open and has to be aborted",
    "aborted": "the transaction is aborted: none of its records is visible to readers of committed records",
    "unknown": "whether the transaction is committed is not known; either all of its records are visible or none",
}


class RequestError(KafkabootError):
    """A request has no answer. Raised as one of its kinds.

    Args:
        what: What happened.
        topic: Where the request went.
        request_id: What its answer would carry as `kb-request-id`.
        fate: See `KafkabootError`.
        todo: See `KafkabootError`.
    """

    def __init__(self, what: str, *, topic: str, request_id: str, fate: str = "", todo: str = "") -> None:
        super().__init__(what, where=f"{topic} (request {request_id})", fate=fate, todo=todo)
        self.topic, self.request_id = topic, request_id


class RequestTimeoutError(RequestError, TimeoutError):
    """No answer came in time. What became of the request is not known; an answer that still comes is dropped."""

    retriable = True


class RequestFailedError(RequestError):
    """Whoever handles the topic gave the request up, and said so.

    Args:
        what: What happened.
        kind: The name of the class of what was raised there.
        text: Its text; empty where that side does not tell it.
        traceback: Its frames, where that side tells them.
        topic: See `RequestError`.
        request_id: See `RequestError`.
    """

    def __init__(
        self, what: str, *, kind: str, text: str, topic: str, request_id: str, traceback: str = "", todo: str = ""
    ) -> None:
        super().__init__(
            what, topic=topic, request_id=request_id, todo=todo, fate="it was taken, and it will not be tried again"
        )
        self.kind, self.text, self.traceback = kind, text, traceback


class RequestAbandonedError(RequestError):
    """The producer was closed, or the application stopped, while the answer was waited for."""


class UndecodableError(KafkabootError):
    """A record's bytes are not what its handler's annotation asks for. The same bytes never decode later."""


class UnencodableError(KafkabootError):
    """A payload cannot become a record's value. Nothing was published."""


class BatchFailed(KafkabootError):  # noqa: N818 - a signal, named as a handler reads it
    """Raised by a batch handler to say which record failed: those before it are settled, it is tried again alone.

    Args:
        index: The failed record's place in the list that the handler was given.
        cause: What went wrong with it.
    """

    def __init__(self, index: int, cause: BaseException) -> None:
        super().__init__(f"record {index} of the batch failed: {cause!r}")
        self.index, self.cause = index, cause


class Signal(KafkabootError):  # noqa: N818 - signals are named as a handler reads them
    """What a handler raises to say what is to become of its record. No signal is logged as an error."""


class Retry(Signal):
    """Raised by a handler: try this record again. It counts as an attempt, like any other failure.

    Args:
        after: Seconds until the next attempt; `None` leaves it to the policy's back-off.
        why: For the log, and for the dead letter where it was the last attempt.
    """

    retriable = True

    def __init__(self, why: str = "the handler asked for another attempt", *, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class Skip(Signal):
    """Raised by a handler: settle this record without handling it. It is counted as skipped.

    Args:
        why: For the log.
    """

    def __init__(self, why: str = "the handler skipped it") -> None:
        super().__init__(why)


class DeadLetter(Signal):
    """Raised by a handler: put this record among the dead letters now, whatever the policy says.

    Args:
        why: What the dead letter says.
    """

    def __init__(self, why: str = "the handler gave it up") -> None:
        super().__init__(why)


class ProcessDiedError(KafkabootError):
    """The process died each time it handled this record; it is not handled again.

    Args:
        deaths: How often, one after the other.
    """

    def __init__(self, deaths: int) -> None:
        super().__init__(
            f"the process died {deaths} times, one after the other, while it was at this record",
            todo="look for what ended it (memory, a crash in a C extension, os._exit), mend it, and replay the record",
        )
        self.deaths = deaths


class CircuitOpenError(KafkabootError):
    """A circuit is open: the dependency behind it is down, and it was not called.

    Args:
        circuit: The circuit's name.
        after: Seconds until the circuit lets a call through again.
    """

    retriable = True

    def __init__(self, circuit: str, after: float) -> None:
        super().__init__(
            f"circuit {circuit!r} is open: what is behind it is not called for {after:.1f} s",
            fate="a record whose handler needs it waits in its lane; that is no attempt",
            todo=f"see why it fails; kafkaboot.circuits.{circuit} says when it opens and for how long",
        )
        self.circuit, self.after = circuit, after
