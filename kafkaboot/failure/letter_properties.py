"""What the clients are told that write letters outside of transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client.presets import PRODUCER

if TYPE_CHECKING:
    from collections.abc import Mapping

PROPERTIES: Mapping[str, object] = {
    **PRODUCER,
    "linger.ms": 2,
    # What was consumed can be written again: only the topic's own limit counts.
    "message.max.bytes": 64 * 2**20,
    # Longer than a broker's restart: a letter that the client gives up may have been written, and is written twice.
    "message.timeout.ms": 120_000,
}
ALONE: Mapping[str, object] = {"batch.num.messages": 1, "linger.ms": 0}
"""A topic's limit counts for a batch as a whole: alone, a letter that is refused is too large itself."""
