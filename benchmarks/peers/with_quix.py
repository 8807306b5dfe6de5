"""Quix Streams: `apply` on bytes, decoded into pydantic by ourselves. It needs an older confluent-kafka: own venv."""

from __future__ import annotations

import itertools

from pydantic import TypeAdapter
from quixstreams import Application

from benchmarks import measure
from benchmarks.orders import Order

watch = measure.Stopwatch(terminate=True)
taken = itertools.count(1)
decode = TypeAdapter(Order).validator.validate_json


def take(value: bytes) -> None:
    decode(value)
    if next(taken) in watch.marks:
        watch.mark()


if __name__ == "__main__":
    application = Application(
        broker_address=measure.BOOTSTRAP,
        consumer_group=measure.GROUP,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        consumer_extra_config={"fetch.queue.backoff.ms": 2},
        loglevel="WARNING",
    )
    topic = application.topic(measure.TOPIC, value_deserializer="bytes", key_deserializer="bytes")
    application.dataframe(topic).apply(take)
    application.run()
