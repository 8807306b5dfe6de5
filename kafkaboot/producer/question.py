"""A request on its way, and what its answer says."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kafkaboot.errors import RequestFailedError, RequestTimeoutError
from kafkaboot.message import Record, decoder, explain, place, printable
from kafkaboot.message.headers import CONTENT_TYPE, KB_REPLY_ERROR, KB_REPLY_MESSAGE, KB_TRACEBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.message import RawRecord
    from kafkaboot.producer.outbox import Outbox

_ending = threading.Lock()

LONGEST = 2000
"""Characters of what the other side says that an error shows; all of it is in `text`."""


class Question:
    """One request that waits for its answer; it is the client's callback for its own record.

    Args:
        outbox: What publishes it.
        topic: Where it goes.
        request_id: What its answer carries.
        wake: Called once, on any thread, when all is known.
    """

    __slots__ = ("_outbox", "_outcome", "_wake", "at", "request_id", "topic")

    def __init__(self, outbox: Outbox, topic: str, request_id: bytes, wake: Callable[[], object]) -> None:
        self._outbox, self.topic, self.request_id, self._wake = outbox, topic, request_id, wake
        self._outcome: RawRecord | Exception | None = None
        self.at = ""

    def __call__(self, error: object | None, record: RawRecord) -> None:
        """The delivery report of the request: a failure is the end of it, else its answer is waited for."""
        if error is not None:
            self.end(self._outbox.failure(error, self.topic, record))
            return
        self.at = place(self.topic, record.partition(), record.offset())
        if self._outbox.trouble is not None:
            self._outbox.succeeded()

    @property
    def ended(self) -> bool:
        """Whether all is known."""
        return self._outcome is not None

    def end(self, outcome: RawRecord | Exception) -> bool:
        """All is known; answers whether it was not before. From any thread."""
        with _ending:
            if self._outcome is not None:
                return False
            self._outcome = outcome
        self._wake()
        return True

    def answer(self, reply_type: Any) -> Any:
        """The answer's payload, once it has ended.

        Raises:
            PublishError: The request was not delivered.
            RequestError: It has no answer.
            UndecodableError: The answer is no `reply_type`.
        """
        outcome = self._outcome
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        record = Record.of(outcome)
        kind = record.header(KB_REPLY_ERROR)
        if kind is not None:
            raise self._refused(_text(kind), record)
        return decoded(record, reply_type)

    def late(self, timeout: float) -> RequestTimeoutError:
        """What to say when no answer came in time."""
        known = f"the request stands in {self.at}" if self.at else "whether the request was written is not known"
        return RequestTimeoutError(
            f"no answer came within {timeout:g} s",
            topic=self.topic,
            request_id=self.request_id.decode(),
            fate=f"{known}; whether it was handled is not known, and an answer that still comes is dropped",
            todo=f"see whether a handler with reply=True takes {self.topic} and how far behind it is (kafkaboot lag), "
            "or wait longer; a request that is made again may be handled twice",
        )

    def _refused(self, kind: str, record: Record) -> RequestFailedError:
        text = _text(record.header(KB_REPLY_MESSAGE))
        said = f"{kind}: {text}" if text else kind
        return RequestFailedError(
            f"the request was given up: {printable(said, LONGEST)}",
            kind=kind,
            text=text,
            traceback=_text(record.header(KB_TRACEBACK)),
            topic=self.topic,
            request_id=self.request_id.decode(),
            todo="see the log and the dead letters of the application that handles it",
        )


def decoded(record: Record, reply_type: Any) -> Any:
    """The payload of an answer.

    Args:
        record: The answer.
        reply_type: What it is decoded into; `Record` for the answer as it is; `None`: what its content type says.
    """
    if reply_type is Record:
        return record
    if reply_type is None:
        if record.value is None:
            return None
        media = _text(record.header(CONTENT_TYPE)).partition(";")[0]
        reply_type = Any if media == "application/json" else str if media.startswith("text/") else bytes
    try:
        return decode_as(reply_type)(record.value)
    except Exception as error:
        raise explain(error, reply_type, record.value) from error


@lru_cache(maxsize=256)
def decode_as(reply_type: Any) -> Callable[[bytes | None], Any]:
    """The decoder of answers of a type, made once.

    Raises:
        DeclarationError: Nothing can be decoded into it.
    """
    return decoder(reply_type)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")
