"""Handlers that raise: what they have published falls with the transaction, what was decided of their records holds."""

import asyncio
import time

import pytest

from kafkaboot.client import TP
from kafkaboot.consumer import Backoff, Settled
from kafkaboot.consumer.crew import Crew
from kafkaboot.consumer.holding import Holding
from kafkaboot.errors import BatchFailed, KafkabootError
from kafkaboot.failure import DeadLetters, DeadLetterSettings, EnclosedLetters, Meanings, Recovery
from kafkaboot.testing import eventually_async

both = pytest.mark.parametrize("kind", ["async", "def"])


class Publishing:
    """Publishes by itself, before the handler goes on."""

    process = None

    def __call__(self, value):
        self.process.producer.send("copies", int(value), partition=0)


def recovering(process, attempts, initial=0.0):
    """Retries, then dead letters in the transaction."""
    letters = DeadLetters(process.clients, DeadLetterSettings(topic="letters"))
    enclosed = EnclosedLetters(letters, process.transactions.door)

    class Dead:
        def away(self, failed):
            return enclosed.away(failed, "copy", "shop")

    process.route.failing = Recovery(Meanings(), Backoff(initial, jitter=False), attempts, Dead())
    return letters


@pytest.fixture
def publishing(world, calls):
    """A world, a handler that publishes by itself, and its process."""

    def make(kind="async", partitions=1, **options):
        at, publish = world(partitions), Publishing()
        handler = calls(kind, publish)
        process = publish.process = at.process(handler.handle, kind=kind, **options)
        return at, handler, process

    return make


@both
async def test_a_handler_that_failed_before_it_published_anything_brings_no_transaction_down(world, calls, kind):
    at, handler = world(), calls(kind)
    process = at.process(handler.handle, kind=kind)
    handler.failures = {"1": 3}
    at.give(0, 1, 2)
    await process.until(lambda: at.stands() == 3)
    await process.turn(2)
    assert at.copies() == [0, 1, 2]
    assert handler.seen == {"0": 1, "1": 4, "2": 1}
    assert process.pool.outcomes.keys() == {"committed"}


@both
async def test_what_a_failed_attempt_has_published_is_never_seen_and_attempts_are_counted_on(publishing, kind):
    at, handler, process = publishing(kind, partitions=2)
    handler.failures = {"1": 2}
    at.give(0, 1, 2)
    at.give(5, partition=1)
    await process.until(lambda: (at.stands(0), at.stands(1)) == (3, 1))
    assert sorted(at.copies()) == [0, 1, 2, 5]
    assert [attempt for value, attempt in handler.calls if value == "1"] == [1, 2, 3]
    assert at.written().count(1) == 3, "the control: failed attempts were written"


async def test_control_without_the_taint_a_failed_attempt_is_seen(publishing, monkeypatch):
    monkeypatch.setattr(Crew, "_fell", lambda *_: False)
    at, handler, process = publishing()
    handler.failures = {"1": 2}
    at.give(0, 1, 2)
    await process.until(lambda: at.stands() == 3)
    assert at.copies().count(1) > 1


async def test_control_without_what_was_carried_over_attempts_begin_anew(publishing, monkeypatch):
    renewed = Holding.renewed

    def bare(holding, fresh):
        holding.assignment.judged, holding.assignment.attempts = {}, {}
        for lanes in holding.lanes.values():
            lanes.failing.clear()
        return renewed(holding, fresh)

    monkeypatch.setattr(Holding, "renewed", bare)
    at, handler, process = publishing()
    handler.failures = {"1": 2}
    at.give(0, 1, 2)
    await process.until(lambda: at.stands() == 3)
    assert [attempt for value, attempt in handler.calls if value == "1"] == [1, 1, 1]


async def test_the_back_off_of_an_attempt_that_fell_is_honoured(publishing):
    at, handler, process = publishing(retry=0.15)
    handler.failures = {"1": 1}
    at.give(0, 1)
    await process.until(lambda: handler.seen["1"] == 1)
    before = time.monotonic()
    await process.until(lambda: at.stands() == 2)
    assert time.monotonic() - before > 0.1
    assert at.copies() == [0, 1]


@pytest.mark.parametrize("inside", [True, False])
async def test_a_record_that_is_given_up_is_not_called_again_and_its_letter_comes_with_its_offset(world, calls, inside):
    at, publish = world(), Publishing()
    handler = calls("async", publish if inside else None)
    process = publish.process = at.process(handler.handle)
    letters = recovering(process, attempts=3)
    handler.failures = {"1": 99}
    process.ends.held = not inside
    at.give(1)
    if not inside:
        await process.until(lambda: at.written("letters") == [1])
        assert (at.copies("letters"), at.stands()) == ([], 0)
        process.ends.held = False
        process.ends.let()
    at.give(0, 2)
    await process.until(lambda: at.stands() == 3)
    await process.turn(2)
    assert at.copies() == [0, 2]
    assert at.copies("letters") == [1]
    assert [attempt for value, attempt in handler.calls if value == "1"] == [1, 2, 3]
    assert letters.written == 1
    letters.close()


async def test_a_letter_whose_transaction_fell_is_written_again_without_another_attempt(world, calls):
    at, handler = world(), calls()
    process = at.process(handler.handle)
    letters = recovering(process, attempts=2)
    handler.failures = {"1": 99}
    at.give(0, 1, 2)
    process.ends.held = True
    await process.until(lambda: at.written("letters") == [1] and process.transactions._ending is not None)
    at.kafka.faults.fail_transaction("send_offsets", "_FATAL")
    process.ends.held = False
    process.ends.let()
    await process.until(lambda: at.stands() == 3)
    await process.turn(2)
    assert at.copies("letters") == [1]
    assert at.written("letters") == [1, 1], "the control: the first one fell"
    assert [attempt for value, attempt in handler.calls if value == "1"] == [1, 2]
    assert letters.written == 1
    letters.close()


async def test_a_letter_that_its_topic_refuses_is_shortened_and_holds_up_nothing_for_good(world, calls):
    at, handler = world(), calls()
    at.kafka.topic_configs["letters"]["max.message.bytes"] = "1000"
    process = at.process(handler.handle)
    letters = recovering(process, attempts=1)
    handler.failures = {"1": 99}
    at.give(0, 1, 2)
    await process.until(lambda: at.stands() == 3)
    await process.turn(2)
    assert at.copies("letters") == [1]
    assert at.copies() == [0, 2]
    assert handler.seen["1"] == 1
    letters.close()


async def test_a_skipped_record_that_had_published_something_leaves_nothing_of_it(publishing):
    at, handler, process = publishing()

    class Skipping:
        def judge(self, failed):
            return Settled("skipped")

    process.route.failing = Skipping()
    handler.failures = {"1": 1}
    at.give(0, 1, 2)
    await process.until(lambda: at.stands() == 3)
    assert at.copies() == [0, 2]
    assert handler.seen["1"] == 1


async def test_a_transaction_waits_for_a_record_that_has_published_something_and_no_other_one_begins(publishing):
    at, handler, process = publishing(partitions=2)
    handler.held.add("7")
    at.give(7, partition=0)
    await process.until(lambda: handler.seen["7"])
    at.give(1, partition=1)
    for _ in range(50):
        await process.turn()
    assert at.copies() == []
    assert handler.seen["1"] <= 1
    handler.held.clear()
    await process.until(lambda: (at.stands(0), at.stands(1)) == (1, 1))
    assert sorted(at.copies()) == [1, 7]
    assert handler.seen == {"7": 1, "1": 1}


async def test_one_that_stays_at_work_for_half_of_the_timeout_has_failed_and_holds_up_nobody(publishing):
    at, handler, process = publishing(partitions=2)
    letters = recovering(process, attempts=1)
    handler.held.add("7")
    at.give(7, partition=0)
    await process.until(lambda: handler.seen["7"])
    at.give(1, partition=1)
    at.kafka.clock.advance(6)
    await process.until(lambda: at.stands(1) == 1)
    assert at.copies() == [1]
    handler.held.clear()
    await process.until(lambda: at.stands(0) == 1)
    await process.turn(2)
    assert at.copies() == [1]
    assert at.copies("letters") == [7]
    assert handler.seen["7"] == 1
    letters.close()


@both
async def test_batches_are_whole_in_a_transaction(world, kind):
    at, sizes = world(), []

    def batch(raws, attempt=1):
        sizes.append(len(raws))
        return [raw.value().decode() for raw in raws]

    async def batch_async(raws, attempt=1):
        return batch(raws)

    process = at.process(batch_async if kind == "async" else batch, kind=kind, batch=4)
    at.give(*range(10))
    await process.until(lambda: at.stands() == 10)
    assert at.copies() == list(range(10))
    assert max(sizes) == 4


@both
async def test_a_batch_that_fails_after_it_has_published_is_halved_until_the_bad_record_is_alone(world, kind):
    at, failures = world(), []

    def batch(raws, attempt=1):
        values = [int(raw.value()) for raw in raws]
        for value in values:
            process.producer.sync.send("copies", value, partition=0)
        if 5 in values:
            failures.append(values)
            raise ValueError("five")

    async def batch_async(raws, attempt=1):
        return batch(raws)

    process = at.process(batch_async if kind == "async" else batch, kind=kind, batch=8)
    letters = recovering(process, attempts=2)
    at.give(*range(8))
    await process.until(lambda: at.stands() == 8)
    assert sorted(at.copies()) == [0, 1, 2, 3, 4, 6, 7]
    assert at.copies("letters") == [5]
    assert failures[-1] == [5]
    letters.close()


async def test_a_batch_that_names_its_bad_record_loses_nobody_elses_outputs(world):
    at = world()

    async def batch(raws, attempt=1):
        values = [int(raw.value()) for raw in raws]
        for value in values:
            process.producer.send("copies", value, partition=0)
        if 5 in values:
            raise BatchFailed(values.index(5), ValueError("five"))

    process = at.process(batch, batch=8)
    letters = recovering(process, attempts=1)
    at.give(*range(8))
    await process.until(lambda: at.stands() == 8)
    assert sorted(at.copies()) == [0, 1, 2, 3, 4, 6, 7]
    assert at.copies("letters") == [5]
    letters.close()


@pytest.mark.parametrize("bounded", [True, False])
async def test_by_key_no_restart_repeats_what_was_done_beyond_a_slow_record(world, calls, bounded, monkeypatch):
    """The map of what is done must fit into the commit, whatever its pattern."""
    if not bounded:
        monkeypatch.setattr("kafkaboot.consumer.window.BEYOND", 10**9)
    at, handler, other = world(), calls(), calls()
    slow = {str(n) for n in range(0, 2800, 2)}
    handler.held |= slow
    process = at.process(handler.handle, ordering="key", concurrency=2800)
    at.give(*range(2800), key=lambda value: str(value).encode())
    if not bounded:
        with pytest.raises(KafkabootError, match="fit beside the offset"):
            await process.until(lambda: False)
        return
    await process.until(lambda: len(at.copies()) >= 400)
    await process.turn(20)
    done = set(at.copies())
    assert len(done) == 400, "half of those that may be handed out"
    await crash(process)
    successor = at.process(other.handle, ordering="key", concurrency=100)
    at.kafka.clock.advance(60)
    await successor.until(lambda: at.stands() == 2800, turns=20000)
    assert sorted(at.copies()) == list(range(2800))
    assert not done & {int(value) for value in other.seen}


async def crash(process):
    for crew in process.group.crews.values():
        crew.cancel()
    await asyncio.sleep(0)
    process.die()


async def test_after_a_fall_few_records_are_handed_out_and_more_with_each_commit(publishing):
    at, handler, process = publishing()
    handler.failures = {"50": 2}
    at.give(*range(300))
    await process.until(lambda: handler.seen["50"] == 1)
    await process.until(lambda: process.holdings[TP("orders", 0)].window._few is not None)
    assert process.holdings[TP("orders", 0)].window._few == 64
    await process.until(lambda: at.stands() == 300)
    assert at.copies() == list(range(300))


async def test_awaited_publishes_are_answered_when_the_next_transaction_has_begun(world):
    at, receipts = world(), []

    async def handle(raw, attempt=1):
        receipts.append(await process.producer.publish("copies", int(raw.value()), partition=0))
        receipts.extend(await process.producer.publish_batch("copies", [int(raw.value()) + 100]))

    process = at.process(handle)
    at.give(0)
    process.ends.held = True
    await process.until(lambda: process.transactions._ending is not None or at.stands() == 1)
    at.give(1)
    for _ in range(20):
        await process.turn()
    assert len(receipts) == 2
    process.ends.held = False
    process.ends.let()
    await process.until(lambda: at.stands() == 2)
    assert at.copies() == [0, 100, 1, 101]
    await eventually_async(lambda: len(receipts) == 4)


async def test_a_revoke_takes_nothing_of_a_record_that_has_published_something_and_does_not_come_back(publishing):
    at, handler, process = publishing()
    handler.held.add("7")
    at.give(7)
    await process.until(lambda: handler.seen["7"])
    assignment = process.holdings[TP("orders", 0)].assignment
    leaving = asyncio.create_task(
        asyncio.to_thread(process.poller.give_back, [TP("orders", 0)], at.kafka.clock.monotonic())
    )
    while not leaving.done():
        at.kafka.clock.advance(0.1)
        await asyncio.sleep(0.001)
    assert not leaving.result()
    await process.until(lambda: process.pool.outcomes or process.transactions.door.is_open)
    handler.held.clear()
    for _ in range(30):
        await process.turn()
    assert assignment.over
    assert (at.copies(), at.stands()) == ([], 0)
    assert at.written() == [7], "the control: it had published it"


async def test_where_the_group_stands_is_waited_for_as_long_as_it_takes(world, calls):
    """Without the map of what is done beyond the offset, that would be published once more."""
    at, handler, other = world(), calls(), calls()
    handler.held.add("0")
    process = at.process(handler.handle, ordering="key", concurrency=50)
    at.give(*range(20), key=lambda value: str(value).encode())
    await process.until(lambda: len(at.copies()) == 19)
    await crash(process)
    at.kafka.clock.advance(60)
    at.kafka.faults.fail_reads("UNSTABLE_OFFSET_COMMIT", 3)
    successor = at.process(other.handle, ordering="key", concurrency=50)
    await successor.until(lambda: at.stands() == 20)
    assert sorted(at.copies()) == list(range(20))
    assert other.seen == {"0": 1}


@both
async def test_records_of_two_partitions_that_fail_at_first_do_not_take_turns_at_bringing_the_other_down(world, kind):
    """An attempt that fell with its transaction was one, whoever brought that down: else neither gets further."""
    at, publish, attempts = world(partitions=2), Publishing(), []

    def call(raw, attempt=1):
        publish(raw.value())
        attempts.append((raw.partition(), attempt))
        if attempt == 1:
            raise ValueError("not at the first attempt")

    async def handle(raw, attempt=1):
        call(raw, attempt)

    process = publish.process = at.process(handle if kind == "async" else call, kind=kind)
    process.ends.held = True
    at.give(0, partition=0)
    await process.until(lambda: process.transactions._falls)
    at.give(1, partition=1)
    process.ends.held = False
    process.ends.let()
    await process.until(lambda: at.stands(0) == at.stands(1) == 1, lambda: attempts[-20:])
    assert sorted(at.copies()) == [0, 1]
    assert len(attempts) <= 6
    assert process.pool.outcomes["aborted"] <= 2
