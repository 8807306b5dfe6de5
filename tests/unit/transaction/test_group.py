"""What a group's transaction holds, when it ends, and what becomes of it when something goes wrong."""

import asyncio
import threading
from functools import partial

import pytest

from kafkaboot.client import TP
from kafkaboot.errors import KafkabootError, PublishError, TransactionError
from kafkaboot.health import Status
from kafkaboot.testing import eventually_async
from kafkaboot.transaction import group as group_room
from kafkaboot.transaction import offsets as offsets_room
from kafkaboot.transaction.door import Door
from kafkaboot.transaction.own_thread import OwnThread

both = pytest.mark.parametrize("kind", ["async", "def"])


@both
async def test_outputs_and_offsets_are_there_together(world, calls, kind):
    at, handler = world(), calls(kind)
    process = at.process(handler.handle, kind=kind)
    at.give(*range(5))
    process.ends.held = True
    await process.until(lambda: len(at.written()) == 5)
    await process.turn(5)
    assert (at.copies(), at.stands()) == ([], 0), "the mark is there, and nothing else"
    process.ends.held = False
    process.ends.let()
    await process.until(lambda: at.stands() == 5)
    assert at.copies() == [0, 1, 2, 3, 4]
    await process.turn()
    assert process.pool.outcomes == {"committed": 1}


async def test_a_handler_at_work_is_not_waited_for_and_its_output_goes_into_the_next_transaction(world, calls):
    at, handler = world(partitions=2), calls()
    handler.held.add("7")
    process = at.process(handler.handle)
    at.give(7, partition=0)
    at.give(1, 2, partition=1)
    await process.until(lambda: at.stands(1) == 2)
    assert (sorted(at.copies()), at.stands(0)) == ([1, 2], 0)
    handler.held.clear()
    await process.until(lambda: at.stands(0) == 1)
    assert sorted(at.copies()) == [1, 2, 7]
    assert handler.seen == {"7": 1, "1": 1, "2": 1}


async def test_what_comes_while_a_transaction_is_committed_is_kept_for_the_next_one(world, calls):
    at, handler = world(), calls()
    process = at.process(handler.handle)
    at.give(0)
    process.ends.held = True
    await process.until(lambda: process.transactions._ending is not None)
    at.give(1, 2)
    await process.until(lambda: handler.seen["2"])
    assert at.written() == [0], "they are not written into the transaction that is being committed"
    process.ends.let()
    await process.until(lambda: process.transactions._ending is not None or at.stands() == 3)
    process.ends.held = False
    process.ends.let()
    await process.until(lambda: at.stands() == 3)
    assert at.copies() == [0, 1, 2]
    await process.turn()
    assert process.pool.outcomes == {"committed": 2}


@pytest.mark.parametrize("without", ["the rule", "nothing"])
async def test_offsets_of_a_partition_that_has_not_moved_are_sent_as_well(world, calls, monkeypatch, without):
    """R3: the broker looks at the generation with the offsets of a transaction, and with nothing else."""
    at, handler, sent = world(partitions=2), calls(), []
    handler.held.add("7")
    process = at.process(handler.handle)
    send = process.transactions.ends.seat.send_offsets
    process.transactions.ends.seat.send_offsets = lambda offsets, member: sent.append(offsets) or send(offsets, member)
    if without == "the rule":
        gather = offsets_room.gather

        def moved_only(mine, door):
            offsets, moved = gather(mine, door)
            known = {tp: holding.assignment.committed for tp, holding in mine}
            return {tp: one for tp, one in offsets.items() if one != known[tp]}, moved

        monkeypatch.setattr(group_room, "gather", moved_only)
    at.give(7, partition=0)
    at.give(1, partition=1)
    await process.until(lambda: at.stands(1) == 1)
    touched = {TP("orders", 0), TP("orders", 1)}
    assert (set(sent[0]) == touched) is (without == "nothing")
    handler.held.clear()
    await process.until(lambda: at.stands(0) == 1)


@pytest.mark.parametrize("applied", [True, False])
async def test_after_a_commit_without_an_answer_the_group_is_asked_where_it_stands(world, calls, applied):
    """R8: what was committed is not handled again, what was not is; nothing is assumed."""
    at, handler = world(), calls()
    process = at.process(handler.handle)
    at.give(0, 1, 2)
    at.kafka.faults.fail_transaction("commit", "_TIMED_OUT", applied=applied)
    await process.until(lambda: at.stands() == 3)
    await process.turn(20)
    assert at.copies() == [0, 1, 2]
    assert handler.seen == dict.fromkeys("012", 1 if applied else 2)
    assert process.pool.outcomes["unknown"] == 1
    at.give(3)
    await process.until(lambda: at.stands() >= 4)
    assert at.copies() == [0, 1, 2, 3]


@pytest.mark.parametrize("assumed", [True, False])
async def test_control_who_assumes_what_became_of_a_commit_doubles_or_loses(world, calls, assumed, monkeypatch):
    at, handler = world(), calls()
    process = at.process(handler.handle)
    at.give(0, 1, 2)
    at.kafka.faults.fail_transaction("commit", "_TIMED_OUT", applied=not assumed)

    def assume(partitions, timeout):
        stand = process.holdings[TP("orders", 0)].assignment
        return {TP("orders", 0): stand.stand() if assumed else stand.committed}

    await process.until(lambda: handler.seen["2"])
    monkeypatch.setattr(process.consumer, "committed", assume)
    for _ in range(60):
        await process.turn()
        await asyncio.sleep(0.001)
    assert at.copies() == ([] if assumed else [0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("call", ["send_offsets", "commit"])
async def test_a_client_that_is_lost_is_replaced_and_its_records_are_handled_again(world, calls, call):
    """R14."""
    at, handler = world(), calls()
    process = at.process(handler.handle)
    await process.turn(3)
    before = at.kafka.transactional["shop-0-shop"]
    at.give(0, 1)
    at.kafka.faults.fail_transaction(call, "_FATAL")
    await process.until(lambda: at.stands() == 2)
    assert at.copies() == [0, 1]
    assert handler.seen == {"0": 2, "1": 2}
    assert at.kafka.transactional["shop-0-shop"] is not before
    assert not process.crashes


async def test_while_no_transaction_begins_nothing_is_lost_and_the_health_says_so(world, calls):
    at, handler = world(), calls()
    process = at.process(handler.handle)
    await process.turn(3)
    at.give(0)
    at.kafka.faults.fail_transaction("send_offsets", "_FATAL")
    at.kafka.faults.fail_transaction("init_transactions", "COORDINATOR_NOT_AVAILABLE")
    await process.until(lambda: process.transactions.trouble is not None)
    health = process.group.health()
    assert health.status is Status.OUT_OF_SERVICE
    assert "COORDINATOR_NOT_AVAILABLE" in str(health.details["transactions"])
    await process.until(lambda: at.stands() == 1)
    assert at.copies() == [0]
    assert process.group.health().status is Status.UP


async def test_the_older_of_two_processes_with_one_slot_ends_and_says_why(world, calls):
    at, handler = world(), calls()
    older = at.process(handler.handle, slot="same")
    at.give(0)
    await older.until(lambda: at.stands() == 1)
    at.process(calls().handle, slot="same")
    at.give(1)
    with pytest.raises(TransactionError) as caught:
        await older.until(lambda: False)
    assert caught.value.fenced
    assert "slot" in caught.value.todo
    assert at.copies() == [0]


async def test_a_member_without_a_generation_commits_nothing(world, calls):
    """R4: a broker takes the offsets of a member that is none without a look at the group."""
    at, handler = world(), calls()
    process = at.process(handler.handle)
    await process.turn(5)
    at.give(0, 1)
    handler.held.add("1")
    await process.until(lambda: handler.seen["1"])
    sent = []
    process.transactions.ends.seat.send_offsets = lambda offsets, member: sent.append(member)
    process.consumer.expire()
    assert process.consumer.membership() is None
    for _ in range(5):
        at.kafka.clock.advance(1)
        process.transactions.turn(process.consumer, process.holdings)
    assert sent == []


async def test_partitions_that_are_lost_take_the_open_transaction_with_them(world, calls):
    """R11: it may hold what the next owner has done already."""
    at, handler, other = world(), calls(), calls()
    process = at.process(handler.handle)
    at.give(0, 1)
    handler.held.add("1")
    process.ends.held = False
    await process.until(lambda: handler.seen["1"])
    successor = at.process(other.handle)
    process.consumer.expire()
    await successor.until(lambda: at.stands() == 2)
    handler.held.clear()  # the zombie's handler comes back, and has an output
    for _ in range(30):
        await process.turn()
        await successor.turn()
    assert sorted(at.copies()) == [0, 1]
    assert other.seen["1"] == 1


async def test_a_revoke_commits_what_is_settled_and_waits_for_the_record_at_work(world, calls):
    """R11."""
    at, handler, other = world(), calls(), calls()
    process = at.process(handler.handle, settings={"linger": 1000})
    at.give(*range(3))
    handler.held.add("2")
    await process.until(lambda: handler.seen["2"])
    asyncio.get_running_loop().call_later(0.05, handler.held.clear)
    leaving = asyncio.to_thread(process.poller.give_back, [TP("orders", 0)], at.kafka.clock.monotonic() + 0.5)
    await leaving
    assert at.stands() == 3
    assert at.copies() == [0, 1, 2]
    assert at.kafka.groups["shop"].offsets[TP("orders", 0)].metadata == "", "it left in order"
    assert other.seen == {}


async def test_an_output_that_comes_back_after_the_partition_has_gone_is_dropped(world, calls):
    at, handler = world(), calls()
    process = at.process(handler.handle)
    at.give(0, 1)
    handler.held.add("1")
    await process.until(lambda: at.stands() == 1 or handler.seen["1"])
    await process.until(lambda: at.copies() == [0])
    assignment = process.holdings[TP("orders", 0)].assignment
    await asyncio.to_thread(process.poller.give_back, [TP("orders", 0)], at.kafka.clock.monotonic())
    assert assignment.over
    handler.held.clear()
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert at.written() == [0]
    assert sum(assignment.left) == 1


async def test_an_output_that_is_not_delivered_takes_its_transaction_with_it_and_is_made_again(world, calls):
    at, handler = world(), calls()
    process = at.process(handler.handle)
    await process.turn(3)
    at.kafka.faults.fail_deliveries("MSG_SIZE_TOO_LARGE")
    process.route.forwarding._door.port._kafka = at.kafka
    at.give(0, 1)
    reported = []
    produce = Door.produce

    def told(door, topic, value, key, headers, partition, on_delivery, timestamp=0):
        # librdkafka heeds a failed delivery whether or not somebody asks for its report; the memory's needs one.
        produce(door, topic, value, key, headers, partition, lambda e, _: reported.append(e), timestamp)

    process.transactions.door.produce = told.__get__(process.transactions.door)
    process.route.forwarding.bindings[0]._produce = process.transactions.door.produce
    await process.until(lambda: at.stands() == 2)
    assert any(reported), "the control: one was refused"
    assert at.copies() == [0, 1]
    assert process.pool.outcomes["aborted"] == 1


async def test_a_note_that_the_broker_does_not_take_stops_the_group_and_is_never_left_out(world, calls, monkeypatch):
    at, handler = world(), calls()
    process = at.process(handler.handle)
    await process.turn(3)
    monkeypatch.setattr("kafkaboot.client.memory.transactional.METADATA_LIMIT", 3)
    at.give(0)
    with pytest.raises(KafkabootError, match="takes less beside an offset") as caught:
        await process.until(lambda: False)
    assert "offset.metadata.max.bytes" in caught.value.todo
    assert at.copies() == []


async def test_no_transaction_of_its_own_begins_inside_of_a_handler(world):
    at, refused = world(), []

    async def handle(raw, attempt=1):
        try:
            process.producer.transaction()
        except TransactionError as error:
            refused.append(str(error))
        try:
            process.producer.sync.transaction()
        except TransactionError as error:
            refused.append(str(error))
        return raw.value().decode()

    process = at.process(handle)
    at.give(0)
    await process.until(lambda: at.stands() == 1)
    assert len(refused) == 2
    assert "inside of a transaction already" in refused[0]
    process.producer.transaction()  # outside it is fine


async def test_who_publishes_after_the_handler_has_come_back_is_refused(world):
    at, failures = world(), []

    async def late(value):
        await asyncio.sleep(0.02)
        try:
            await process.producer.publish("copies", value)
        except PublishError as error:
            failures.append(error)

    async def handle(raw, attempt=1):
        handle.task = asyncio.create_task(late(raw.value().decode()))

    process = at.process(handle)
    at.give(0)
    await process.until(lambda: at.stands() == 1)
    await eventually_async(lambda: failures)
    assert "has come back" in str(failures[0])
    assert at.written() == []


async def test_a_mark_that_is_late_does_not_undo_what_a_transaction_has_just_said(world, calls):
    """It is an ordinary commit: behind the transaction's it would stand, with the offset of before."""
    at, handler = world(), calls()
    process = at.process(handler.handle)
    at.kafka.faults.fail_commits("REBALANCE_IN_PROGRESS")
    at.give(0)
    process.ends.held = True
    await process.until(lambda: process.transactions._ending is not None)
    assert process.poller._beginnings.unmarked, "the first mark was refused"
    while process.ends._waiting:  # committed, and the poller has not heard of it yet
        call, future = process.ends._waiting.popleft()
        outcome = call()
    assert at.stands() == 1
    at.give(1)
    await process.turn(3)
    assert at.stands() == 1
    future.set_result(outcome)
    process.ends.held = False
    await process.until(lambda: at.stands() == 2)
    await process.turn(3)
    at.give(2)
    await process.until(lambda: at.stands() == 3)
    assert at.copies() == [0, 1, 2]
    assert not process.poller._beginnings.unmarked


def test_calls_run_one_after_the_other_on_a_thread_that_keeps_no_process():
    runs, threads = [], set()

    def call(number):
        threads.add(threading.current_thread())
        runs.append(number)
        if number == 1:
            raise ValueError("one")
        return number

    own = OwnThread("ends")
    futures = [own(partial(call, number)) for number in range(3)]
    assert [future.exception(5) is None for future in futures] == [True, False, True]
    assert (futures[2].result(), runs) == (2, [0, 1, 2])
    (thread,) = threads
    assert thread.daemon
    own.close()
    thread.join(5)
    assert not thread.is_alive()
