"""How fast one handler of an application is, run by the real engine on topics of the measurement."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kafkaboot.boot.failing import Failures
from kafkaboot.boot.lifecycle import Lifecycle
from kafkaboot.boot.running import routes_of, run_loop
from kafkaboot.boot.transacting import Enclosing
from kafkaboot.client import TP
from kafkaboot.consumer import ConsumerSettings
from kafkaboot.failure import Circuits, DeadLetters
from kafkaboot.producer import Producer, ProducerSettings, Requests
from kafkaboot.testing.bench.consume import taking
from kafkaboot.testing.bench.diverted import DivertedClients, Places
from kafkaboot.testing.bench.figures import Spread, cpu_us
from kafkaboot.testing.bench.ground import BenchError
from kafkaboot.testing.bench.plan import ANSWER
from kafkaboot.testing.bench.stopwatch import Stopwatch
from kafkaboot.testing.quiet import LogLeftAlone
from kafkaboot.testing.throughput import Flight, pump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.consumer import Counters, Route
    from kafkaboot.message import Headers
    from kafkaboot.testing.bench.ground import Ground
    from kafkaboot.testing.bench.plan import Progress
    from kafkaboot.testing.probing import Probe

NO_CHECK = "kafkaboot.kafka.topics=off"
"""No topic of the application is looked up or made: none of them is used."""
WRITING = 120.0
"""Seconds for writing what the handler is going to take."""
_LOOK = 0.002
_BECAME = ("filtered", "skipped", "dead_lettered", "retried_later")


class Fed(NamedTuple):
    """A record that the handler takes."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class HandlerMeasured:
    """What one handler came to.

    Attributes:
        handler: Its id.
        where: Where it is defined.
        batch: The largest batch that it takes; `None` for single records.
        records: Records that were settled.
        seconds: From its first call to the last record that was settled, its outputs delivered.
        cpu_us_per_record: Of this process, all threads.
        handler_cpu_us_per_record: Of them in the handler's function itself; the rest is decoding, the engine,
            publishing and the client library.
        ms: Milliseconds of its calls, waiting included.
        calls: Attempts.
        failures: Attempts that raised, by the exception's class.
        became: What became of records that it did not handle: `filtered`, `skipped`, `dead_lettered`,
            `retried_later`; `unsettled` are those that were not done with when the time was over.
        published: Records that it published, by the topic that they were meant for; markers of transactions count.
        source: Where its records came from.
        notes: What else is to be known, one sentence each.
    """

    measurement: str
    handler: str
    where: str
    batch: int | None
    records: int
    seconds: float
    records_per_second: float
    cpu_us_per_record: float
    handler_cpu_us_per_record: float
    ms: Spread | None
    calls: int
    failures: dict[str, int]
    became: dict[str, int]
    published: dict[str, int]
    source: str = ""
    notes: list[str] = field(default_factory=list)


class _Raised:
    """Counts what a handler raises (`kafkaboot.hooks.OnFailure`)."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    def on_failure(self, handler: str, where: str, error: BaseException, attempt: int, delay: float | None) -> None:
        """See `OnFailure`."""
        del handler, where, attempt, delay
        self.kinds[type(error).__name__] += 1


def measure_handler(
    probing: Probe,
    name: str,
    ground: Ground,
    fed: Sequence[Fed],
    progress: Progress,
    *,
    source: str,
    seconds: float,
    partitions: int | None = None,
    overrides: Sequence[str] = (),
) -> HandlerMeasured:
    """Run a handler over records, once: its components, decoding, lanes and retry policy as in the application.

    What it publishes by the application's producers, dead letters and retries too, goes to topics of the measurement.
    What its components do otherwise really happens. `@on_dead_letter` functions are not told of anything.

    Args:
        probing: The application.
        name: The handler's id.
        ground: Where it is measured.
        fed: The records, at least one.
        progress: Told how far it is.
        source: Where they come from, for people.
        seconds: After these it is stopped.
        partitions: Of the topic that it takes; default: as its own topic has, or 4.
        overrides: Further `a.b=c` for the application.

    Raises:
        LookupError: There is no such handler.
        KafkabootError: The application cannot be wired, a component does not start, or the broker refuses.
    """
    there = _partitions(ground)
    handler = probing.handler(name)
    known = [there[topic] for topic in handler.spec.topics if topic in there]
    topic = ground.topic("in", partitions or (known[0] if known else 4))
    places = Places(ground, there, partitions or 4)
    places[topic] = topic
    clients: Any = DivertedClients(ground, places)

    def producer() -> Producer:
        settings = probing.blueprint.configuration.bind("kafkaboot.producer", ProducerSettings)
        return Producer(clients.producer(settings.client_properties()), envelope=settings.envelope)

    with LogLeftAlone():
        blueprint = probing.exchanged(clients, producer, "the measurement", [NO_CHECK, *overrides])
    handler = probing.handler(name, blueprint)
    for publisher in handler.spec.publishers:
        places[publisher.topic]  # made now: a record would wait for it
    _feed(ground, topic, fed, progress)
    found = run_loop(_Run(blueprint, handler, ground, topic, len(fed), seconds, progress).run())
    return replace(found, source=source, published=_published(ground, places, topic))


@dataclass(slots=True)
class _Run:
    blueprint: Blueprint
    handler: Handler
    ground: Ground
    source: str
    count: int
    seconds: float
    progress: Progress
    watch: Stopwatch = field(default_factory=Stopwatch)
    raised: _Raised = field(default_factory=_Raised)
    notes: list[str] = field(default_factory=list)

    async def run(self) -> HandlerMeasured:
        settings, container = self.blueprint.application, self.blueprint.container
        lifecycle = Lifecycle(settings.start_timeout, settings.stop_timeout)
        letters: list[DeadLetters] = []
        try:
            for component in container.order([*container.providing(Circuits), self.handler.demand]):
                instance = container.instance(component)
                if not isinstance(instance, Requests):  # answers are looked for on a topic of the application
                    await lifecycle.start(component, instance)
                if isinstance(instance, Producer) and self.handler.spec.transactional:
                    instance.join_handlers()
            letters = [container.instance(one) for one in container.providing(DeadLetters)]
            for one in letters:
                one.announcements.functions = []  # nobody is to be called out by a measurement
            enclosing = Enclosing(container.get(ConsumerSettings))
            failures = Failures(container, enclosing)
            route = self._route(failures, enclosing)
            await enclosing.prepare()
            return await self._measured(route, failures)
        finally:
            for one in letters:
                await asyncio.to_thread(one.close, 1.0)
            await lifecycle.stop()

    async def _measured(self, route: Route, failures: Failures) -> HandlerMeasured:
        configured = self.blueprint.configuration.bind("kafkaboot.consumer", ConsumerSettings)
        # An instance id would be static membership of one name for two groups; nobody waits for a long drain here.
        settings = configured.model_copy(
            update={"instance_id": None, "drain_timeout": min(configured.drain_timeout, 5.0)}
        )
        group = self.ground.group("handler")
        listeners = [self.raised, *failures.listeners]
        async with taking(self.ground.clients, settings, group, route, listeners) as dead:
            give_up = time.perf_counter() + ANSWER
            self.progress(f"{self.handler.spec.id}: waiting for the first record")
            while not self._begun(route.counters) and not dead:
                if time.perf_counter() > give_up:
                    raise BenchError(f"no record came within {ANSWER:g} s", where=self.source)
                await asyncio.sleep(_LOOK / 4)
            # Where the first call was made: a short backlog may be done with before this task has its turn.
            began, used = self.watch.began or (time.perf_counter(), cpu_us())
            self.progress(self.handler.spec.id, lambda: route.counters.settled, self.count)
            until = began + self.seconds
            # The engine tells nobody when a record is settled.
            while route.counters.settled < self.count and not dead and time.perf_counter() < until:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK)
            ended, used = time.perf_counter(), cpu_us() - used
            settled = route.counters.settled
            if dead:
                self.notes.append(f"it ended its group: {type(dead[0]).__name__}: {dead[0]}")
        return self._summary(route.counters, settled, max(ended - began, 1e-9), used)

    def _begun(self, counters: Counters) -> bool:
        return bool(self.watch.began or self.raised.kinds or counters.settled)

    def _route(self, failures: Failures, enclosing: Enclosing) -> Route:
        """The handler on the measurement's topic, and nothing else."""
        spec, retry = self.handler.spec, self.handler.retry
        if retry.topics:
            self.notes.append("records that go to a retry topic are counted, and not taken from there")
        if spec.reply:
            self.notes.append("its answers are dropped: nobody asked")
        mine = replace(
            self.handler,
            spec=replace(
                spec, function=self.watch.around(spec.function), topics=(self.source,), pattern=None, start="earliest"
            ),
            group=self.ground.group("handler"),
            # What waits in a retry topic is never taken here: its key would wait for ever.
            retry=replace(retry, keep_order=None),
        )
        [[route]] = routes_of(replace(self.blueprint, handlers=[mine]), failures, enclosing).values()
        return route

    def _summary(self, counters: Counters, settled: int, seconds: float, used: float) -> HandlerMeasured:
        watch, spec = self.watch, self.handler.spec
        if not settled:
            self.notes.append("no record was settled, so that there are no figures a record")
        became = {name: getattr(counters, name) for name in _BECAME if getattr(counters, name)}
        if settled < self.count:
            became["unsettled"] = self.count - settled
        own = watch.cpu_us_per_call * len(watch.times) / settled if settled else 0.0
        whole = used / settled if settled else 0.0
        return HandlerMeasured(
            "handler",
            spec.id,
            spec.where,
            self.handler.batch,
            settled,
            seconds,
            settled / seconds,
            whole,
            min(own, whole),
            Spread.of(watch.times),
            len(watch.times),
            dict(self.raised.kinds.most_common()),
            became,
            {},
            notes=self.notes,
        )


def _feed(ground: Ground, topic: str, fed: Sequence[Fed], progress: Progress) -> None:
    port, flight = ground.clients.producer({"linger.ms": 5, "message.timeout.ms": int(ANSWER * 1000)}), Flight()
    progress("writing what it takes", flight.latencies.__len__, len(fed))
    records = iter(fed)

    def hand(_: bytes) -> None:
        record = waiting.pop() if waiting else next(records)
        try:
            port.produce(topic, record.value, record.key, record.headers, -1, flight.due(time.perf_counter()))
        except BufferError:
            waiting.append(record)
            raise

    waiting: list[Fed] = []
    try:
        pump(hand, port.serve, port.hurry, flight, lambda _: b"", len(fed), WRITING)
    finally:
        port.close(1.0)
    if flight.failures:
        raise BenchError(f"a record was not delivered: {port.translate(flight.failures[0])}", where=topic)
    if len(flight.latencies) < len(fed):
        raise BenchError(f"only {len(flight.latencies)} of {len(fed)} records were written within {WRITING:g} s")


def _partitions(ground: Ground) -> dict[str, int]:
    admin = ground.clients.admin()
    try:
        return {name: topic.partitions for name, topic in admin.topics(ANSWER).items()}
    finally:
        admin.close()


def _published(ground: Ground, places: Places, source: str) -> dict[str, int]:
    """Records by the topic that they were meant for."""
    admin = ground.clients.admin()
    try:
        known = admin.topics(ANSWER)
        ends = admin.end_offsets(
            [TP(at, n) for at in places.values() if at != source and at in known for n in range(known[at].partitions)],
            ANSWER,
        )
    finally:
        admin.close()
    found: Counter[str] = Counter()
    meant = {at: topic for topic, at in places.items() if topic != at}  # dead letters are counted elsewhere
    for tp, end in ends.items():
        if tp.topic in meant:
            found[meant[tp.topic]] += end
    return {topic: count for topic, count in found.items() if count}
