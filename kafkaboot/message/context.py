"""What a handler may want to know about its own call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging


class Context:
    """A call's circumstances, for handlers that ask for them by annotation.

    Attributes:
        attempt: 1 for the first attempt at this record, or at the first record of a batch.
        deadline: The `time.monotonic()` at which the handler's timeout ends, or `None` without a timeout.
        correlation_id: What ties records together that follow from one another: the record's `kb-correlation-id`, or of
            the first of its kind its event's id, or its place. What is published from it carries the same.
            `None` for a batch.
        logger: A logger named after the handler.
    """

    __slots__ = ("attempt", "correlation_id", "deadline", "logger")

    def __init__(
        self,
        attempt: int,
        deadline: float | None,
        correlation_id: str | None,
        logger: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.attempt, self.deadline, self.correlation_id, self.logger = attempt, deadline, correlation_id, logger

    def __repr__(self) -> str:
        return f"Context(attempt={self.attempt}, correlation_id={self.correlation_id!r})"
