import asyncio
import threading

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.clock import ManualClock
from kafkaboot.consumer import ConsumerGroup, ConsumerSettings
from kafkaboot.errors import BrokerUnreachableError, ClientError
from kafkaboot.health import Status
from kafkaboot.testing import eventually_async

TP0 = TP("orders", 0)


class Clients:
    def __init__(self, consumer):
        self.made, self._consumer = [], consumer

    def consumer(self, group, overrides):
        self.made.append((group, overrides))
        return self._consumer


@pytest.fixture
async def group_of(consumer):
    """Starts a group on the client in memory, and ends it."""
    groups = []

    def make(*routes, clock=None, hooks=(), **settings):
        group = ConsumerGroup(
            "shop",
            routes,
            Clients(consumer),
            ConsumerSettings(**{"commit_interval": 0.01} | settings),
            died=lambda who, error: group.deaths.append((who, error, threading.current_thread())),
            hooks=hooks,
            clock=clock,
        )
        group.deaths = []
        group.start(asyncio.get_running_loop())
        groups.append(group)
        return group

    yield make
    for group in groups:
        if isinstance(group.clock, ManualClock):
            group.clock.advance(1000)
        await group.stop(0.2)


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_records_are_polled_handled_and_committed_and_stopping_leaves_the_group(
    kind, consumer, raw, handler_of, route_of, group_of
):
    handler = handler_of(kind)
    group = group_of(route_of(handler))
    consumer.assign(0)
    consumer.give(*[raw(i, b"%d" % i) for i in range(100)])
    await eventually_async(lambda: consumer.commits and consumer.commits[-1][TP0].offset == 100)
    assert handler.values() == [b"%d" % i for i in range(100)]
    assert await group.stop(5)
    assert consumer.closed.is_set()
    assert group.deaths == []


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_handler_that_blocks_does_not_keep_the_poller_from_polling(
    kind, consumer, raw, handler_of, route_of, group_of
):
    handler = handler_of(kind)
    handler.held = {b"0"}
    handler.failures = {b"1": 10**6}
    group_of(route_of(handler, ordering="key"))
    consumer.assign(0)
    consumer.give(raw(0, b"0", b"a"), raw(1, b"1", b"b"))
    await eventually_async(lambda: len(handler.calls) >= 3)
    polls = consumer.polls
    await eventually_async(lambda: consumer.polls > polls + 20, saying="neither a handler nor a back-off stops it")
    handler.held.clear()


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_stopping_finishes_the_record_at_work_and_begins_no_other(
    kind, consumer, raw, handler_of, route_of, group_of
):
    handler = handler_of(kind)
    handler.held = {b"0"}
    group = group_of(route_of(handler))
    consumer.assign(0)
    consumer.give(*[raw(i, b"%d" % i) for i in range(5)])
    await eventually_async(lambda: handler.running == [b"0"])
    stopping = asyncio.create_task(group.stop(10))
    await eventually_async(lambda: group.poller.stopping and not group.poller.holdings[TP0].assignment.live)
    assert not stopping.done()
    handler.held.clear()
    assert await stopping is True
    assert handler.done == [b"0"]
    assert consumer.commits[-1] == {TP0: Committed(1)}


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_stopping_answers_false_at_the_deadline(kind, consumer, raw, handler_of, route_of, group_of):
    handler = handler_of(kind)
    handler.held = {b"1"}
    group = group_of(route_of(handler))
    consumer.assign(0)
    consumer.give(raw(0, b"0"), raw(1, b"1"))
    await eventually_async(lambda: handler.running == [b"1"])
    assert await group.stop(0.1) is False
    assert consumer.commits[-1] == {TP0: Committed(1)}
    assert consumer.closed.is_set()
    handler.held.clear()


async def test_outputs_that_are_refused_are_made_again_by_the_running_group(consumer, raw, route_of, group_of):
    """Seen whole: the lane, the report on another thread, the replay, the commit."""
    seen = []

    class Outbox:
        def forward(self, result, delivered):
            seen.append(result)
            refused = result == b"2" and seen.count(b"2") < 3
            threading.Thread(target=delivered, args=("refused" if refused else None, None)).start()

    async def call(raw, attempt=1):
        return raw.value()

    group_of(route_of(call=call, forwarding=Outbox()))
    consumer.assign(0)
    consumer.give(*[raw(i, b"%d" % i) for i in range(5)])
    await eventually_async(lambda: consumer.commits and consumer.commits[-1][TP0].offset == 5, deadline=15)
    again = [i for i, value in enumerate(seen) if value == b"2"]
    assert len(again) == 3
    assert seen[again[-1] :] == [b"2", b"3", b"4"], "a contiguous replay, in order"


async def test_a_group_that_dies_says_so_on_the_loop_and_is_down(consumer, route_of, handler_of, group_of):
    group = group_of(route_of(handler_of("async")))
    consumer.assign(0)
    await eventually_async(lambda: group.health().status is Status.UP)
    error = ClientError("fenced", code="FENCED_INSTANCE_ID", fatal=True)
    consumer.errors.append(error)
    await eventually_async(lambda: group.deaths)
    assert group.deaths == [(group, error, threading.main_thread())]
    assert group.health().status is Status.DOWN
    assert group.health().details == {"error": "fenced"}
    await eventually_async(consumer.closed.is_set)
    assert await group.stop(1) is False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_worker_that_dies_of_a_system_exit_ends_the_group(consumer, raw, route_of, group_of):
    def call(raw, attempt=1):
        raise SystemExit(3)

    group = group_of(route_of(call=call, is_async=False, id="exits"))
    consumer.assign(0)
    consumer.give(raw(0))
    await eventually_async(lambda: group.deaths)
    assert isinstance(group.deaths[0][1], SystemExit)
    assert group.health().status is Status.DOWN
    assert all(commit == {TP0: Committed(0)} for commit in consumer.commits), "its record is not settled"
    await eventually_async(lambda: not [thread for thread in threading.enumerate() if "exits" in thread.name])


async def test_handlers_that_claim_one_type_end_the_group_when_a_pattern_finds_out(consumer, raw, route_of, group_of):
    group = group_of(route_of(id="a", topics=(), pattern="ord.*"), route_of(id="b", topics=(), pattern="orders"))
    consumer.assign(0)
    await eventually_async(lambda: group.deaths)
    assert "two handlers of group 'shop' take records of any type from topic 'orders'" in str(group.error)


async def test_listeners_hear_of_failures_rebalances_and_commits_and_may_raise(
    consumer, raw, handler_of, route_of, group_of
):
    heard = []

    class Listener:
        def on_failure(self, handler, where, error, attempt, delay):
            heard.append(("failure", handler, where, attempt))
            raise RuntimeError("mine")

        def on_rebalance(self, group, kind, partitions):
            heard.append((kind, partitions))

        def on_commit(self, group, offsets, error):
            heard.append(("commit", offsets))

    handler = handler_of("async")
    handler.failures = {b"0": 1}
    group_of(route_of(handler), hooks=[Listener()])
    consumer.assign(0)
    consumer.give(raw(0, b"0"))
    await eventually_async(lambda: ("commit", [("orders", 0, 1)]) in heard)
    assert ("failure", "bill", "orders[0]@0", 1) in heard
    assert ("assigned", [("orders", 0)]) in heard


@pytest.mark.parametrize("name", ["enable.auto.commit", "enable.auto.offset.store"])
@pytest.mark.parametrize("value", [True, "true"])
def test_the_client_cannot_be_made_to_commit_by_itself(name, value):
    with pytest.raises(ValueError, match=f"{name} would commit records that are not handled"):
        ConsumerSettings(properties={name: value})
    assert ConsumerSettings(properties={name: False}).client_properties("earliest")[name] is False


async def test_the_client_is_told_where_to_begin_and_not_to_commit_by_itself(consumer, handler_of, route_of, group_of):
    group = group_of(route_of(handler_of("async"), start="latest"))
    ((name, properties),) = group._clients.made
    assert name == "shop"
    assert properties["auto.offset.reset"] == "latest"
    assert properties["enable.auto.commit"] is False
    assert properties["enable.auto.offset.store"] is False


# --- health


async def test_a_group_is_ready_once_it_has_joined_and_not_while_it_drains(
    consumer, raw, handler_of, route_of, group_of
):
    handler = handler_of("async")
    group = group_of(route_of(handler))
    assert group.health().status is Status.OUT_OF_SERVICE
    assert group.health().details["why"] == "not joined yet"
    consumer.assign(0)
    await eventually_async(lambda: group.health().status is Status.UP)
    handler.held = {b"0"}
    consumer.give(raw(0, b"0"))
    await eventually_async(lambda: handler.running)
    stopping = asyncio.create_task(group.stop(10))
    await eventually_async(lambda: group.health().details.get("why") == "draining")
    assert group.health().status is Status.OUT_OF_SERVICE
    handler.held.clear()
    await stopping


async def test_a_member_that_lost_everything_is_not_ready_until_it_has_joined_again(
    consumer, handler_of, route_of, group_of
):
    group = group_of(route_of(handler_of("async")))
    consumer.assign(0)
    await eventually_async(lambda: group.health().status is Status.UP)
    consumer.at_poll.append(lambda: consumer.listener.lost([TP0]))
    await eventually_async(lambda: group.health().status is Status.OUT_OF_SERVICE)
    consumer.assign(0)
    await eventually_async(lambda: group.health().status is Status.UP)


async def test_a_member_whose_brokers_are_gone_is_not_ready_until_they_are_back(
    consumer, handler_of, route_of, group_of, monkeypatch
):
    group = group_of(route_of(handler_of("async")))
    consumer.assign(0)
    await eventually_async(lambda: group.health().status is Status.UP)
    gone = BrokerUnreachableError("all brokers are down", code="_ALL_BROKERS_DOWN", retriable=True)
    answer = consumer.committed

    def unanswered(partitions, timeout):
        raise gone

    monkeypatch.setattr(consumer, "committed", unanswered)
    consumer.errors.append(gone)
    await eventually_async(lambda: group.health().status is Status.OUT_OF_SERVICE)
    assert group.health().details["why"] == "no broker answers"
    assert group.health().details["trouble"] == "all brokers are down"
    assert group.deaths == []
    monkeypatch.setattr(consumer, "committed", answer)
    await eventually_async(lambda: group.health().status is Status.UP, saying="an idle topic has no record to tell")


async def test_a_poller_that_stands_still_is_down(consumer, handler_of, route_of, group_of):
    group = group_of(route_of(handler_of("async")), poll_stalled_after=0.05)
    consumer.assign(0)
    await eventually_async(lambda: group.health().status is Status.UP)
    go_on = threading.Event()
    consumer.at_poll.append(lambda: go_on.wait(10))
    await eventually_async(lambda: group.health().status is Status.DOWN)
    assert group.health().details["why"] == "the poller stands still"
    go_on.set()
    await eventually_async(lambda: group.health().status is Status.UP)


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_handler_that_does_not_come_back_is_reported_with_its_place(
    kind, consumer, raw, handler_of, route_of, group_of
):
    clock, handler = ManualClock(), handler_of(kind)
    handler.held = {b"1"}
    group = group_of(route_of(handler, stuck_after=60), clock=clock, poll_stalled_after=10**6)
    consumer.assign(0)
    consumer.give(raw(0, b"0"), raw(1, b"1"), raw(2, b"2"))
    await eventually_async(lambda: handler.running == [b"1"])
    assert group.stuck() == []
    clock.advance(59)
    assert group.stuck() == []
    clock.advance(2)
    assert group.stuck() == ["bill at orders[0]@1 for 61 s"]
    assert group.health().status is Status.DOWN
    assert group.health().details["stuck"] == ["bill at orders[0]@1 for 61 s"]
    handler.held = {b"2"}
    await eventually_async(lambda: handler.running == [b"2"])
    assert group.stuck() == [], "the age counts from the handler's start, not from its time in the queue"
    handler.held.clear()


async def test_a_lane_that_is_always_at_work_on_another_record_is_not_stuck(
    consumer, raw, handler_of, route_of, group_of
):
    """One record a chunk, each at the same place of its chunk, and chunks whose memory is used again."""
    clock, handler = ManualClock(), handler_of("def")
    group = group_of(route_of(handler, stuck_after=5), clock=clock, poll_stalled_after=10**6)
    consumer.assign(0)
    found = []
    for i in range(30):
        value = b"%d" % i
        handler.held = {value}
        consumer.give(raw(i, value))
        await eventually_async(lambda: handler.running == [value])
        found += group.stuck() if i % 2 else []
        handler.held = set()
        await eventually_async(lambda: value in handler.done and not group.crews["bill"].at_work())
        clock.advance(1)
    assert found == []


async def test_a_retry_that_hangs_is_stuck_by_its_own_age(consumer, raw, handler_of, route_of, group_of):
    clock, handler = ManualClock(), handler_of("async")
    handler.failures = {b"0": 1}
    group = group_of(route_of(handler, stuck_after=60), clock=clock, poll_stalled_after=10**6)
    handler.held = {b"0"}
    consumer.assign(0)
    consumer.give(raw(0, b"0"))
    await eventually_async(lambda: handler.running)
    group.stuck()
    clock.advance(50)
    group.stuck()
    handler.held = set()
    await eventually_async(lambda: len(handler.calls) == 1 and not handler.running)
    handler.held = {b"0"}
    await eventually_async(lambda: len(handler.calls) == 2)
    clock.advance(20)
    assert group.stuck() == []
    handler.held = set()


async def test_lag_is_what_is_not_settled_up_to_the_end(consumer, raw, handler_of, route_of, group_of):
    handler = handler_of("async")
    handler.held = {b"2"}
    consumer.ends = {TP0: 10, TP("orders", 7): 99}
    group = group_of(route_of(handler))
    consumer.stand[TP0] = Committed(0)
    consumer.assign(0)
    consumer.give(*[raw(i, b"%d" % i) for i in range(5)])
    await eventually_async(lambda: group.lag() == {("orders", 0): 8}, saying=lambda: str(group.lag()))
    handler.held.clear()
    await eventually_async(lambda: group.lag() == {("orders", 0): 5}, saying=lambda: str(group.lag()))
