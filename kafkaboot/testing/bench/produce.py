"""How many records get out, and how long each takes to be acknowledged, beside the bare client."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafkaboot.config import written_size
from kafkaboot.producer import Producer
from kafkaboot.testing.bench.figures import Measured, Round, compared, cpu_us
from kafkaboot.testing.bench.ground import BenchError
from kafkaboot.testing.bench.plan import ANSWER
from kafkaboot.testing.bench.ports import TimedPort
from kafkaboot.testing.bench.rounds import in_turn
from kafkaboot.testing.noise import Noise
from kafkaboot.testing.throughput import Flight, pump, window_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafkaboot.message import Headers
    from kafkaboot.testing.bench.ground import Ground
    from kafkaboot.testing.bench.plan import Plan, Progress

Hand = tuple["Callable[[bytes], object]", "Callable[[float], object]", "Callable[[], object]"]


def produce(ground: Ground, plan: Plan, size: int, progress: Progress) -> Measured:
    """`producer.send` of values of so many bytes, in turn with confluent-kafka's `produce` of the same records.

    Raises:
        KafkabootError: A record was not delivered, or the topics cannot be made.
    """
    topics = {side: ground.topic(f"produce-{size}-{side}", plan.partitions) for side in ("kafkaboot", "bare")}
    values = Noise(size)
    count, window = plan.records_of_round(size), _window(plan, size)

    def one(side: str, hand_of: Callable[[Flight], Hand]) -> Round:
        flight = Flight()
        hand, serve, hurry = hand_of(flight)
        progress(f"produce {written_size(size)}, {side}", flight.latencies.__len__, count)
        before = cpu_us()
        seconds = pump(hand, serve, hurry, flight, values, count, plan.seconds_of_round, window)
        if flight.failures:
            raise BenchError(f"a record was not delivered ({side}): {flight.failures[0]}", where=topics[side])
        return Round(len(flight.latencies), seconds, cpu_us() - before, times=flight.latencies)

    with (
        _ours(ground, plan, topics["kafkaboot"]) as (ours, headers),
        _bare(ground, plan, topics["bare"], headers) as bare,
    ):
        rounds = in_turn(plan.rounds, lambda: one("kafkaboot", ours), lambda: one("bare", bare))
    ground.drop(*topics.values())
    return compared("produce", size, *rounds)


def _window(plan: Plan, size: int) -> int:
    """Records on their way at once; half of what the client buffers, where the settings make that less."""
    properties = plan.publishing()
    records = int(str(properties.get("queue.buffering.max.messages", 100_000)))
    kilobytes = int(str(properties.get("queue.buffering.max.kbytes", 2**20)))
    return max(1, min(window_of(size), records // 2, kilobytes * 1024 // max(1, size) // 2))


@contextmanager
def _ours(ground: Ground, plan: Plan, topic: str) -> Iterator[tuple[Callable[[Flight], Hand], Headers | None]]:
    port: Any = TimedPort(ground.clients.producer(plan.publishing()))
    with Producer(port, envelope=plan.producer.envelope, source="/kafkaboot-bench", flush_timeout=1.0) as producer:
        producer.sync.publish(topic, b"first")  # who leads the topic is known from here on
        send = producer.send

        def hand(value: bytes) -> None:
            send(topic, value)

        def of(flight: Flight) -> Hand:
            port.flight = flight
            return hand, port.serve, port.hurry

        envelope = producer.outbox.envelope
        yield of, envelope.headers(envelope.plans[bytes])


@contextmanager
def _bare(ground: Ground, plan: Plan, topic: str, headers: Headers | None) -> Iterator[Callable[[Flight], Hand]]:
    client = ground.clients.bare_producer(plan.publishing())
    deliver_one(client, topic)
    send = client.produce

    def of(flight: Flight) -> Hand:
        due, now = flight.due, time.perf_counter

        def hand(value: bytes) -> None:
            send(topic, value, headers=headers, on_delivery=due(now()))

        # A flush of no time at all ends lingering, and waits for nothing.
        return hand, client.poll, lambda: client.flush(0)

    try:
        yield of
    finally:
        client.purge()
        client.flush(1.0)


def deliver_one(client: Any, topic: str) -> None:
    """Deliver a record with the bare client, so that it is connected and knows the topic.

    Raises:
        BenchError: It is not delivered.
    """
    failed: list[Any] = []
    client.produce(topic, b"first", on_delivery=lambda error, _: failed.append(error) if error is not None else None)
    if client.flush(ANSWER) or failed:
        raise BenchError(f"the bare client delivers nothing: {failed[0] if failed else 'no answer'}", where=topic)
