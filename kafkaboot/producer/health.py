"""Whether records get out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.health import Health, Status

if TYPE_CHECKING:
    from kafkaboot.producer.sender import Producer


class ProducerHealth:
    """DOWN while deliveries fail for the brokers' sake, or for good when the client is lost.

    A record that is refused for its own sake (too large, an unknown topic) is counted, and leaves it UP.
    """

    name = "producer"

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def health(self) -> Health:
        """From what the last deliveries said."""
        outbox = self._producer.outbox
        trouble = outbox.port.lost or outbox.trouble
        details: dict[str, object] = {"failed": outbox.failed}
        if outbox.closed:
            return Health(Status.OUT_OF_SERVICE, {**details, "closed": True})
        if trouble is None:
            return Health(Status.UP, details)
        details |= {"topic": trouble.where, "error": trouble.what, "code": trouble.code}
        down = trouble.retriable or trouble.fatal
        return Health(Status.DOWN if down else Status.UP, details)
