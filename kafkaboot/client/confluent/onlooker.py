"""What groups have committed, asked by a consumer that never joins them.

Not by librdkafka's admin call (ListConsumerGroupOffsets): where a coordinator answers that it has moved or is just
loading, that one uses the group which an admin client has not, and the process ends (librdkafka #5040).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from kafkaboot.client.confluent.comeback import Comeback
from kafkaboot.client.confluent.translate import client_error
from kafkaboot.client.ports import TP, Committed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOOK = {
    "enable.auto.commit": False,
    "allow.auto.create.topics": False,
    # Offsets whose transaction is open are told as they were before it, as to an admin client.
    "isolation.level": "read_uncommitted",
}
_PAUSE = 0.02


class Onlooker:
    """Looks at groups' offsets, with a client for each group that is kept until it is closed; for any thread.

    Args:
        config: librdkafka properties.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._consumers: dict[str, tuple[Any, Comeback]] = {}

    def committed(self, group: str, partitions: Sequence[TP], timeout: float) -> dict[TP, Committed]:
        """What the group has committed on these partitions; without those on which it has committed nothing.

        Raises:
            KafkaException: The broker does not answer in `timeout` seconds, or refuses; a partition's error, too.
        """
        until = time.monotonic() + timeout
        asked = [TopicPartition(*tp) for tp in partitions]
        consumer, comeback = self._consumer(group)
        comeback.look(consumer)
        while True:
            try:
                answer = consumer.committed(asked, max(0.1, until - time.monotonic()))
                for at in answer:
                    if at.error is not None:
                        raise KafkaException(at.error)
            except KafkaException as error:
                # A coordinator that has just moved, or is just loading, is not asked again by the client.
                if "COORDINATOR" not in client_error(error).code or time.monotonic() >= until:
                    raise
                time.sleep(_PAUSE)
            else:
                return {
                    TP(at.topic, at.partition): Committed(at.offset, (at.metadata or "").rstrip("\0"))
                    for at in answer
                    if at.offset >= 0
                }

    def close(self) -> None:
        """Close its clients; a second call does nothing."""
        with self._lock:
            consumers, self._consumers = self._consumers, {}
        for consumer, _ in consumers.values():
            consumer.close()

    def _consumer(self, group: str) -> tuple[Any, Comeback]:
        with self._lock:
            if group not in self._consumers:
                made = Consumer({**self._config, **_LOOK, "group.id": group})
                self._consumers[group] = made, Comeback(self._config)
            return self._consumers[group]
