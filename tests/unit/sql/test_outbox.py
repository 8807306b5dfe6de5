"""The outbox: what is written with the user's transaction, and what the relay makes of it."""

import logging

import pytest
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from kafkaboot.client.memory import MemoryClients
from kafkaboot.clock import ManualClock
from kafkaboot.declare import event
from kafkaboot.errors import PublishError, UnencodableError
from kafkaboot.health import Status
from kafkaboot.producer import Envelope
from kafkaboot.sql import Outbox, OutboxSettings, Relay
from kafkaboot.sql.relay import HELD
from kafkaboot.testing import eventually


@event("bill.written")
class Bill(BaseModel):
    order_id: str


class Desk:
    """An outbox in a shop's database, and a Kafka in memory."""

    def __init__(self, shop):
        self.shop, self.clients = shop, MemoryClients()
        self.outbox = Outbox(Envelope(source="/shop"))
        self.kafka = self.clients.kafka
        self.kafka.create("bills", 1)

    def relay(self, clock=None, **settings):
        return Relay(self.outbox, self.shop.database, self.clients, OutboxSettings(**settings), clock=clock)

    def add(self, *entries, topic="bills"):
        """Rows of `(key, number)`, in one transaction."""
        with Session(self.shop.database.engine) as session, session.begin():
            for key, number in entries:
                self.outbox.add(session, topic, Bill(order_id=str(number)), key=key)

    def published(self, topic="bills"):
        return [Bill.model_validate_json(record.value()).order_id for record in self.kafka.records(topic)]

    def rows(self):
        return [at for (at,) in self.shop.run("SELECT id FROM kafkaboot_outbox WHERE published_at IS NULL ORDER BY id")]


@pytest.fixture
def desk(shop):
    return Desk(shop)


def run(relay, turns=20):
    for _ in range(turns):
        relay._turn()


# --- writing


def test_a_row_is_there_if_and_only_if_its_transaction_is_committed(desk):
    with Session(desk.shop.database.engine) as session:
        desk.outbox.add(session, "bills", Bill(order_id="1"))
        session.rollback()
        desk.outbox.add(session, "bills", Bill(order_id="2"))
        session.commit()
    run(desk.relay())
    assert desk.published() == ["2"]


async def test_every_kind_of_session_and_connection_writes_rows(desk):
    database = desk.shop.database
    with database.engine.begin() as connection:
        desk.outbox.add(connection, "bills", Bill(order_id="1"))
    async with AsyncSession(database.async_engine) as session, session.begin():
        desk.outbox.add(session, "bills", Bill(order_id="2"))
    async with database.async_engine.begin() as connection:
        await desk.outbox.add_async(connection, "bills", Bill(order_id="3"))
    run(desk.relay())
    assert desk.published() == ["1", "2", "3"]


async def test_what_is_no_session_is_refused_by_name(desk):
    async with desk.shop.database.async_engine.connect() as connection:
        with pytest.raises(PublishError, match="this is a AsyncConnection") as raised:
            desk.outbox.add(connection, "bills", Bill(order_id="1"))
    assert "add_async" in raised.value.todo


def test_a_payload_that_cannot_be_encoded_is_told_before_anything_is_written(desk):
    with Session(desk.shop.database.engine) as session:
        with pytest.raises(UnencodableError):
            desk.outbox.add(session, "bills", {"at": object()})
        with pytest.raises(PublishError, match="a key must be"):
            desk.outbox.add(session, "bills", {}, key=1.5)
        session.commit()
    assert desk.rows() == []


def test_a_row_carries_key_value_and_headers_and_an_id_that_stays(desk):
    with Session(desk.shop.database.engine) as session, session.begin():
        first = desk.outbox.add(session, "bills", Bill(order_id="1"), key="o-1", headers={"origin": b"\xff\x00"})
        second = desk.outbox.add(session, "bills", {"order_id": "2"}, key=7)
        third = desk.outbox.add(session, "bills", Bill(order_id="3"), headers={"ce_id": "mine"}, type="bill.other")
    desk.kafka.faults.fail_deliveries("_MSG_TIMED_OUT", times=3)
    run(desk.relay())
    records = desk.kafka.records("bills")
    headers = [dict(record.headers()) for record in records]
    assert [record.key() for record in records] == [b"o-1", b"7", None]
    assert headers[0]["origin"] == b"\xff\x00"
    assert headers[0]["ce_type"] == b"bill.written"
    assert [one["ce_id"].decode() for one in headers] == [first, second, third]
    assert (third, headers[2]["ce_type"]) == ("mine", b"bill.other")
    assert len({first, second, third}) == 3


# --- publishing


def test_a_row_goes_away_only_when_the_broker_has_it(desk):
    desk.add(("k", 1))
    desk.kafka.faults.hold_deliveries = True
    relay, seen = desk.relay(lease="0.3s"), []
    serve = desk.kafka.deliver

    def tend():
        seen.append((desk.published(), desk.rows()))
        serve()
        return True

    relay._tend, relay._lease._beaten, relay._lease.held = tend, -10.0, True
    relay._publish(_rows(desk, relay))
    assert seen[0] == (["1"], [1])
    assert desk.rows() == []


def test_control_a_row_that_goes_away_before_is_lost_with_its_relay(desk):
    desk.add(("k", 1))
    relay = desk.relay()
    rows = _rows(desk, relay)
    relay._take_away([row.id for row in rows])  # and the relay is killed
    run(desk.relay(lease="0.3s"))
    assert (desk.published(), desk.rows()) == ([], [])


def _rows(desk, relay):
    with desk.shop.database.engine.connect() as connection:
        return relay._read(connection)


def test_of_a_key_one_row_is_on_its_way_at_a_time(desk):
    desk.add(("a", 1), ("a", 2), ("b", 3), (None, 4), (None, 5), ("a", 6))
    desk.kafka.faults.hold_deliveries = True
    relay, seen = desk.relay(lease="0.3s"), []

    def tend():
        seen.append(desk.published())
        desk.kafka.deliver()
        return True

    relay._tend, relay._lease.held = tend, True
    relay._lease = type("Lease", (), {"due": True, "held": True})()
    relay._publish(_rows(desk, relay))
    assert seen[:3] == [["1", "3", "4", "5"], ["1", "3", "4", "5", "2"], ["1", "3", "4", "5", "2", "6"]]


def test_a_row_that_is_refused_holds_back_its_key_and_nobody_else(desk, caplog):
    desk.add(("a", 1), ("a", 2), ("b", 3))
    relay = desk.relay()
    desk.kafka.faults.fail_deliveries("MSG_SIZE_TOO_LARGE")
    relay._turn()
    assert (desk.published(), desk.rows()) == (["3"], [1, 2])
    run(relay, 3)
    assert desk.published() == ["3"]  # it is not due yet
    desk.add(("a", 4), ("c", 5))
    relay._turn()
    assert desk.published() == ["3", "5"]
    assert relay.health().status is Status.DOWN
    assert [line for line in caplog.messages if "row 1 for topic bills could not be published" in line]
    for refusal in relay._held.values():
        refusal.due = 0.0
    run(relay, 3)
    assert desk.published() == ["3", "5", "1", "2", "4"]
    assert relay.health().status is Status.UP


def test_a_row_without_a_key_that_is_refused_holds_back_itself(desk):
    desk.add((None, 1), (None, 2))
    desk.kafka.faults.fail_deliveries("MSG_SIZE_TOO_LARGE")
    relay = desk.relay()
    run(relay, 3)
    assert (desk.published(), desk.rows()) == (["2"], [1])


def test_with_too_many_keys_held_back_everything_waits(desk, caplog):
    desk.add(*((f"k{n}", n) for n in range(HELD + 1)), ("fine", 1000))
    desk.kafka.faults.fail_deliveries("MSG_SIZE_TOO_LARGE", times=HELD + 1)
    relay = desk.relay()
    relay._turn()
    desk.add(("later", 1001))
    run(relay, 3)
    assert desk.published() == ["1000"]
    for refusal in relay._held.values():
        refusal.due = 0.0
    run(relay, 3)
    assert len(desk.published()) == HELD + 3
    assert len([line for line in caplog.messages if f"({HELD} more rows like it)" in line]) == 1


def test_when_nothing_gets_out_that_is_said_once_and_no_row_is_to_blame(desk, caplog):
    desk.add(("a", 1), ("b", 2))
    desk.kafka.faults.fail_deliveries("_MSG_TIMED_OUT", times=6)
    relay = desk.relay()
    for _ in range(3):
        relay._turn()
    assert relay.health().status is Status.DOWN
    assert len([line for line in caplog.messages if "nothing can be published" in line]) == 1
    relay._turn()
    assert (desk.published(), relay.health().status) == (["1", "2"], Status.UP)


def test_rows_are_published_in_batches_from_the_beginning(desk):
    desk.add(*(("k", n) for n in range(25)))
    relay = desk.relay(batch=10)
    relay._turn()
    assert len(desk.published()) == 10
    run(relay, 3)
    assert desk.published() == [str(n) for n in range(25)]


def test_a_full_buffer_is_waited_for(desk):
    desk.add(("a", 1), ("b", 2))
    desk.kafka.faults.full = 3
    run(desk.relay(), 2)
    assert desk.published() == ["1", "2"]


def test_rows_may_be_kept_for_a_while(desk):
    clock = ManualClock()
    desk.add(("a", 1))
    relay = desk.relay(clock, published="keep", keep_for="1s")
    run(relay, 2)
    assert (desk.published(), desk.rows()) == (["1"], [])
    assert len(desk.shop.run("SELECT id FROM kafkaboot_outbox")) == 1
    clock.advance(2)
    relay._tidied = 0.0
    run(relay, 1)
    assert desk.shop.run("SELECT id FROM kafkaboot_outbox") == []
    assert desk.published() == ["1"]


def test_health_tells_how_much_waits_and_is_down_when_it_waits_for_too_long(desk):
    clock = ManualClock()
    desk.add(("a", 1), ("a", 2))
    desk.shop.run("UPDATE kafkaboot_outbox SET created_at = :at", at=clock.time() - 90)
    desk.kafka.faults.fail_deliveries("MSG_SIZE_TOO_LARGE", times=1)
    relay = desk.relay(clock, behind_after="60s")
    relay._turn()
    health = relay.health()
    assert health.status is Status.DOWN
    assert health.details["waiting"] == 2
    assert health.details["oldest"] == pytest.approx(90, abs=5)


# --- the lease


def test_one_relay_is_at_work_and_another_follows_when_it_is_killed(desk, caplog):
    caplog.set_level(logging.INFO)
    first, second = desk.relay(lease="0.5s"), desk.relay(lease="0.5s")
    first._turn()
    desk.add(("k", 1))
    run(second)
    assert (first._lease.held, second._lease.held) == (True, False)
    assert desk.published() == []
    assert second.health().details == {"role": "stands by", "published": 0, "at work": first._lease.me}

    def taken_over():
        second._turn()
        return desk.published() == ["1"]

    eventually(taken_over, 10, "the second one takes over")  # the first one is never heard of again
    assert second._lease.held
    first._lease._beaten = 0.0  # a zombie finds out when it looks
    first._turn()
    assert not first._lease.held


def test_a_relay_that_raises_its_number_keeps_its_place(desk):
    first, second = desk.relay(lease="0.3s"), desk.relay(lease="0.3s")
    first._turn()
    for _ in range(5):
        first._lease._beaten = second._lease._beaten = 0.0
        first._turn()
        second._turn()
        second._lease._since -= 0.2
    assert (first._lease.held, second._lease.held) == (True, False)


def test_a_relay_that_stops_leaves_its_place_at_once(desk):
    desk.add(("k", 1))
    first, second = desk.relay(lease="1h"), desk.relay(lease="1h")
    first.start()
    eventually(lambda: desk.published() == ["1"], 10)
    first.stop()
    desk.add(("k", 2))
    run(second, 2)
    assert desk.published() == ["1", "2"]


def test_a_process_may_leave_publishing_to_others(desk):
    desk.add(("k", 1))
    relay = desk.relay(relay=False)
    relay.start()
    assert relay._thread is None
    assert relay.health().details == {"role": "writes only"}


# --- the thread


def test_a_commit_of_a_session_wakes_the_relay(desk):
    relay = desk.relay(poll_interval="1h")
    relay.start()
    try:
        eventually(lambda: relay._lease.held, 10)
        desk.add(("k", 1))
        eventually(lambda: desk.published() == ["1"], 10, "it does not wait for its next look")
    finally:
        relay.stop()


def test_an_inboxs_commit_wakes_it_as_well(desk, shop):
    import asyncio

    from tests.unit.sql.conftest import Raw

    relay = desk.relay(poll_interval="1h")
    relay.start()
    try:
        eventually(lambda: relay._lease.held, 10)
        process = shop.process()
        work = lambda session: desk.outbox.add(session, "bills", Bill(order_id="1"))
        asyncio.run(process.handle(Raw(1), lambda session: work(session) and None))
        eventually(lambda: desk.published() == ["1"], 10, "it does not wait for its next look")
    finally:
        relay.stop()


def test_a_database_that_is_away_is_waited_for(desk, monkeypatch):
    from sqlalchemy.exc import OperationalError

    from kafkaboot.sql import relay as relay_module

    monkeypatch.setattr(relay_module, "REST", 0.01)
    relay, left = desk.relay(poll_interval="10ms"), [3]
    read = relay._read

    def away(connection):
        left[0] -= 1
        if left[0] > 0:
            raise OperationalError("SELECT", {}, Exception("away"))
        return read(connection)

    relay._read = away
    desk.add(("k", 1))
    relay.start()
    try:
        eventually(lambda: desk.published() == ["1"], 10)
        eventually(lambda: desk.shop.database.trouble is None, 10)
    finally:
        relay.stop()


def test_the_index_of_waiting_rows_is_used(desk):
    waiting = "SELECT id FROM kafkaboot_outbox WHERE published_at IS NULL ORDER BY id LIMIT 5"
    plan = str(desk.shop.run(f"EXPLAIN QUERY PLAN {waiting}"))
    assert "kafkaboot_outbox_waiting" in plan
