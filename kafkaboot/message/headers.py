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


def event_type(headers: object) -> str | None:
    """The event name that the headers carry: `ce_type`, else `kb-type`, else `None`."""
    fallback: str | None = None
    for name, value in headers or ():  # type: ignore[attr-defined]
        if name == CE_TYPE:
            return None if value is None else str(value, "utf-8", "replace")
        if name == KB_TYPE and value is not None:
            fallback = str(value, "utf-8", "replace")
    return fallback
