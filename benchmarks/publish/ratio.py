"""`publish_batch` and `send` against a bare loop that does the same, in interleaved rounds.

`python -m benchmarks.publish.ratio BOOTSTRAP TOPIC [ROUNDS] [RECORDS]`. Every case gets its own producer with the same
librdkafka properties. The bare loop encodes with the model's own serializer, makes the same six headers, passes a
callback that checks the report, serves reports every 256 records, and waits for all of a batch before the next.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import sys
import time

from confluent_kafka import Producer as Client

from benchmarks.orders import BATCH, Order, batches
from kafkaboot.client.confluent.producer import ConfluentProducer
from kafkaboot.client.presets import PRODUCER, PRODUCER_PRESETS
from kafkaboot.declare import event
from kafkaboot.producer import Producer

BOOTSTRAP, TOPIC = sys.argv[1], sys.argv[2]
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 7
COUNT = int(sys.argv[4]) if len(sys.argv) > 4 else 100_000
CONFIG = {
    "bootstrap.servers": BOOTSTRAP,
    **PRODUCER,
    **PRODUCER_PRESETS["safe"],
    "queue.buffering.max.messages": 1_000_000,
}
event("order.placed")(Order)


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def bare(payloads: list[Order]) -> float:
    client = Client(CONFIG)
    client.list_topics(TOPIC, timeout=10)
    errors, count = [], 0

    def check(error, message):
        nonlocal count
        if error is not None:
            errors.append(error)
        count += 1

    encode = Order.__pydantic_serializer__.to_json
    version, source = ("ce_specversion", b"1.0"), ("ce_source", b"/bench")
    kind, media = ("ce_type", b"order.placed"), ("content-type", b"application/json")
    began = time.perf_counter()
    for i, payload in enumerate(payloads):
        if not i % BATCH:
            client.flush(60)
        if not i & 127:
            stamp = ("ce_time", time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()).encode())
        client.produce(
            TOPIC,
            encode(payload),
            payload.buyer,
            on_delivery=check,
            headers=[("ce_id", b"0123456789abcdef-%d" % i), stamp, version, source, kind, media],
        )
        if not i & 255:
            client.poll(0)
    client.flush(60)
    took = time.perf_counter() - began
    assert count == len(payloads)
    assert not errors
    return took


def ours(how):
    def run(payloads: list[Order]) -> float:
        producer = Producer(ConfluentProducer(CONFIG), source="/bench")
        producer.sync.publish(TOPIC, payloads[0], key="warm")

        async def go() -> float:
            began = time.perf_counter()
            await how(producer, payloads)
            return time.perf_counter() - began

        took = asyncio.run(go())
        producer.sync.close(10)
        return took

    return run


async def batch(producer, payloads):
    for i in range(0, len(payloads), BATCH):
        await producer.publish_batch(TOPIC, payloads[i : i + BATCH], key="buyer")


async def send(producer, payloads):
    for i in range(0, len(payloads), BATCH):
        for delivery in [producer.send(TOPIC, payload, key=payload.buyer) for payload in payloads[i : i + BATCH]]:
            await delivery


async def send_and_flush(producer, payloads):
    for payload in payloads:
        producer.send(TOPIC, payload, key=payload.buyer)
    assert not await producer.flush(60)
    assert not producer.outbox.failed


def main() -> None:
    payloads = [order for batch in batches(Order, COUNT) for order in batch]
    cases = {
        "bare": bare,
        "publish_batch": ours(batch),
        "send, awaited": ours(send),
        "send, flush": ours(send_and_flush),
    }
    took = {name: [] for name in cases}
    used = {name: [] for name in cases}
    for round_ in range(ROUNDS + 1):
        for name, case in cases.items():
            gc.collect()
            before = cpu()
            seconds = case(payloads)
            if round_:
                took[name].append(seconds)
                used[name].append(cpu() - before)
    for name in cases:
        ratio = statistics.median(b / s for b, s in zip(took["bare"], took[name]))
        burnt = statistics.median(s / b for b, s in zip(used["bare"], used[name]))
        rate = COUNT / statistics.median(took[name])
        best = min(used[name]) / COUNT * 1e6
        print(f"{name:24} {rate:9,.0f}/s  {ratio:.2f} of bare  CPU x{burnt:.2f}  best {best:.2f} us of CPU a record")


main()
