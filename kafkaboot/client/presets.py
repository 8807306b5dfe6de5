"""The three presets, as librdkafka properties; what they have in common stands first.

Sources: librdkafka's CONFIGURATION.md, and measurements in `benchmarks/`.
"""

from __future__ import annotations

Properties = dict[str, str | int | float | bool]

CONSUMER: Properties = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # A full prefetch queue stops fetching for this long; librdkafka's default of a second caps a consumer near
    # 120,000 small records a second.
    "fetch.queue.backoff.ms": 2,
    "queued.max.messages.kbytes": 32768,
    # The default of 10 s would make a restarted broker wait for its consumers.
    "reconnect.backoff.max.ms": 1000,
    # Not anew from the bootstrap servers at each outage (KIP-899): `confluent/comeback.py` does when nobody answers.
    "metadata.recovery.strategy": "none",
    "socket.keepalive.enable": True,
}

CONSUMER_PRESETS: dict[str, Properties] = {
    "high-throughput": {
        "fetch.min.bytes": 65536,
        "fetch.wait.max.ms": 50,
        "max.partition.fetch.bytes": 4 * 2**20,
        "queued.max.messages.kbytes": 65536,
    },
    "low-latency": {"fetch.min.bytes": 1, "fetch.wait.max.ms": 10, "queued.min.messages": 1000},
    "safe": {"isolation.level": "read_committed"},
}

PRODUCER: Properties = {
    "enable.idempotence": True,
    "acks": "all",
    # A topic that does not exist is reported after this long; librdkafka's default keeps its records for 30 s.
    "topic.metadata.propagation.max.ms": 5000,
    "reconnect.backoff.max.ms": 1000,
    "metadata.recovery.strategy": "none",
    "socket.keepalive.enable": True,
}

PRODUCER_PRESETS: dict[str, Properties] = {
    "high-throughput": {
        "linger.ms": 10,
        "batch.size": 2**20,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 262_144,
    },
    "low-latency": {"linger.ms": 0, "socket.nagle.disable": True},
    "safe": {"linger.ms": 5, "max.in.flight.requests.per.connection": 5},
}
"""`safe` adds only what idempotence does not bring along already: it is in all three."""

TRANSACTIONS: Properties = {
    # The broker answers CONCURRENT_TRANSACTIONS while the transaction before is written down; librdkafka's default of
    # 100 ms until it asks again is all that small transactions would spend their time with.
    "retry.backoff.ms": 2,
    "retry.backoff.max.ms": 10,
}
"""For producers of transactions, beside those of the preset."""
