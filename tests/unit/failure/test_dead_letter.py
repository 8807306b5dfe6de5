"""The writer of dead letters: a record is settled when its letter is acknowledged, and not before."""

from __future__ import annotations

import logging
import threading
from collections import Counter

import pytest

from kafkaboot.client.memory import MemoryClients, MemoryRecord
from kafkaboot.consumer import Backoff, Failed
from kafkaboot.errors import ClientError
from kafkaboot.failure import dead_letter
from kafkaboot.failure.dead_letter import DeadLetters
from kafkaboot.failure.dead_letter_settings import DeadLetterSettings
from kafkaboot.failure.letter import read
from kafkaboot.failure.letter_topics import LetterTopics
from kafkaboot.health import Status
from kafkaboot.testing import eventually

DLT = "orders.shop.dlt"
QUICK = Backoff(0.001, 0.02)


def failed(*, value=b"\x00raw\xff", key=b"k", partition=1, offset=7, error=None, headers=None, topic="orders"):
    try:
        raise error or ValueError("no total")
    except ValueError as caught:
        return Failed(MemoryRecord(topic, partition, offset, value, key, headers, 1_600_000_000_000), caught, 1, 1e9)


class Desk:
    """A writer on a cluster in memory, and the records that it was given."""

    def __init__(self, *, settings=None, backoff=QUICK, topics=False, **options):
        self.clients = MemoryClients()
        self.kafka = self.clients.kafka
        seen_to = LetterTopics(self.clients, {}) if topics else None
        self.writer = DeadLetters(
            self.clients, settings or DeadLetterSettings(), topics=seen_to, backoff=backoff, **options
        )
        self.settled = Counter()
        self.live = True

    def send(self, one):
        record = one.record
        where = (record.partition(), record.offset())
        way = self.writer.away(one, "bill", "shop")
        way.send(lambda: self.settled.update([where]), lambda: self.live)
        return way

    def letters(self, topic=DLT):
        return self.kafka.records(topic)


@pytest.fixture
def desk(request):
    made = Desk(**getattr(request, "param", {}))
    made.kafka.create("orders", 4)
    made.kafka.create(DLT, 4)
    yield made
    made.kafka.faults.heal()
    made.live = False
    made.writer.close(5)


def test_a_letter_carries_the_record_byte_for_byte_and_settles_it(desk):
    own = [("trace", b"\x00\xff"), ("trace", None)]
    way = desk.send(failed(headers=own))
    eventually(lambda: desk.settled)
    (letter,) = desk.letters()
    assert (letter.key(), letter.value(), letter.partition()) == (b"k", b"\x00raw\xff", 1)
    assert letter.headers()[:2] == own
    assert desk.settled == {(1, 7): 1}
    assert (way.why, way.fate) == ("dead_lettered", f"the record goes to the dead letters in {DLT}")
    assert read(letter).fingerprint
    assert desk.writer.health().status is Status.UP


@pytest.mark.parametrize("value", [None, b""])
def test_a_tombstone_stays_one(desk, value):
    desk.send(failed(value=value, key=None))
    eventually(lambda: desk.settled)
    assert (desk.letters()[0].value(), desk.letters()[0].key()) == (value, None)


def test_nothing_is_settled_before_the_broker_has_answered(desk):
    desk.kafka.faults.hold_deliveries = True
    desk.send(failed())
    eventually(desk.letters)
    assert not desk.settled
    assert desk.writer.flush(0.05) == 1
    assert not desk.settled
    eventually(lambda: desk.kafka.deliver() or desk.settled)
    assert desk.settled == {(1, 7): 1}


def test_a_write_that_fails_is_tried_again_until_it_succeeds_and_leaves_one_letter(desk, caplog):
    desk.kafka.faults.fail_deliveries("NOT_ENOUGH_REPLICAS", 6)
    with caplog.at_level(logging.WARNING, "kafkaboot.failure"):
        desk.send(failed())
        eventually(lambda: desk.settled)
    assert len(desk.letters()) == 1
    assert desk.settled == {(1, 7): 1}
    alarm, over = [record.getMessage() for record in caplog.records]
    assert f"dead letters cannot be written to {DLT}" in alarm
    assert "(orders[1]@7)" in alarm
    assert "the record is kept and its offset is not committed" in alarm
    assert f"can be written to {DLT} again" in over


def test_while_writing_fails_the_health_is_down_and_nothing_is_settled(desk):
    desk.kafka.denied[DLT] = {"WRITE"}
    for offset in range(3):
        desk.send(failed(offset=offset))
    eventually(lambda: desk.writer.failing == 3)
    health = desk.writer.health()
    assert health.status is Status.DOWN
    assert health.details[DLT]["waiting"] == 3
    assert health.details[DLT]["since"] >= 0
    assert not desk.settled
    desk.kafka.denied.clear()
    eventually(lambda: len(desk.settled) == 3)
    eventually(lambda: desk.writer.health().status is Status.UP)
    assert (desk.writer.written, desk.writer.failing, len(desk.letters())) == (3, 0, 3)


def test_one_closed_topic_does_not_hold_up_another(desk):
    desk.kafka.create("returns.shop.dlt", 4)
    desk.kafka.denied[DLT] = {"WRITE"}
    desk.send(failed())
    eventually(lambda: desk.writer.failing)
    desk.send(failed(topic="returns", offset=99))
    eventually(lambda: desk.settled)
    assert set(desk.settled) == {(1, 99)}


def test_a_letter_that_is_not_ours_any_more_is_left_to_the_next_owner(desk):
    desk.kafka.denied[DLT] = {"WRITE"}
    desk.send(failed())
    eventually(lambda: desk.writer.failing)
    desk.live = False
    eventually(lambda: desk.writer.given_up)
    desk.kafka.denied.clear()
    assert desk.writer.flush(5) == 0
    assert not desk.letters()
    assert not desk.settled
    assert desk.writer.health().status is Status.UP


def test_a_full_buffer_is_waited_for_and_no_cause_for_alarm(desk, caplog):
    desk.kafka.faults.full = 3
    desk.send(failed())
    eventually(lambda: desk.settled)
    assert not caplog.records


def test_a_lost_client_raises_the_alarm_until_another_one_takes_the_letter(desk):
    desk.kafka.faults.lost = ClientError("the sequence is lost", code="OUT_OF_ORDER_SEQUENCE_NUMBER", fatal=True)
    desk.send(failed())
    eventually(lambda: desk.writer.health().status is Status.DOWN)
    assert desk.writer.health().details[DLT]["error"] == "the sequence is lost"
    assert not desk.settled
    desk.kafka.faults.lost = None
    eventually(lambda: desk.settled)
    assert len(desk.letters()) == 1
    assert desk.writer.health().status is Status.UP


def test_an_answer_that_does_not_come_raises_the_alarm(desk, monkeypatch):
    monkeypatch.setattr(dead_letter, "SLOW", 0.05)
    desk.kafka.faults.hold_deliveries = True
    desk.send(failed())
    eventually(lambda: desk.writer.health().status is Status.DOWN)
    assert "acknowledged" in desk.writer.health().details[DLT]["error"]
    eventually(lambda: desk.kafka.deliver() or desk.settled)
    eventually(lambda: desk.writer.health().status is Status.UP)


# --- size


def small(desk, size):
    desk.kafka.topic_configs[DLT]["max.message.bytes"] = str(size)


def test_a_letter_that_is_too_large_loses_its_traceback_first_then_most_of_its_message(desk):
    small(desk, 3000)
    desk.send(failed(error=ValueError("x" * 1500), offset=1))
    eventually(lambda: desk.settled)
    first = read(desk.letters()[0])
    assert (first.traceback, first.message) == ("", "x" * 1500)
    desk.send(failed(error=ValueError("x" * 3500), offset=2))
    eventually(lambda: len(desk.settled) == 2)
    second = read(desk.letters()[1])
    assert (second.traceback, second.message) == ("", "x" * 200)
    assert second.value == b"\x00raw\xff"


@pytest.mark.parametrize("desk", [{"properties": {"message.max.bytes": 2000}}], indirect=True)
def test_the_same_where_the_producer_itself_refuses(desk):
    desk.send(failed(error=ValueError("x" * 2500)))
    eventually(lambda: desk.settled)
    assert read(desk.letters()[0]).message == "x" * 200


def test_a_record_that_is_itself_too_large_is_kept_told_and_written_when_the_topic_allows_it(desk, caplog):
    small(desk, 1000)
    desk.send(failed(value=b"v" * 2000))
    eventually(lambda: desk.writer.failing)
    (alarm,) = [record.getMessage() for record in caplog.records]
    assert "2001 bytes of key and value" in alarm
    assert f"raise max.message.bytes of the topic {DLT}" in alarm
    desk.send(failed(offset=8))
    eventually(lambda: desk.settled)
    assert set(desk.settled) == {(1, 8)}
    assert desk.writer.health().status is Status.DOWN
    small(desk, 10_000)
    eventually(lambda: len(desk.settled) == 2)
    assert desk.letters()[1].value() == b"v" * 2000


def test_a_letter_in_a_batch_that_was_refused_keeps_its_traceback_when_it_fits_alone(desk):
    desk.kafka.faults.fail_deliveries("MSG_SIZE_TOO_LARGE", 1)
    desk.send(failed())
    eventually(lambda: desk.settled)
    assert read(desk.letters()[0]).traceback


# --- where it goes


def test_the_partition_is_the_records_own_or_chosen_by_the_key():
    for partition, expected in (("same", {0, 1, 2, 3}), ("any", None)):
        desk = Desk(settings=DeadLetterSettings(partition=partition))
        desk.kafka.create(DLT, 4)
        for one in range(4):
            desk.send(failed(partition=one))
        assert desk.writer.close(5) == 0
        landed = {letter.partition() for letter in desk.letters()}
        assert landed == expected if expected else len(landed) == 1


def test_a_topic_with_fewer_partitions_than_its_source_has_grown_takes_the_letter_all_the_same(desk, caplog):
    desk.send(failed(partition=9))
    eventually(lambda: desk.settled)
    assert len(desk.letters()) == 1
    assert "has no partition 9" in caplog.text


@pytest.mark.parametrize("desk", [{"topics": True}], indirect=True)
def test_the_topic_of_a_pattern_is_made_at_its_first_letter_with_its_sources_partitions(desk):
    desk.kafka.create("returns-eu", 6)
    desk.send(failed(topic="returns-eu", partition=5))
    eventually(lambda: desk.settled)
    assert len(desk.kafka.topics["returns-eu.shop.dlt"]) == 6
    assert desk.letters("returns-eu.shop.dlt")[0].partition() == 5


@pytest.mark.parametrize("desk", [{"topics": True}], indirect=True)
def test_a_topic_that_disappears_is_made_again(desk):
    desk.send(failed())
    eventually(lambda: desk.settled)
    desk.kafka.topics.pop(DLT)
    desk.send(failed(offset=8))
    eventually(lambda: len(desk.settled) == 2)
    assert len(desk.letters()) == 1


def test_the_producer_is_safe_and_quick():
    asked = []

    class Clients(MemoryClients):
        def producer(self, overrides):
            asked.append(dict(overrides))
            return super().producer(overrides)

    clients = Clients()
    clients.kafka.create(DLT, 2)
    writer = DeadLetters(clients, DeadLetterSettings())
    assert not asked
    writer.away(failed(), "bill", "shop").send(lambda: None, lambda: True)
    assert writer.close(5) == 0
    (properties,) = asked
    assert (properties["enable.idempotence"], properties["acks"]) == (True, "all")
    assert properties["linger.ms"] <= 5


# --- the caller, and the end


def test_the_caller_never_waits_though_the_client_does():
    gate = threading.Event()

    class Clients(MemoryClients):
        def producer(self, overrides):
            gate.wait(10)
            return super().producer(overrides)

    clients = Clients()
    clients.kafka.create(DLT, 2)
    writer = DeadLetters(clients, DeadLetterSettings())
    done = []
    for offset in range(100):
        writer.away(failed(offset=offset), "bill", "shop").send(lambda: done.append(1), lambda: True)
    assert not done
    assert writer.pending == 100
    gate.set()
    assert writer.close(10) == 0
    assert (len(done), writer.written) == (100, 100)


def test_stopping_tries_what_waits_once_more_and_gives_up_the_rest(caplog):
    desk = Desk(backoff=Backoff(60, 60, jitter=False))
    desk.kafka.create(DLT, 4)
    desk.kafka.denied[DLT] = {"WRITE"}
    desk.send(failed(offset=1))
    eventually(lambda: desk.writer.failing)
    desk.kafka.denied.clear()
    assert desk.writer.flush(5) == 0
    assert desk.settled == {(1, 1): 1}
    desk.kafka.denied[DLT] = {"WRITE"}
    desk.send(failed(offset=2))
    eventually(lambda: desk.writer.failing)
    assert desk.writer.close(0.1) == 1
    assert desk.writer.given_up == 1
    assert "1 dead letters are not written" in caplog.text
    desk.kafka.denied.clear()
    desk.send(failed(offset=3))
    assert set(desk.settled) == {(1, 1)}
    assert len(desk.letters()) == 1


def test_many_letters_from_many_threads_are_each_written_once(desk):
    desk.kafka.faults.fail_deliveries("_MSG_TIMED_OUT", 40)

    def pour(partition):
        for offset in range(100):
            desk.send(failed(partition=partition, offset=offset))

    threads = [threading.Thread(target=pour, args=(one,)) for one in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert desk.writer.flush(20) == 0
    assert desk.settled == dict.fromkeys([(p, o) for p in range(4) for o in range(100)], 1)
    assert len(desk.letters()) == 400


def test_the_control_a_writer_that_settles_at_once_is_caught_by_these_checks(desk):
    desk.kafka.denied[DLT] = {"WRITE"}
    desk.settled.update([(1, 7)])  # what a writer would do that does not wait for the broker
    desk.send(failed())
    eventually(lambda: desk.writer.failing)
    assert set(desk.settled) - {(letter.partition(), 7) for letter in desk.letters()}
