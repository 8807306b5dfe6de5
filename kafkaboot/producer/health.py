"""Whether records get out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.health import Health, Status

if TYPE_CHECKING:
    from kafkaboot.producer.sender import Producer


class ProducerHealth:
    """DOWN while deliveries fail for the brokers' sake, and for good when another process fenced its transactions.

    A record that is refused for its own sake (too large, an unknown topic) is counted, and leaves it UP.
    """

    name = "producer"

    def __init__(self, producer: Producer, name: str = "producer") -> None:
        self._producer, self.name = producer, name

    def health(self) -> Health:
        """From what the last deliveries said."""
        outbox, pool = self._producer.outbox, self._producer.transactions
        trouble = outbox.port.lost or outbox.trouble
        details: dict[str, object] = {"failed": outbox.failed}
        if pool is not None and pool.used:
            details["transactions"] = pool.details()
        if outbox.closed:
            return Health(Status.OUT_OF_SERVICE, {**details, "closed": True})
        if pool is not None and pool.fenced is not None:
            fenced = pool.fenced
            return Health(Status.DOWN, {**details, "error": fenced.what, "code": fenced.code, "id": fenced.where})
        if trouble is None:
            return Health(Status.UP, details)
        details |= {"topic": trouble.where, "error": trouble.what, "code": trouble.code}
        down = trouble.retriable or trouble.fatal
        return Health(Status.DOWN if down else Status.UP, details)
