"""`@event_handler(transactional=True)`, wired: what is refused before anything is read, and that it works."""

from __future__ import annotations

import socket

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.errors import ConfigurationError, DeclarationError
from kafkaboot.testing import eventually_async

CODE = """
from kafkaboot.client import ClientFactory
from kafkaboot.client.memory import MemoryClients

HEARD, COMMITS, CALLS = [], [], []
KAFKA = MemoryClients()
for topic in ("orders", "invoices"):
    KAFKA.kafka.create(topic)

@component
def clients() -> ClientFactory:
    return KAFKA

@component
class Board:
    def on_transaction(self, outcome, seconds):
        HEARD.append(outcome)

    def on_commit(self, group, offsets, error):
        COMMITS.append((group, offsets, error))

class Order(BaseModel):
    n: int

@event_handler("orders", transactional=True)
@publisher("invoices")
async def bill(order: Order, context: Context) -> Order:
    CALLS.append((order.n, context.attempt))
    if order.n == 1:
        raise ValueError("one")
    return order
"""
QUICK = "  retry: {default: {attempts: 3, backoff: {initial: 1ms, max: 1ms}}}\n"


@pytest.fixture
def started(shop, monkeypatch):
    (shop.package / "clients.py").unlink()
    monkeypatch.chdir(shop.folder)
    monkeypatch.delenv("KB_WORKER", raising=False)
    running = []

    async def start(code=CODE, yaml=QUICK):
        shop.handlers(code)
        shop.yaml(yaml)
        application = Application()
        running.append(application)
        await application.start()
        return application

    return start


async def test_outputs_offsets_and_letters_come_together_and_listeners_hear_of_it(shop, started):
    application = await started()
    try:
        module = shop.module("handlers")
        kafka = module.KAFKA.kafka
        for n in range(3):
            kafka.append("orders", b'{"n":%d}' % n)
        letters = f"orders.{shop.name}.dlt"
        await eventually_async(lambda: len(kafka.records("invoices", committed=True)) == 2)
        await eventually_async(lambda: kafka.records(letters, committed=True))
        assert [record.value() for record in kafka.records("invoices", committed=True)] == [b'{"n":0}', b'{"n":2}']
        assert [record.value() for record in kafka.records(letters, committed=True)] == [b'{"n":1}']
        assert [call for call in module.CALLS if call[0] == 1] == [(1, 1), (1, 2), (1, 3)]
        assert set(module.HEARD) == {"committed"}
        await eventually_async(lambda: module.COMMITS and module.COMMITS[-1][1] == [("orders", 0, 3)])
        assert f"{shop.name}-{socket.gethostname()}-0-{shop.name}" in kafka.transactional
        assert {each.member for each in kafka.commits}
    finally:
        await application.stop()
    assert application.groups.groups[0].error is None


async def test_retry_topics_of_a_transactional_handler_have_transactions_of_their_own(shop, started):
    yaml = "  retry: {default: {attempts: 1, topics: [10ms], backoff: {initial: 1ms, max: 1ms}}}\n"
    application = await started(yaml=yaml)
    try:
        module = shop.module("handlers")
        kafka = module.KAFKA.kafka
        kafka.append("orders", b'{"n":1}')
        letters = f"orders.{shop.name}.dlt"
        await eventually_async(lambda: kafka.clock.advance(0.005) or kafka.records(letters, committed=True))
        assert [call for call in module.CALLS] == [(1, 1), (1, 2)]
        names = {f"{shop.name}-{socket.gethostname()}-0-{group}" for group in (shop.name, f"{shop.name}.retry")}
        assert names <= set(kafka.transactional)
    finally:
        await application.stop()


async def test_the_configuration_can_make_a_handler_transactional(shop, started):
    code = CODE.replace(", transactional=True", "")
    application = await started(code, QUICK + "  handlers: {bill: {transactional: true}}\n")
    try:
        assert application.describe_handlers()[0].transactional
        assert shop.module("handlers").KAFKA.kafka.transactional
    finally:
        await application.stop()


async def test_control_without_it_nothing_is_made(shop, started):
    application = await started(CODE.replace(", transactional=True", ""))
    try:
        assert not shop.module("handlers").KAFKA.kafka.transactional
        assert not application.describe_handlers()[0].transactional
    finally:
        await application.stop()


OTHER = """
@event_handler("orders", id="other", type="some.other")
async def other(order: Order) -> None: ...
"""
REFUSED = {
    "unordered": (CODE.replace("transactional=True", 'transactional=True, ordering="unordered"'), "", "unordered"),
    "keep order": (
        CODE,
        "  retry: {default: {topics: [5s], keep-order: key}}\n",
        "keeps the order of keys",
    ),
    "one of two": (CODE + OTHER, "", "other is not"),
    "uncommitted": (CODE, "  consumer: {properties: {isolation.level: read_uncommitted}}\n", "read_uncommitted"),
    "session": (CODE, "  consumer: {session-timeout: 8s}\n", "dead after 8 s"),
    "broker's maximum": (
        CODE,
        "  consumer: {session-timeout: 2000s}\n  producer: {transaction: {timeout: 20m}}\n",
        "900 s at most",
    ),
    "no boolean": (CODE.replace("transactional=True", 'transactional="yes"'), "", "True or False"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_contradicts_transactions_is_refused_at_start_with_its_place_and_a_remedy(started, case):
    code, yaml, text = REFUSED[case]
    with pytest.raises((DeclarationError, ConfigurationError), match=text) as caught:
        await started(code, yaml)
    assert caught.value.where
    assert caught.value.todo or case == "no boolean"


async def test_a_broker_without_transactions_fails_the_start_and_says_what_they_need(shop, started):
    code = CODE + '\nKAFKA.kafka.faults.fail_transaction("init_transactions", "COORDINATOR_NOT_AVAILABLE")\n'
    with pytest.raises(Exception, match="COORDINATOR_NOT_AVAILABLE"):
        await started(code)
