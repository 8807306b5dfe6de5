"""How old a record is when its handler begins, at a steady rate."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from typing import TYPE_CHECKING

from kafkaboot.boot.running import run_loop
from kafkaboot.config import written_size
from kafkaboot.producer import Producer
from kafkaboot.testing.bench.consume import plain_route, taking
from kafkaboot.testing.bench.figures import Measured, Round, Side, cpu_us
from kafkaboot.testing.bench.ground import BenchError
from kafkaboot.testing.bench.plan import ANSWER
from kafkaboot.testing.noise import Noise

if TYPE_CHECKING:
    from kafkaboot.testing.bench.ground import Ground
    from kafkaboot.testing.bench.plan import Plan, Progress

STAMP = struct.Struct("<qd")
"""What a value begins with: its number, and when it was sent. Before the measurement the number is -1."""
SMALLEST = STAMP.size
"""Bytes that a value has at least."""
WARM = 0.5
"""Seconds at the rate before the first record that counts: clients take a moment to find their pace."""
REACHED = 0.95
"""Share of the rate below which it is said that it was not reached."""
_STILL = 0.05


def latency(ground: Ground, plan: Plan, size: int, progress: Progress) -> Measured:
    """From the moment before `producer.send` to the first line of an `async def` handler, both in this process.

    Raises:
        BenchError: The records do not come, or the values are too small to carry the time.
        KafkabootError: A client cannot be made.
    """
    if size < SMALLEST:
        raise BenchError(f"latency needs values of {SMALLEST} bytes at least, which carry the time; asked for {size}")
    topic, group = ground.topic(f"latency-{size}", plan.partitions), ground.group(f"latency-{size}")
    producer = Producer(ground.clients.producer(plan.publishing()), envelope=plan.producer.envelope, flush_timeout=1.0)
    with producer:
        found = run_loop(_measured(ground, plan, topic, group, size, producer, progress))
    ground.drop(topic)
    return found


async def _measured(
    ground: Ground, plan: Plan, topic: str, group: str, size: int, producer: Producer, progress: Progress
) -> Measured:
    ages: list[float] = []
    arrived = asyncio.Event()
    now, unpack = time.perf_counter, STAMP.unpack_from

    async def take(value: bytes) -> None:
        age = now()
        number, sent = unpack(value)
        if number >= 0:
            ages.append(age - sent)
        else:
            arrived.set()

    wanted = plan.records if plan.records is not None else int(plan.rate * plan.seconds)
    count = max(1, min(wanted, int(plan.rate * plan.seconds)))
    sender = _Sender(producer, topic, size, plan.rate)
    async with taking(ground.clients, plan.consumer, group, plain_route("bench", topic, take)) as dead:
        until = now() + ANSWER
        progress(f"latency {written_size(size)}: waiting for the first record")
        while not arrived.is_set():  # the group is joined, which is no part of a record's age
            if dead:
                raise dead[0]
            if now() > until:
                raise BenchError(f"no record came within {ANSWER:g} s", where=topic)
            sender.one(-1)
            await asyncio.sleep(_STILL)
        progress(f"latency {written_size(size)} at {plan.rate:g}/s", ages.__len__, count)
        used = cpu_us()
        thread = threading.Thread(target=sender.run, args=(count,), name="kafkaboot-bench-sender", daemon=True)
        thread.start()
        try:
            while len(ages) < count:
                if dead:
                    raise dead[0]
                if sender.error is not None:
                    raise sender.error
                if producer.outbox.failed:
                    raise BenchError(f"records were not delivered: {producer.outbox.trouble}", where=topic)
                if sender.ended and now() > sender.ended + ANSWER:
                    raise BenchError(f"{count - len(ages)} of {count} records did not come", where=topic)
                await asyncio.sleep(_STILL)
        finally:
            sender.stop()
            await asyncio.to_thread(thread.join)
    seconds = max(sender.ended - sender.began, 1e-9)
    reached = count / seconds
    notes = []
    if reached < REACHED * plan.rate and count > 1:
        notes.append(f"{plan.rate:,.0f} records a second were asked for, and {reached:,.0f} were sent")
    side = Side.of([Round(count, seconds, cpu_us() - used, times=ages)], size)
    return Measured("latency", size, side, rate=plan.rate, notes=notes)


class _Sender:
    """Sends at a steady rate; one that is late sends at once until it is not."""

    def __init__(self, producer: Producer, topic: str, size: int, rate: float) -> None:
        self._send, self._topic, self._rate = producer.send, topic, rate
        self._values = Noise(size - STAMP.size)
        self._stopped = threading.Event()
        self.began = self.ended = 0.0
        self.error: BaseException | None = None

    def one(self, number: int) -> None:
        self._send(self._topic, STAMP.pack(number, time.perf_counter()) + self._values(max(number, 0)))

    def stop(self) -> None:
        self._stopped.set()

    def run(self, count: int) -> None:
        """First some that do not count, then those that do."""
        try:
            warm = min(int(self._rate * WARM), count)
            self._steadily([-1] * warm)
            self.began = time.perf_counter()
            self._steadily(range(count))
        except BaseException as error:
            self.error = error
        finally:
            self.ended = time.perf_counter()

    def _steadily(self, numbers: range | list[int]) -> None:
        begin, pause = time.perf_counter(), 1 / self._rate
        for at, number in enumerate(numbers):
            wait = begin + at * pause - time.perf_counter()
            if (wait > 0 and self._stopped.wait(wait)) or self._stopped.is_set():
                return
            self.one(number)
