"""Attempts of `publish` beyond the client's own, on a Kafka in memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from kafkaboot.client.memory import MemoryClients
from kafkaboot.errors import CircuitOpenError, PublishError
from kafkaboot.failure import Circuits, CircuitSettings, Holder, around
from kafkaboot.producer import Attempts, Producer

GONE, REFUSED = "_MSG_TIMED_OUT", "TOPIC_AUTHORIZATION_FAILED"


@dataclass
class Order:
    n: int


class Desk:
    def __init__(self, **options):
        self.clients = MemoryClients()
        self.kafka = self.clients.kafka
        self.kafka.create("orders")
        self.port = self.clients.producer({})
        self.sent, self.delays = [], []
        produce = self.port.produce
        self.port.produce = lambda *record, **more: self.sent.append(dict(record[3])) or produce(*record, **more)
        self.producer = Producer(self.port, attempts=Attempts(delay=self.delay, **options))

    def delay(self, attempt):
        self.delays.append(attempt)
        return 0.001


@pytest.fixture(params=["await", "sync"])
def publish(request):
    """Both forms."""

    async def call(desk, payload=None, **given):
        payload = payload if payload is not None else Order(1)
        if request.param == "await":
            return await desk.producer.publish("orders", payload, **given)
        return await asyncio.to_thread(desk.producer.sync.publish, "orders", payload, **given)

    return call


async def test_what_the_client_gave_up_is_handed_over_again_as_the_same_event(publish):
    desk = Desk(attempts=3)
    desk.kafka.faults.fail_deliveries(GONE, 2)
    receipt = await publish(desk)
    assert receipt.topic == "orders"
    assert len(desk.sent) == 3
    assert len({headers["ce_id"] for headers in desk.sent}) == 1
    assert desk.delays == [1, 2]


async def test_without_attempts_the_first_failure_is_raised(publish):
    desk = Desk()
    desk.kafka.faults.fail_deliveries(GONE, 1)
    with pytest.raises(PublishError):
        await publish(desk)
    assert len(desk.sent) == 1


async def test_after_the_last_attempt_the_error_says_how_many_there_were(publish):
    desk = Desk(attempts=3)
    desk.kafka.faults.fail_deliveries(GONE, 5)
    with pytest.raises(PublishError) as caught:
        await publish(desk)
    assert len(desk.sent) == 3
    assert caught.value.fate == "the record was not delivered, in 3 attempts"


async def test_an_error_for_the_records_own_sake_is_never_tried_again(publish):
    desk = Desk(attempts=3)
    desk.kafka.faults.fail_deliveries(REFUSED, 1)
    with pytest.raises(PublishError):
        await publish(desk)
    with pytest.raises(PublishError, match="too large"):
        await publish(desk, b"x" * 2_000_000, headers={"ce_id": "big"})
    with pytest.raises(PublishError, match="cannot be encoded"):
        await publish(desk, {"a": object()})
    assert len(desk.sent) == 2


async def test_a_client_that_is_lost_is_no_matter_of_attempts(publish):
    desk = Desk(attempts=3)
    translate = desk.port.translate
    desk.port.translate = lambda error: _fatal(translate(error))
    desk.kafka.faults.fail_deliveries(GONE, 1)
    with pytest.raises(PublishError):
        await publish(desk)
    assert len(desk.sent) == 1


def _fatal(error):
    error.fatal = True
    return error


async def test_no_attempt_begins_after_the_time_limit(publish):
    desk = Desk(attempts=1000, time_limit=0.05)
    desk.kafka.faults.fail_deliveries(GONE, 10_000)
    began = time.monotonic()
    with pytest.raises(PublishError):
        await publish(desk)
    assert 1 < len(desk.sent) < 1000
    assert time.monotonic() - began < 10


async def test_room_is_waited_for_until_the_time_limit_and_then_it_says_that_nothing_was_sent(publish):
    desk = Desk(attempts=2, time_limit=0.05)
    desk.kafka.faults.full = 100_000
    with pytest.raises(PublishError, match="buffer is full") as caught:
        await publish(desk)
    assert "the record was not sent" in caught.value.fate
    assert not desk.kafka.records("orders")


def through(circuits, name="broker"):
    def put(function, *, is_async):
        return around(function, Holder(name, circuits.get(name)), is_async=is_async)

    return put


async def test_through_a_circuit_only_failures_that_may_end_count_and_an_open_one_is_not_waited_for(publish):
    circuits = Circuits({"broker": CircuitSettings.model_validate({"consecutive": 2, "open-for": 60})})
    desk = Desk(attempts=1, around=through(circuits))
    circuit = circuits.get("broker")
    for _ in range(5):
        desk.kafka.faults.fail_deliveries(REFUSED, 1)
        with pytest.raises(PublishError):
            await publish(desk)
    assert (circuit.state, circuit.failures, circuit.calls) == ("closed", 0, 5)
    for _ in range(2):
        desk.kafka.faults.fail_deliveries(GONE, 1)
        with pytest.raises(PublishError):
            await publish(desk)
    assert circuit.state == "open"
    sent = len(desk.sent)
    with pytest.raises(CircuitOpenError):
        await publish(desk)
    assert len(desk.sent) == sent


async def test_each_attempt_is_a_call_of_its_own_to_the_circuit_and_it_ends_them_when_it_opens(publish):
    circuits = Circuits({"broker": CircuitSettings.model_validate({"consecutive": 2, "open-for": 60})})
    desk = Desk(attempts=10, around=through(circuits))
    desk.kafka.faults.fail_deliveries(GONE, 10)
    with pytest.raises(CircuitOpenError):
        await publish(desk)
    assert len(desk.sent) == 2


async def test_send_and_batches_stay_as_they_are():
    desk = Desk(attempts=3)
    desk.kafka.faults.fail_deliveries(GONE, 1)
    with pytest.raises(PublishError):
        await desk.producer.send("orders", Order(1))
    desk.kafka.faults.fail_deliveries(GONE, 1)
    with pytest.raises(PublishError):
        await desk.producer.publish_batch("orders", [Order(1), Order(2)])
    assert len(desk.sent) == 3
