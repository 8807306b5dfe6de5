"""F14: a dependency is down for a while. The engine on a Kafka in memory, with two handlers alike but for a circuit."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from kafkaboot import circuit
from kafkaboot.client.memory import MemoryClients, MemoryKafka
from kafkaboot.clock import SystemClock
from kafkaboot.consumer import Away, Backoff, Calls, ConsumerGroup, ConsumerSettings, Counters, Route
from kafkaboot.declare import read_signature
from kafkaboot.failure import Circuits, CircuitSettings, Holder, around
from kafkaboot.failure.meaning import Meanings
from kafkaboot.failure.recovery import Recovery
from kafkaboot.testing import eventually_async
from tests.unit.failure.conftest import Clients

RECORDS, PARTITIONS, ATTEMPTS = 300, 3, 6
SETTINGS = CircuitSettings(open_for=0.05, open_max=0.1, half_open=2)


class Shop:
    """A handler that calls what is up or down, and the letters that it gives up."""

    def __init__(self, kind, guarded):
        self.kafka = MemoryKafka(SystemClock())
        self.kafka.create("orders", PARTITIONS)
        producer = MemoryClients(self.kafka).producer({})
        for n in range(RECORDS):
            producer.produce("orders", b"%d" % n, None, None, n % PARTITIONS, None)
        self.letters, self.done, self.called, self.down = [], [], 0, True
        self.poison = set()
        self._lock = threading.Lock()
        self.circuits = Circuits({"psp": SETTINGS})
        self.circuits.take_over()
        named = self.circuits.get("psp")
        inside = circuit("psp")(self._call) if guarded == "inside" else self._call

        def bill(order: str) -> None:
            inside(order)

        async def bill_async(order: str) -> None:
            await asyncio.sleep(0)
            inside(order)

        is_async, counters = kind == "async", Counters()
        function = bill_async if is_async else bill
        calls = Calls(
            function,
            read_signature(function, "shop.py:1", injectable=lambda _: False, batch=None, method=False),
            {},
            name="bill",
            counters=counters,
            is_async=is_async,
            guard=partial(around, holder=Holder("psp", named), is_async=is_async) if guarded == "outside" else None,
        )
        recovery = Recovery(
            Meanings(),
            Backoff(0.001, 0.01, jitter=False),
            ATTEMPTS,
            self,
        )
        self.route = Route(
            "bill", recovery, ("orders",), is_async=is_async, call=calls.single(), plain=calls.plain(),
            counters=counters, where="shop.py:1",
        )  # fmt: skip
        self.group = ConsumerGroup(
            "shop", [self.route], Clients(self.kafka), ConsumerSettings(commit_interval=0.01), died=lambda *_: None
        )

    def _call(self, order):
        with self._lock:
            self.called += 1
            if not self.down and int(order) in self.poison:
                raise ValueError(f"{order} is no order")
            if self.down:
                raise ConnectionError(f"no way to charge {order}")
            self.done.append(int(order))

    def away(self, failed):
        self.letters.append(failed.record.value())
        return Away(lambda settled, wanted: settled(), "dead_lettered", "the record goes to the dead letters")


@pytest.fixture
def shop_of():
    made = []

    def make(kind, guarded):
        made.append(Shop(kind, guarded))
        return made[-1]

    yield make
    for shop in made:
        shop.circuits.give_back()


@pytest.mark.parametrize("guarded", ["outside", "inside"])
@pytest.mark.parametrize("kind", ["async", "def"])
async def test_no_record_is_given_up_while_a_dependency_is_down_and_all_are_handled_in_order_when_it_is_back(
    kind, guarded, shop_of
):
    shop = shop_of(kind, guarded)
    psp = shop.circuits.get("psp")
    shop.group.start(asyncio.get_running_loop())
    try:
        await eventually_async(lambda: psp.rejected > 10)
        assert not psp.closed
        assert shop.done == []
        calls, opened = shop.called, psp.rejected
        assert calls < opened + SETTINGS.row + PARTITIONS, "it is asked less often than it is left alone"
        await eventually_async(lambda: psp.rejected > opened + 15)
        assert shop.letters == []
        assert shop.route.counters.settled == 0
        shop.down = False
        await eventually_async(lambda: len(shop.done) == RECORDS)
        assert psp.closed
    finally:
        assert await shop.group.stop(10)
    assert shop.letters == []
    assert shop.route.counters.handled == RECORDS
    for partition in range(PARTITIONS):
        assert [n for n in shop.done if n % PARTITIONS == partition] == list(range(partition, RECORDS, PARTITIONS))


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_without_a_circuit_the_same_outage_floods_the_dead_letters(kind, shop_of):
    shop = shop_of(kind, None)
    shop.group.start(asyncio.get_running_loop())
    try:
        await eventually_async(lambda: len(shop.letters) >= 5)
        assert shop.called >= 5 * ATTEMPTS
    finally:
        await shop.group.stop(10)


@pytest.mark.parametrize("guarded", ["outside", "inside"])
async def test_a_bad_record_is_given_up_after_its_attempts_though_the_circuit_waits_for_a_good_one(guarded, shop_of):
    shop = shop_of("async", guarded)
    psp = shop.circuits.get("psp")
    shop.poison = set(range(PARTITIONS))  # the first of each: they alone are tried while it is half-open
    shop.group.start(asyncio.get_running_loop())
    try:
        await eventually_async(lambda: not psp.closed and psp.rejected > 5)
        shop.down = False
        await eventually_async(lambda: len(shop.done) == RECORDS - PARTITIONS)
    finally:
        assert await shop.group.stop(10)
    assert sorted(shop.letters) == [b"0", b"1", b"2"]
    assert psp.closed
