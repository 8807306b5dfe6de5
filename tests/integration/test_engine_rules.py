"""The engine's rules where only a real broker can break them: rebalances of every kind, and what a commit carries."""

import asyncio
import uuid
from collections import Counter

import pytest

from kafkaboot.client import TP
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.consumer import Backoff, ConsumerGroup, ConsumerSettings, Route, commit_note
from kafkaboot.testing import eventually_async

MODES = {
    "cooperative": {},
    "eager": {"assignment": "range"},
    "kip-848": {"group_protocol": "consumer"},
    "static": {"static": True},
}


class Group:
    """Members of one group on one topic, and what they handled."""

    def __init__(self, kafka, topic, **settings):
        self.clients = ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers)
        self.topic, self.name, self.settings = topic, f"g-{uuid.uuid4().hex[:8]}", settings
        self.handled, self.held, self.members, self.deaths = [], set(), [], []
        self.written = 0

    def write(self, count, keys=20):
        producer = self.clients.producer({})
        for i in range(self.written, self.written + count):
            producer.produce(self.topic, b"%d" % i, b"k%d" % (i % keys), None, -1, None)
        self.written += count
        assert producer.flush(30) == 0
        producer.close(5)

    def values(self):
        return [value for value, _ in self.handled]

    def missing(self):
        return {b"%d" % i for i in range(self.written)} - set(self.values())

    def twice(self):
        return [value for value, times in Counter(self.values()).items() if times > 1]

    async def join(self, **route):
        async def call(raw, attempt=1):
            while raw.key() in self.held:
                await asyncio.sleep(0.002)
            self.handled.append((raw.value(), group))

        settings = {"session_timeout": 6, "commit_interval": 0.1} | self.settings
        if settings.pop("static", False):
            settings["instance_id"] = f"member-{len(self.members)}"
        options = {"topics": (self.topic,), "call": call} | route
        group = ConsumerGroup(
            self.name,
            [Route("handle", Backoff(), **options)],
            self.clients,
            ConsumerSettings(**settings),
            died=lambda _, error: self.deaths.append(error),
        )
        group.start(asyncio.get_running_loop())
        self.members.append(group)
        return group

    def held_by(self, member):
        return {tp.partition for tp in list(member.poller.holdings)}

    async def stop(self):
        for member in self.members:
            await member.stop(5)
        assert self.deaths == []


@pytest.fixture
async def group_on(kafka):
    groups = []

    def make(topic, **settings):
        groups.append(Group(kafka, topic, **settings))
        return groups[-1]

    yield make
    for group in groups:
        group.held.clear()
        await group.stop()


@pytest.mark.parametrize("mode", MODES)
async def test_members_come_and_go_and_every_record_is_handled_once(mode, topic, group_on):
    group = group_on(topic(partitions=4), **MODES[mode])
    group.write(500)
    first = await group.join()
    await eventually_async(lambda: not group.missing(), 30, lambda: f"missing: {len(group.missing())}")

    second = await group.join()
    await eventually_async(
        lambda: len(group.held_by(first)) == 2 and len(group.held_by(second)) == 2,
        30,
        lambda: f"{group.held_by(first)} and {group.held_by(second)}",
    )
    group.write(500)
    await eventually_async(lambda: not group.missing(), 30, lambda: f"missing: {len(group.missing())}")
    assert {member for _, member in group.handled} == {first, second}

    group.write(500)
    assert await first.stop(10)
    await eventually_async(lambda: len(group.held_by(second)) == 4, 30)
    await eventually_async(lambda: not group.missing(), 30, lambda: f"missing: {len(group.missing())}")
    assert group.twice() == [], "members that leave and partitions that move in peace repeat nothing"


async def test_a_restart_by_key_repeats_only_what_was_not_done(topic, group_on):
    name = topic(partitions=1)
    group = group_on(name)
    group.held = {b"k3"}
    group.write(400, keys=10)
    first = await group.join(ordering="key")
    await eventually_async(lambda: len(group.handled) == 360, 30, lambda: f"handled {len(group.handled)}")
    assert await first.stop(0.2) is False, "the record of k3 was at work at the deadline"

    admin = group.clients.admin()
    stands = admin.group_offsets(group.name, 10)[TP(name, 0)]
    admin.close()
    assert stands.offset == 3
    assert sum(map(len, commit_note.read(stands).done)) == 360 - 3

    before = len(group.handled)
    group.held.clear()
    await group.join(ordering="key")
    await eventually_async(lambda: not group.missing(), 30)
    again = group.values()[before:]
    assert again == [b"%d" % i for i in range(3, 400, 10)]
    assert group.twice() == []


async def test_a_restart_by_partition_repeats_what_is_behind_the_first_open_record(topic, group_on):
    """The negative control of the test above: without the map the offset alone decides."""
    group = group_on(topic(partitions=1))
    group.held = {b"k3"}
    group.write(40, keys=10)
    first = await group.join(ordering="partition")
    await eventually_async(lambda: group.values() == [b"0", b"1", b"2"], 30)
    await first.stop(0.2)
    group.held.clear()
    await group.join(ordering="partition")
    await eventually_async(lambda: not group.missing(), 30)
    assert group.values() == [b"%d" % i for i in range(40)]


async def test_a_paused_partition_flows_when_it_comes_back(topic, group_on):
    group = group_on(topic(partitions=2), assignment="range", poll_records=20, max_buffered=20, revoke_timeout=0.2)
    group.held = {b"k%d" % i for i in range(20)}
    group.write(400)
    first = await group.join()
    await eventually_async(lambda: [h.paused for h in list(first.poller.holdings.values())] == [True, True], 30)

    second = await group.join()
    await eventually_async(lambda: len(group.held_by(first)) == 1 and len(group.held_by(second)) == 1, 30)
    group.held.clear()
    await eventually_async(lambda: not group.missing(), 30, lambda: f"missing: {len(group.missing())}")
    assert {member for _, member in group.handled} == {first, second}


async def test_a_handler_slower_than_the_poll_interval_keeps_its_partition(topic, group_on):
    group = group_on(topic(partitions=1), max_poll_interval=6, poll_records=10, max_buffered=10)
    group.held = {b"k0"}
    group.write(100, keys=1)
    member = await group.join()
    await eventually_async(lambda: member.poller.holdings, 30)
    began, polls = asyncio.get_running_loop().time(), member.poller.rebalances
    await eventually_async(lambda: asyncio.get_running_loop().time() - began > 8, 30)
    group.held.clear()
    await eventually_async(lambda: not group.missing(), 30)
    assert member.poller.rebalances == polls
    assert group.twice() == []
