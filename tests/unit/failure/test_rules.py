"""Rules 11 to 15 of failure as a user sees them, each beside mutants: without its code the same check goes red."""

from __future__ import annotations

import json
from unittest import mock

import pytest

from kafkaboot.consumer.lanes import Lanes
from kafkaboot.failure import letter_headers, meaning
from kafkaboot.failure.dead_letter import DeadLetters
from kafkaboot.failure.letter_job import LetterJob
from kafkaboot.health import Status
from kafkaboot.producer.forward import Forward
from kafkaboot.testing import eventually_async

THREE = "kafkaboot.retry.default.attempts=3"
ONE = "kafkaboot.retry.default.attempts=1"


# --- 11: retry state belongs to one record


COUNTING = """
import asyncio
CALLS, RECOVERED = [], asyncio.Event()

@event_handler("orders", ordering="key", concurrency=4)
async def bill(order: str, context: Context) -> None:
    CALLS.append((order, context.attempt))
    if order == "bad-1" and context.attempt == 2:
        await asyncio.wait_for(RECOVERED.wait(), 5)
    if order != "recovers" or context.attempt == 1:
        raise OSError(order)
    asyncio.get_running_loop().call_soon(RECOVERED.set)
"""


async def each_record_has_attempts_of_its_own(shop):
    shop.handlers(COUNTING)
    async with shop.running(THREE):
        for value, key in ((b"bad-1", b"bad"), (b"bad-2", b"bad"), (b"recovers", b"good")):
            shop.publish(value, key)
        await shop.commits(3)
    calls = shop.module.CALLS
    for order, attempts in (("bad-1", [1, 2, 3]), ("bad-2", [1, 2, 3]), ("recovers", [1, 2])):
        assert [attempt for one, attempt in calls if one == order] == attempts
    assert [letter.attempts for letter in shop.letters()] == [3, 3]


def all_recover(lanes, lane):
    """The state of all lanes is cleared when the record of one recovers."""
    for each in [lane, *lanes.failing]:
        each.attempt = 0
    lanes.failing.clear()


def none_recovers(lanes, lane):
    """The state belongs to the lane: its next record inherits it."""
    lanes.failing.discard(lane)


async def test_rule_11_each_record_has_attempts_of_its_own(shop):
    await each_record_has_attempts_of_its_own(shop)


@pytest.mark.parametrize("mutant", [all_recover, none_recovers])
async def test_rule_11_without_it_a_neighbour_changes_a_records_attempts(shop, mutant):
    with mock.patch.object(Lanes, "recovered", mutant), pytest.raises(AssertionError):
        await each_record_has_attempts_of_its_own(shop)


# --- 12: the source offset advances only after the dead letter's delivery report


GIVING_UP = """
HANDLED = []

@event_handler("orders", retry=False)
async def bill(order: dict) -> None:
    if order.get("bad"):
        raise ValueError("no total")
    HANDLED.append(order["n"])
"""


async def no_offset_passes_a_record_whose_letter_is_not_written(shop, closed):
    """Poison at offset 1 while the letters' topic takes none, or does not answer; then it is mended."""
    shop.handlers(GIVING_UP)
    async with shop.running() as container:
        writer = shop.writer(container)
        if closed == "refused":
            shop.kafka.denied[shop.letters_topic] = {"WRITE"}
        else:
            shop.kafka.faults.hold_deliveries = True
        for n in range(4):
            shop.publish(b'{"n": %d, "bad": %s}' % (n, b"true" if n == 1 else b"false"))
        await eventually_async(lambda: shop.module.HANDLED == [0, 2, 3] and (writer.pending or shop.committed() > 1))
        shop.publish(b'{"n": 9}', partition=1)
        await shop.commits(1, partition=1)  # every commit says where all partitions are
        assert shop.committed() == 1, "the letter is not written"
        if closed == "refused":
            await eventually_async(lambda: writer.health().status is Status.DOWN)
        shop.kafka.denied.clear()
        shop.kafka.faults.hold_deliveries = False
        await eventually_async(lambda: shop.kafka.deliver() or writer.written == 1)
        await shop.commits(4)
        assert writer.health().status is Status.UP
    (letter,) = shop.letters()
    assert letter.value == b'{"n": 1, "bad": true}'


def settles_at_once(write):
    """The record is settled when its letter is handed over."""

    def send(writer, failed, handler, group, topic, partition, settled, wanted, **more):
        settled()
        write(writer, failed, handler, group, topic, partition, lambda: None, wanted, **more)

    return send


def skips(_writer, job, _error, **_):
    """A letter that cannot be written is left out."""
    job.settled()


@pytest.mark.parametrize("closed", ["refused", "unanswered"])
async def test_rule_12_no_offset_passes_a_record_whose_letter_is_not_written(shop, closed):
    await no_offset_passes_a_record_whose_letter_is_not_written(shop, closed)


@pytest.mark.parametrize(
    ("closed", "name", "mutant"),
    [
        ("refused", "send", settles_at_once(DeadLetters.send)),
        ("unanswered", "send", settles_at_once(DeadLetters.send)),
        ("refused", "_failed", skips),
    ],
)
async def test_rule_12_without_it_the_record_would_be_lost(shop, closed, name, mutant):
    with mock.patch.object(DeadLetters, name, mutant), pytest.raises(AssertionError, match="the letter is not written"):
        await no_offset_passes_a_record_whose_letter_is_not_written(shop, closed)


# --- 13: raw bytes, the record's own headers, framework headers replaced, a size that fits


RAISING = """
@event_handler("orders", retry=False)
def bill(order: bytes) -> None:
    raise ValueError("ö" * 2000)
"""
OWN = [("trace", b"\x00\xff"), ("kb-exception", b"an.Earlier"), ("trace", None), ("kafka_dlt-exception-fqcn", b"a.B")]


def stored(record):
    """Bytes that count against a topic's `max.message.bytes` in memory."""
    carried = sum(len(name.encode()) + len(content or b"") for name, content in record.headers())
    return len(record.key()) + len(record.value()) + carried


async def a_letter_is_the_record_and_fits(shop, within=5.0):
    shop.handlers(RAISING)
    async with shop.running("kafkaboot.dead-letter.traceback-size=100"):
        shop.publish(b"\x00v\xff", b"k\xfe", OWN)
        await shop.commits(1, within=within)
        (record,) = shop.kafka.records(shop.letters_topic)
        # One byte less than this letter takes, so that the next one does not fit and would without its traceback.
        shop.kafka.topic_configs[shop.letters_topic]["max.message.bytes"] = str(stored(record) - 1)
        shop.publish(b"v\x00\xfe", b"k\xfe", OWN)
        await shop.commits(2, within=within)
    first, second = shop.letters()
    assert (first.key, first.value, second.value) == (b"k\xfe", b"\x00v\xff", b"v\x00\xfe")
    for letter in (first, second):
        assert letter.headers[:2] == [("trace", b"\x00\xff"), ("trace", None)]
        names = [name for name, _ in letter.headers[2:]]
        assert len(names) == len(set(names))
        assert (letter.exception, letter.message) == ("builtins.ValueError", "ö" * 2000)
    assert first.traceback == "ö" * 49 + "\n", "100 bytes at most, and no half of a character"
    assert second.traceback == "", "what does not fit loses its traceback first"


def appends(headers, dropped):
    """Framework headers are added to those that are there."""
    return list(headers)


@pytest.mark.parametrize(
    ("owner", "name", "mutant"),
    [
        (letter_headers, "REPLACED", frozenset()),
        (letter_headers, "cut_start", lambda text, _: text),
        (letter_headers, "cut_start", lambda text, size: text.decode()[-size:].encode()),
        (letter_headers, "cut_start", lambda text, size: text[-size:]),
        (LetterJob, "shorten", lambda _: False),
    ],
    ids=["appended", "uncut", "cut by characters", "cut within one", "never shortened"],
)
async def test_rule_13_without_it_a_letter_is_not_the_record_or_does_not_fit(shop, owner, name, mutant):
    with mock.patch.object(owner, name, mutant), pytest.raises(AssertionError):
        await a_letter_is_the_record_and_fits(shop, within=1.5)


async def test_rule_13_a_letter_is_the_record_and_fits(shop):
    await a_letter_is_the_record_and_fits(shop)


# --- 14: what cannot be decoded goes straight to the dead letters


DECODING = """
from pydantic import BaseModel
HANDLED = []

class Order(BaseModel):
    n: int

@event_handler("orders")
async def bill(order: Order) -> None:
    HANDLED.append(order.n)
"""
POISON = (b"\xff\xfe", b'{"n": "many"}', b"", b"{")


async def poison_goes_straight_to_the_letters(shop):
    shop.handlers(DECODING)
    async with shop.running(THREE):
        for n, value in enumerate(POISON):
            shop.publish(value)
            shop.publish(b'{"n": %d}' % n)
        await shop.commits(2 * len(POISON))
    assert list(range(len(POISON))) == shop.module.HANDLED
    letters = shop.letters()
    assert [letter.value for letter in letters] == list(POISON)
    assert {(letter.attempts, letter.exception) for letter in letters} == {(1, "kafkaboot.errors.UndecodableError")}


async def test_rule_14_poison_goes_straight_to_the_letters(shop):
    await poison_goes_straight_to_the_letters(shop)


async def test_rule_14_without_it_poison_is_tried_again_and_again(shop):
    with mock.patch.object(meaning, "FATAL", ()), pytest.raises(AssertionError):
        await poison_goes_straight_to_the_letters(shop)


# --- 15: a failed handler publishes nothing of what it would have returned


PUBLISHING = """
from pydantic import BaseModel

class Order(BaseModel):
    lines: list[str]

class Invoice(BaseModel):
    order_id: str

def key(invoice: Invoice) -> str:
    if invoice.order_id == "unkeyed":
        raise LookupError("no key")
    return invoice.order_id

@event_handler("orders")
@publisher("invoices", key=key)
{kind} bill(order: Order) -> list[Invoice]:
    made = []
    for line in order.lines:
        if line == "raises":
            raise ValueError("no price")
        made.append(Invoice(order_id=line))
    return made
"""


async def a_failed_handler_publishes_nothing(shop, kind):
    shop.handlers(PUBLISHING.format(kind=kind))
    good, raises, unkeyed = ["a", "b"], ["c", "raises"], ["d", "unkeyed"]
    async with shop.running(THREE):
        for lines in (raises, unkeyed, good):
            shop.publish(json.dumps({"lines": lines}).encode())
        await shop.commits(3)
    assert [record.key() for record in shop.kafka.records("invoices")] == [b"a", b"b"]
    assert [json.loads(letter.value)["lines"] for letter in shop.letters()] == [raises, unkeyed]


def one_by_one(forward, result, delivered):
    """Each payload is handed over as soon as it is made."""
    for payload in result:
        for binding in forward.bindings:
            binding.hand(binding.make(payload), lambda *_: None)
    delivered(None, None)


@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_rule_15_a_failed_handler_publishes_nothing_of_what_it_would_have_returned(shop, kind):
    await a_failed_handler_publishes_nothing(shop, kind)


async def test_rule_15_without_it_a_part_of_its_outputs_stands_beside_its_letter(shop):
    with mock.patch.object(Forward, "_all", one_by_one), pytest.raises(AssertionError):
        await a_failed_handler_publishes_nothing(shop, "async def")
