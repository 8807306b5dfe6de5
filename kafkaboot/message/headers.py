"""Every header name that kafkaboot writes or reads."""

from __future__ import annotations

CE_SPECVERSION = "ce_specversion"
CE_ID = "ce_id"
CE_SOURCE = "ce_source"
CE_TYPE = "ce_type"
CE_TIME = "ce_time"
CONTENT_TYPE = "content-type"
"""CloudEvents 1.0, Kafka protocol binding, binary content mode (section 3.2)."""

KB_TYPE = "kb-type"
"""The event's name where there is no CloudEvents envelope."""

KB_CORRELATION_ID = "kb-correlation-id"
KB_CAUSATION_ID = "kb-causation-id"

KB_REPLY_TOPIC = "kb-reply-topic"
KB_REPLY_PARTITION = "kb-reply-partition"
KB_REQUEST_ID = "kb-request-id"
"""Of a request: where its answer is to go, and what the answer carries so that it is known again. Text."""
KB_REPLY_ERROR = "kb-reply-error"
KB_REPLY_MESSAGE = "kb-reply-message"
"""Of an answer that says that the request was given up: the class of what was raised, and its text."""

KB_ORIGINAL_TOPIC = "kb-original-topic"
KB_ORIGINAL_PARTITION = "kb-original-partition"
KB_ORIGINAL_OFFSET = "kb-original-offset"
KB_ORIGINAL_TIMESTAMP = "kb-original-timestamp"
KB_GROUP = "kb-group"
KB_HANDLER = "kb-handler"
KB_ATTEMPTS = "kb-attempts"
KB_FIRST_FAILED_AT = "kb-first-failed-at"
KB_LAST_FAILED_AT = "kb-last-failed-at"
KB_EXCEPTION = "kb-exception"
KB_MESSAGE = "kb-message"
KB_TRACEBACK = "kb-traceback"
KB_FINGERPRINT = "kb-fingerprint"
"""Of a dead letter or a record in a retry topic: where it stood, who failed on it, how often, when, and why. Text."""

KB_RETRY_DUE = "kb-retry-due"
"""Milliseconds since the epoch before which a record in a retry topic is not handled, as text."""
KB_REDRIVES = "kb-redrives"
"""How often a record came back from the dead letters, as text: the guard against loops."""
KB_REDRIVEN_FROM = "kb-redriven-from"
"""The dead letter that a redriven record was, `topic[partition]@offset`."""
KB_EDITED_BY = "kb-edited-by"
"""Who changed a dead letter before it was sent again."""

FAILURE_HEADERS = frozenset(
    {
        KB_ORIGINAL_TOPIC,
        KB_ORIGINAL_PARTITION,
        KB_ORIGINAL_OFFSET,
        KB_ORIGINAL_TIMESTAMP,
        KB_GROUP,
        KB_HANDLER,
        KB_ATTEMPTS,
        KB_FIRST_FAILED_AT,
        KB_LAST_FAILED_AT,
        KB_EXCEPTION,
        KB_MESSAGE,
        KB_TRACEBACK,
        KB_FINGERPRINT,
        KB_RETRY_DUE,
    }
)
"""Those that tell of one failure: they are replaced, never appended, when it fails again."""


def event_type(headers: object) -> str | None:
    """The event name that the headers carry: `ce_type`, else `kb-type`, else `None`."""
    fallback: str | None = None
    for name, value in headers or ():  # type: ignore[attr-defined]
        if name == CE_TYPE:
            return None if value is None else str(value, "utf-8", "replace")
        if name == KB_TYPE and value is not None:
            fallback = str(value, "utf-8", "replace")
    return fallback
