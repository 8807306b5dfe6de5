"""The answers of a handler with `reply=True`: sent to the asker, and delivered before the request is settled."""

from __future__ import annotations

import logging
import re
import traceback
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kafkaboot.errors import PublishError
from kafkaboot.message import carried_from, place, reply_to
from kafkaboot.message.headers import KB_REPLY_ERROR, KB_REPLY_MESSAGE, KB_TRACEBACK
from kafkaboot.producer.bind import outputs
from kafkaboot.producer.envelope import explained
from kafkaboot.producer.forward import Forward
from kafkaboot.producer.undelivered import UNKNOWN_TOPIC, closed, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.message import Headers, RawRecord, ReplyTo
    from kafkaboot.producer.bind import Acknowledge, Binding, Made
    from kafkaboot.producer.forward import Outlet
    from kafkaboot.producer.sender import Producer

log = logging.getLogger("kafkaboot.producer")

Tell = Literal["kind", "message", "traceback"]

TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE"})
LONGEST = 8000
"""Characters of a text or a traceback that an asker is told at most."""
LINGERS = 10.0
"""Seconds for which there may be no room for the word that a request was given up; then it is dropped."""


class Answered(NamedTuple):
    """What a handler with `reply=True` returned, and to what."""

    request: RawRecord
    result: Any


def answering(call: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    """The call of a handler whose answers are sent: it keeps the request beside what was returned."""
    if not is_async:
        return lambda raw, attempt=1: Answered(raw, call(raw, attempt))

    async def answered(raw: RawRecord, attempt: int = 1) -> Answered:
        return Answered(raw, await call(raw, attempt))

    return answered


class Answers(Forward):
    """Where one handler's answers go, and the outputs of its publishers with them (the engine's `Forwarding`).

    A request that says nowhere where its answer goes is handled, and the answer is dropped. So is one that no attempt
    would deliver: its topic is not there, or may not be written to. Anybody may write headers, and what stands in them
    must not keep a partition.

    Args:
        producer: What the answers are sent with.
        bindings: The handler's publishers.
        many: See `Forward`.
        handler: The handler's id, for the log.
        where: Its file and line.
        tell: What an asker is told of an exception.
        reply_topics: A regular expression that a request's reply topic must match; by default any will do.

    Attributes:
        answered: Answers that were delivered.
        given_up: Askers that were told that their request was given up.
        dropped: Answers, of both kinds, that went nowhere.
    """

    def __init__(
        self,
        producer: Producer,
        bindings: Sequence[Binding],
        *,
        many: bool = False,
        handler: str = "",
        where: str = "",
        tell: Tell = "message",
        reply_topics: str | None = None,
    ) -> None:
        super().__init__(bindings, many=many)
        self.forward = self._all
        self.outbox = producer.outbox
        self.answered = self.given_up = self.dropped = 0
        self._handler, self._where, self._tell = handler, where, tell
        self._said: set[str] = set()
        self._allowed = None if reply_topics is None else re.compile(reply_topics)

    def _outlets(self, result: Answered) -> list[tuple[Outlet, Made]]:
        request, returned = result
        made: list[tuple[Outlet, Made]] = [
            (binding, binding.make(payload)) for payload in outputs(returned, many=self._many)
            for binding in self.bindings
        ]  # fmt: skip
        to = self._place(request)
        if to is None:
            why = "its headers do not say where the answer is to go"
            if self._allowed is not None and reply_to(request.headers()) is not None:
                why = "the topic that its headers name is none of kafkaboot.requests.reply-topics"
            self._drop(request, why, "ask with producer.request")
            return made
        return [*made, (Asker(self, to, request), self._made(to, returned))]

    def refuse(self, request: RawRecord, error: BaseException) -> None:
        """Tell the asker that the request was given up. It returns at once, and never raises."""
        to = self._place(request)
        if to is None:
            return
        headers: Headers = [(KB_REPLY_ERROR, type(error).__name__.encode()), *to.echo, *carried_from(request)]
        if self._tell != "kind":
            headers.append((KB_REPLY_MESSAGE, str(error)[:LONGEST].encode("utf-8", "replace")))
        if self._tell == "traceback":
            frames = "".join(traceback.format_exception(error))[-LONGEST:]
            headers.append((KB_TRACEBACK, frames.encode("utf-8", "replace")))
        self._hand_refusal(Refusal(self, to, request), (None, None, headers, to.partition), monotonic() + LINGERS)

    def _place(self, request: RawRecord) -> ReplyTo | None:
        to = reply_to(request.headers())
        return to if to is None or self._allowed is None or self._allowed.fullmatch(to.topic) else None

    def _made(self, to: ReplyTo, payload: Any) -> Made:
        envelope = self.outbox.envelope
        try:
            plan = envelope.plans[payload.__class__]
            return plan.encode(payload), None, envelope.headers(plan, [*to.echo]), to.partition
        except Exception as error:
            found = refused(explained(error, payload), to.topic)
            found.where = f"{self._where}: the answer" if self._where else "the answer"
            raise found from error

    def _hand_refusal(self, outlet: Refusal, made: Made, until: float) -> None:
        try:
            outlet.hand(made, _nobody)
        except BufferError:
            if monotonic() > until:
                self._drop(outlet.request, "there was no room for it in the producer's buffer", "publish less at once")
            else:
                self._timer(partial(self._hand_refusal, outlet, made, until))
        except PublishError as error:
            self._drop(outlet.request, error.what, error.todo)

    def _drop(self, request: RawRecord, why: str, todo: str) -> None:
        """Count an answer that goes nowhere; each reason is said once."""
        self.dropped += 1
        if why in self._said or len(self._said) > 100:
            return
        self._said.add(why)
        log.warning(
            "the answer of handler %s (%s) to %s is dropped: %s; its request is handled and settled all the same, as "
            "will be others of the kind; this is said once\n  To do: %s",
            self._handler,
            self._where,
            place(request.topic(), request.partition(), request.offset()),
            why,
            todo or "see where the request came from",
        )


class Asker:
    """One answer's way."""

    def __init__(self, answers: Answers, to: ReplyTo, request: RawRecord) -> None:
        self.request = request
        self._answers, self._to = answers, to

    def hand(self, made: Made, delivered: Acknowledge) -> None:
        """Hand the answer over.

        Raises:
            BufferError: There is no room now.
            PublishError: The producer is closed.
        """
        outbox, topic = self._answers.outbox, self._to.topic
        if outbox.closed:
            raise closed(topic)
        value, key, headers, partition = made
        try:
            outbox.port.produce(topic, value, key, headers, partition, partial(self._told, delivered))
        except BufferError:
            raise
        except Exception as error:
            self._undeliverable(refused(error, topic))
            delivered(None, None)

    def _told(self, delivered: Acknowledge, error: object | None, record: Any) -> None:
        """The delivery report."""
        if error is None:
            self._arrived()
            delivered(None, record)
            return
        found = self._answers.outbox.failure(error, self._to.topic, record)
        if self._worth_another(found):
            delivered(error, record)
            return
        self._undeliverable(found)
        delivered(None, record)

    def _worth_another(self, error: PublishError) -> bool:
        return error.fatal or (error.retriable and error.code not in UNKNOWN_TOPIC)

    def _arrived(self) -> None:
        self._answers.answered += 1

    def _undeliverable(self, error: PublishError) -> None:
        self._answers._drop(self.request, error.what, error.todo)  # noqa: SLF001 - its own room's
        if error.code in TOO_LARGE:
            self._answers.refuse(self.request, error)


class Refusal(Asker):
    """The way of the word that a request was given up: it is tried once, and nobody waits for it."""

    def _worth_another(self, error: PublishError) -> bool:  # noqa: ARG002 - never
        return False

    def _arrived(self) -> None:
        self._answers.given_up += 1

    def _undeliverable(self, error: PublishError) -> None:
        self._answers._drop(self.request, error.what, error.todo)  # noqa: SLF001 - its own room's


def _nobody(*_: object) -> None:
    """Nobody waits for it."""
