"""How many records are handled, beside a loop of the bare client that awaits the same function."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kafkaboot.boot.running import run_loop
from kafkaboot.config import written_size
from kafkaboot.consumer import Backoff, ConsumerGroup, Counters, Route
from kafkaboot.consumer.route import Plain
from kafkaboot.testing.bench.figures import Measured, Round, compared, cpu_us
from kafkaboot.testing.bench.ground import BenchError
from kafkaboot.testing.bench.plan import ANSWER
from kafkaboot.testing.bench.rounds import in_turn
from kafkaboot.testing.noise import Noise
from kafkaboot.testing.throughput import Flight, pump, window_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from kafkaboot.client import ClientFactory
    from kafkaboot.consumer import ConsumerSettings
    from kafkaboot.testing.bench.ground import Ground
    from kafkaboot.testing.bench.plan import Plan, Progress

CHUNK = 500
"""Records of one `consume` of the bare loop."""
COMMIT = 1.0
"""Seconds between two commits of it: those of kafkaboot."""


def consume(ground: Ground, plan: Plan, size: int, progress: Progress) -> Measured:
    """An `async def` handler of `bytes`, in turn with a bare loop that commits as often and awaits the same function.

    Each round reads the same records in a fresh group, and is measured from its first record to its last.

    Raises:
        KafkabootError: The records cannot be written, or do not come.
    """
    topic, count = ground.topic(f"consume-{size}", plan.partitions), plan.records_of_round(size)
    written = _fill(ground, plan, topic, size, count, progress)
    numbers = itertools.count(1)

    def ours() -> Round:
        tally = Tally(written)
        progress(f"consume {written_size(size)}, kafkaboot", tally.__len__, written)
        group = ground.group(f"consume-{size}-{next(numbers)}")
        return run_loop(_engine(ground.clients, plan, topic, group, tally))

    def bare() -> Round:
        tally = Tally(written)
        progress(f"consume {written_size(size)}, bare", tally.__len__, written)
        return run_loop(_bare(ground, plan, topic, f"consume-{size}-{next(numbers)}", tally))

    rounds = in_turn(plan.rounds, ours, bare)
    ground.drop(topic)
    return compared("consume", size, *rounds)


class Tally:
    """Counts records as a handler that does nothing else, and takes the times of the first and the last one.

    Args:
        count: Records after which it is over.
    """

    def __init__(self, count: int) -> None:
        self._count, self._seen = count, 0
        self._first = self._last = (0.0, 0.0)
        self.over = False

    def __len__(self) -> int:
        return self._seen

    async def take(self, value: bytes) -> None:  # noqa: ARG002 - nothing is done with it
        """The handler."""
        self._seen = seen = self._seen + 1
        if seen == 1:
            self._first = time.perf_counter(), cpu_us()
        elif seen == self._count:
            self.stop()

    def stop(self) -> None:
        """It is over, though there may be more."""
        self._last, self.over = (time.perf_counter(), cpu_us()), True

    @property
    def began(self) -> float:
        """When the first record came, by `time.perf_counter`; 0 before."""
        return self._first[0]

    def round(self) -> Round:
        """What it came to."""
        (began, used), (ended, at_last) = self._first, self._last
        return Round(self._seen, max(ended - began, 1e-9), at_last - used)


def plain_route(name: str, topic: str, take: Callable[[Any], Coroutine[Any, Any, None]]) -> Route:
    """A handler of raw values, as the engine runs one that takes its payload only."""

    def decode(value: bytes | None) -> bytes | None:
        return value

    def call(raw: Any, attempt: int = 1) -> Any:  # noqa: ARG001 - the shape of `Call`
        return take(raw.value())

    return Route(
        name, Backoff(), (topic,), call=call, plain=Plain(take, decode, bytes), counters=Counters(), where=__file__
    )


@asynccontextmanager
async def taking(
    clients: ClientFactory, settings: ConsumerSettings, group: str, route: Route, hooks: Sequence[object] = ()
) -> AsyncIterator[list[BaseException]]:
    """A group that takes the route's records meanwhile; why it died is added to what this gives."""
    dead: list[BaseException] = []
    made = ConsumerGroup(group, [route], clients, settings, died=lambda _, error: dead.append(error), hooks=hooks)
    made.start(asyncio.get_running_loop())
    try:
        yield dead
    finally:
        await made.stop(settings.drain_timeout)


async def _engine(clients: ClientFactory, plan: Plan, topic: str, group: str, tally: Tally) -> Round:
    async with taking(clients, plan.consumer, group, plain_route("bench", topic, tally.take)) as dead:
        give_up = time.perf_counter() + ANSWER
        while not tally.over:
            if dead:
                raise dead[0]
            _look(tally, plan, topic, give_up)
            await asyncio.sleep(0.002)
    return tally.round()


async def _bare(ground: Ground, plan: Plan, topic: str, group: str, tally: Tally) -> Round:
    client = ground.clients.bare_consumer(ground.group(group), plan.consumer.client_properties("earliest"))
    loop, take = asyncio.get_running_loop(), tally.take
    try:
        client.subscribe([topic])
        due = give_up = 0.0
        give_up = time.perf_counter() + ANSWER
        while not tally.over:
            chunk = client.consume(CHUNK, 0) or await loop.run_in_executor(None, client.consume, CHUNK, 0.02)
            for message in chunk:
                if (error := message.error()) is not None:
                    raise BenchError(f"the bare client: {error.str()}", where=topic)
                await take(message.value())
            now = time.perf_counter()
            if now >= due and chunk:
                due = now + COMMIT
                _commit(client, wait=False)
            if not tally.over:
                _look(tally, plan, topic, give_up)
        _commit(client, wait=True)
    finally:
        client.close()
    return tally.round()


def _commit(client: Any, *, wait: bool) -> None:
    """Commit what was consumed. Offsets are not stored by themselves: a commit without any would commit nothing."""
    there = [one for one in client.position(client.assignment()) if one.offset >= 0]
    if there:
        client.commit(offsets=there, asynchronous=not wait)


def _look(tally: Tally, plan: Plan, topic: str, give_up: float) -> None:
    """End it where its time is over.

    Raises:
        BenchError: Nothing has come.
    """
    now = time.perf_counter()
    if tally.began and now - tally.began > plan.seconds_of_round:
        tally.stop()
    elif not tally.began and now > give_up:
        raise BenchError(f"no record came within {ANSWER:g} s", where=topic)


def _fill(ground: Ground, plan: Plan, topic: str, size: int, count: int, progress: Progress) -> int:
    """Write records with the bare client; answers how many, which its share of the time may make fewer."""
    properties = {**plan.publishing(), "linger.ms": 10, "batch.size": 2**20}
    client, flight = ground.clients.bare_producer(properties), Flight()
    send = client.produce
    progress(f"consume {written_size(size)}: writing what is read", flight.latencies.__len__, count)

    def hand(value: bytes) -> None:
        send(topic, value, on_delivery=flight.due(time.perf_counter()))

    seconds, window = max(plan.seconds, 1.0), window_of(size)
    try:
        pump(hand, client.poll, lambda: client.flush(0), flight, Noise(size), count, seconds, window)
    finally:
        client.purge()  # what an interruption leaves would bring the topic back when it is deleted
        client.flush(1.0)
    if flight.failures:
        raise BenchError(f"a record was not delivered: {flight.failures[0]}", where=topic)
    return len(flight.latencies)
