"""From nothing to the first record that the embedded broker has acknowledged: `python -m benchmarks.desk.startup`."""

from __future__ import annotations

import time

from confluent_kafka import Producer

from benchmarks.desk.report import report
from kafkaboot.dev.embedded import EmbeddedKafka


def main() -> None:
    acknowledged: list[float] = []

    def note(error: object, _: object) -> None:
        if error is None:
            acknowledged.append(time.monotonic())

    began = time.monotonic()
    with EmbeddedKafka() as broker:
        listening = time.monotonic()
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 2})
        producer.produce("orders", b"v" * 100, on_delivery=note)
        if producer.flush(20) or not acknowledged:
            raise SystemExit("the first record was not acknowledged")
        report(listening=listening - began, start=acknowledged[0] - began)


if __name__ == "__main__":
    main()
