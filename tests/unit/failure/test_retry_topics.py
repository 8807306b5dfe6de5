"""From retry topic to retry topic: when a record is due, where it goes next, and what its headers cannot do."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest

from kafkaboot.client import TP
from kafkaboot.client.memory import MemoryKafka
from kafkaboot.consumer import Again, Backoff, Failed
from kafkaboot.consumer.batches import NotBegun
from kafkaboot.consumer.route import Detour
from kafkaboot.failure import BackoffThenDelays, RetryTopics, batch_when_due, retry_topics, when_due
from kafkaboot.failure.letter_headers import headers_of
from kafkaboot.testing import eventually_async

NOW = 1_800_000_000.0
LONGEST = 10.0
FIRST, SECOND = "orders.shop.retry.1s", "orders.shop.retry.10s"


class Sent(NamedTuple):
    record: object
    handler: str
    group: str
    topic: str
    partition: int
    due: float


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """The clock of retry topics stands still, but where an application runs."""
    monkeypatch.setattr(retry_topics, "time", lambda: NOW)


class Writer:
    def __init__(self):
        self.sent = []

    def send(self, failed, handler, group, topic, partition, settled, wanted, *, due):
        self.sent.append(Sent(failed.record, handler, group, topic, partition, due))


def record(topic="orders", headers=None, partition=0, value=b"v"):
    kafka = MemoryKafka()
    kafka.create(topic, partition + 1)
    return kafka.append(topic, value, b"k", headers, partition)


def failed(raw, attempt=1, since=NOW):
    return Failed(raw, RuntimeError("no"), attempt, since)


def moved(before, topic, attempt=1, since=NOW, due=NOW):
    """What stands in a retry topic after an attempt at a record."""
    said = headers_of(failed(before, attempt, since), handler="bill", group="shop", fingerprint="", now=NOW)
    return record(topic, [("kb-retry-due", b"%d" % (due * 1000)), *said], before.partition())


def due_in(seconds, attempts=b"3"):
    return record(FIRST, [("kb-retry-due", b"%d" % ((NOW + seconds) * 1000)), ("kb-attempts", attempts)])


# --- when it is due


def call(raw, attempt):
    return raw, attempt


@pytest.mark.parametrize("seconds", [0.001, 1, LONGEST, 600])
def test_the_handler_is_not_called_before_a_record_is_due_and_that_is_no_attempt(seconds):
    with pytest.raises(Detour) as caught:
        when_due(call, LONGEST)(due_in(seconds))
    verdict = caught.value.verdict(None)
    assert verdict == Again(pytest.approx(seconds, abs=0.001), counts=False)


@pytest.mark.parametrize("seconds", [0, -0.001, -1000])
def test_what_is_due_is_handled_and_attempts_are_counted_on(seconds):
    raw = due_in(seconds)
    assert when_due(call, LONGEST)(raw) == (raw, 4)
    assert when_due(call, LONGEST)(raw, 2) == (raw, 5)


@pytest.mark.parametrize(("attempt", "wait"), [(1, 1), (2, 6), (3, 16), (4, 16)])
def test_what_waits_in_the_lane_of_the_retry_topic_waits_on_after_a_restart(attempt, wait):
    with pytest.raises(Detour) as caught:
        when_due(call, LONGEST, (5.0, 10.0))(due_in(1), attempt)
    assert caught.value.verdict(None).delay == pytest.approx(wait, abs=0.001)


FORGED = [b"", b"soon", b"-5", b"1e30", "\u0663".encode(), b"9" * 18, b"9" * 19, b"9" * 400, None]


@pytest.mark.parametrize("said", FORGED)
def test_a_due_time_and_attempts_that_cannot_be_are_as_if_they_were_not_there(said):
    raw = record(FIRST, [("kb-retry-due", said), ("kb-attempts", None if said is None else b"x" + said)])
    assert when_due(call, LONGEST)(raw) == (raw, 1)
    assert batch_when_due(call, LONGEST)([raw]) == ([raw], 1)
    assert when_due(call, LONGEST)(record(FIRST)) is not None


@pytest.mark.parametrize("due", [0, 1, 2])
def test_of_a_batch_what_is_due_comes_first_and_the_rest_waits(due):
    raws = [due_in(-1) for _ in range(due)] + [due_in(7), due_in(-1)]
    with pytest.raises(NotBegun) as caught:
        batch_when_due(call, LONGEST)(raws)
    assert caught.value.index == due
    assert caught.value.cause.verdict(None) == Again(pytest.approx(7, abs=0.001), counts=False)
    assert batch_when_due(call, LONGEST)(raws[:due] + raws[-1:])[1] == 4


# --- where it goes


def policy(**more):
    writer = Writer()
    return RetryTopics("bill", "shop", ["orders", "invoices"], [1.0, LONGEST], writer, **more), writer


def sent(topics, writer, one):
    way = topics.away(one)
    if way is None:
        return None
    assert way.why == "retried_later"
    way.send(lambda: None, lambda: True)
    return writer.sent.pop()


def test_topic_follows_topic_each_with_its_delay_and_on_the_partition_where_the_record_stood_first():
    topics, writer = policy()
    assert topics.topics == [FIRST, SECOND, "invoices.shop.retry.1s", "invoices.shop.retry.10s"]
    first = record(partition=2)
    assert sent(topics, writer, failed(first))[1:] == ("bill", "shop", FIRST, 2, NOW + 1)
    second = moved(first, FIRST)
    assert sent(topics, writer, failed(second))[1:] == ("bill", "shop", SECOND, 2, NOW + LONGEST)
    assert sent(topics, writer, failed(moved(second, SECOND))) is None


def test_the_time_limit_counts_from_the_first_failure_in_the_source():
    topics, writer = policy(time_limit=LONGEST + 5)
    raw = moved(record(), FIRST, since=NOW - 6)
    assert sent(topics, writer, failed(raw)) is None
    assert sent(topics, writer, failed(moved(record(), FIRST, since=NOW - 4))) is not None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("kb-original-topic", b"secrets"), ("kb-original-partition", b"0"), ("kb-original-offset", b"0")],
        [("kb-original-topic", b"orders"), ("kb-original-partition", b"x"), ("kb-original-offset", b"0")],
    ],
)
def test_a_record_whose_origin_is_not_believed_goes_no_further(headers):
    topics, writer = policy()
    assert sent(topics, writer, failed(record(FIRST, headers))) is None
    assert sent(topics, writer, failed(record("orders", headers))).topic == FIRST, "in the source it is no origin"


def test_earlier_attempts_and_the_first_failure_are_read_and_of_garbage_nothing_is():
    topics, _ = policy()
    raw = moved(record(), FIRST, attempt=3, since=NOW - 100)
    assert topics.earlier(failed(raw)) == (3, pytest.approx(NOW - 100, abs=0.001))
    forged = [(name, b"?" if name in ("kb-attempts", "kb-first-failed-at") else value) for name, value in raw.headers()]
    assert topics.earlier(failed(record(FIRST, forged))) == (0, NOW)
    assert topics.earlier(failed(record())) == (0, NOW)


class Turns:
    """Stands for `KeyOrder`."""

    def __init__(self):
        self.seen = []

    def in_turn(self, one, write):
        self.seen.append(one)
        return write


def test_one_that_follows_is_due_at_once_and_its_wait_begins_when_it_fails_itself():
    order = Turns()
    topics, writer = policy(order=order)
    assert topics.topics == [FIRST, "invoices.shop.retry.1s"], "the later delays are waited for in the lane"
    raw = record(partition=1)
    with pytest.raises(Detour) as caught:
        raise topics.follows()
    one = Failed(raw, caught.value, 0, NOW - 50)
    caught.value.verdict(one).send(lambda: None, lambda: True)
    assert one.error.__traceback__ is None, "there is nothing to tell of it"
    assert writer.sent.pop()[1:] == ("bill", "shop", FIRST, 1, 0.0)
    assert order.seen == [one]
    there = record(FIRST, headers_of(one, handler="bill", group="shop", fingerprint="", now=NOW - 50))
    assert topics.earlier(failed(there)) == (0, NOW)


def test_in_one_lane_the_back_off_comes_first_then_the_delays_of_the_topics():
    delays = BackoffThenDelays(Backoff(0.2, jitter=False), 3, (1.0, 10.0))
    assert [delays.delay(attempt) for attempt in range(1, 7)] == [0.2, 0.4, 1.0, 10.0, 10.0, 10.0]


# --- in an application


BILL = """
CALLS = []

@event_handler("orders", retry=RetryPolicy(attempts=2, initial=0.001, topics=(0.05, 0.1){more}))
async def bill(order: str, context: Context) -> None:
    CALLS.append((order, context.attempt))
    if order.startswith("bad"):
        raise RuntimeError(order)
"""


@pytest.mark.parametrize("more", ["", ', keep_order="key"'], ids=["plain", "keep-order"])
async def test_whatever_is_written_into_a_retry_topic_it_is_handled_or_a_dead_letter_and_holds_up_nobody(
    shop, more, monkeypatch
):
    monkeypatch.setattr(retry_topics, "time", time.time)
    shop.handlers(BILL.format(more=more))
    async with shop.running():
        topic = f"orders.{shop.group}.retry.50ms"
        for at, said in enumerate([*FORGED, b"9" * 17]):
            mine = [("kb-handler", b"bill"), ("kb-original-topic", b"orders"), ("kb-original-partition", said)]
            more_said = [
                (f"kb-{name}", said) for name in ("retry-due", "attempts", "original-offset", "first-failed-at")
            ]
            for value in (f"good-{at}", f"bad-{at}"):
                shop.kafka.append(topic, value.encode(), b"k", mine + more_said, 0)
        shop.kafka.append(topic, b"last", b"k", None, 0)
        shop.publish(b"good")
        await eventually_async(lambda: ("last", 1) in shop.module.CALLS, 10, "all of the retry topic is handled")
        # Whose origin is not believed: its letter is that of a record which was published to the retry topic itself.
        shop.letters_topic = f"{topic}.{shop.group}.dlt"
        await eventually_async(lambda: len(shop.letters()) == at + 1, 10, "the bad ones are dead letters")
        await shop.commits(1)
    called = {order for order, _ in shop.module.CALLS}
    assert {f"good-{each}" for each in range(at + 1)} | {"good"} <= called
    assert sorted(letter.value for letter in shop.letters()) == sorted(b"bad-%d" % each for each in range(at + 1))


async def test_the_group_of_the_retries_commits_often_however_rarely_the_handler_s_does(shop, monkeypatch):
    """A key that waits is free once that is committed."""
    monkeypatch.setattr(retry_topics, "time", time.time)
    shop.handlers(BILL.format(more=', keep_order="key"'))
    async with shop.running("kafkaboot.consumer.commit-interval=1h"):
        shop.publish(b"bad")
        there = TP(f"orders.{shop.group}.retry.50ms", 0)
        await eventually_async(
            lambda: shop.kafka.committed(f"{shop.group}.retry", there).offset == 1, 5, "it is committed there"
        )
        assert shop.committed() in (None, 0), "an hour has not passed"
