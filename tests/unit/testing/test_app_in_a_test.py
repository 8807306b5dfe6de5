"""An application in the process of its test."""

from __future__ import annotations

import asyncio
import importlib
from decimal import Decimal

import pytest

from kafkaboot.boot.control import Control
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import ConfigurationError, KafkabootError
from kafkaboot.testing import RunningBroker, TestApp


@pytest.fixture
def shop(kitshop):
    return importlib.import_module("kitshop.handlers")


def order(shop, number, total=30):
    return shop.OrderPlaced(order_id=f"o-{number}", total=Decimal(total))


async def test_what_a_handler_publishes_is_waited_for_and_its_input_is_settled_by_then(running, shop):
    async with running() as app:
        await app.publish("orders", order(shop, 1))
        invoice = await app.published("invoices", shop.InvoiceIssued)
        assert invoice == shop.InvoiceIssued(order_id="o-1", amount=Decimal("35.70"))
        app.handler("bill").assert_settled(1)
        assert app.handler("bill").handled == 1


async def test_each_record_is_given_out_once_and_where_chooses(running, shop):
    async with running() as app:
        for number in (1, 2, 3):
            await app.publish("orders", order(shop, number), key="same")
        third = await app.published("invoices", shop.InvoiceIssued, where=lambda one: one.order_id == "o-3")
        rest = {(await app.published("invoices", shop.InvoiceIssued)).order_id for _ in range(2)}
        assert (third.order_id, rest) == ("o-3", {"o-1", "o-2"})
        await app.nothing_published("invoices", within=0.1)
        assert len(await app.all_published("invoices", shop.InvoiceIssued)) == 3
        await app.handler("bill").settled_within(3)


async def test_a_record_comes_with_its_key_and_headers_when_it_is_asked_for(running, shop):
    async with running() as app:
        await app.publish("orders", order(shop, 1))
        found = await app.published_record("invoices", shop.InvoiceIssued)
        assert found.record.key == b"o-1"
        assert ("ce_type", b"kit.invoice.issued") in found.record.headers


async def test_what_does_not_come_is_told_with_what_came_instead_and_what_the_handlers_did(running, shop):
    async with running() as app:
        await app.publish("orders", order(shop, 1))
        await app.publish("orders", shop.OrderPlaced(order_id="bad", total=1))
        await app.publish("invoices", shop.InvoiceRefused(order_id="o-9"))
        await app.publish("invoices", b"{", headers={"ce_type": "kit.invoice.issued"})
        await app.handler("bill").raised_within(ValueError)
        await app.handler("bill").settled_within(1)
        with pytest.raises(AssertionError) as caught:
            await app.published("invoices", shop.InvoiceIssued, where=lambda one: one.order_id == "o-2", within=0.5)
        text = str(caught.value)
        assert "no InvoiceIssued that fits in invoices within 0.5 s" in text
        assert '{"order_id":"o-1","amount":"35.70"}: `where` says no' in text
        assert "its type is kit.invoice.refused, not kit.invoice.issued" in text
        assert "it is no InvoiceIssued" in text
        assert "handler bill: settled 1, failed 1" in text
        assert "raised ValueError: no such order" in text
        assert "handlers.py:" in text


async def test_a_topic_that_is_misspelt_is_told_as_such(running, shop):
    async with running() as app:
        with pytest.raises(AssertionError, match="topic invoice does not exist; did you mean 'invoices'"):
            await app.published("invoice", shop.InvoiceIssued, within=0.1)
        with pytest.raises(LookupError, match="no handler 'bil'; did you mean 'bill'"):
            app.handler("bil")


async def test_a_wrong_count_is_told_with_what_became_of_the_records(running, shop):
    async with running() as app:
        await app.publish("orders", order(shop, 1), key="ignored")
        await app.handler("bill").settled_within(1)
        assert (app.handler("bill").filtered, app.handler("bill").handled) == (1, 0)
        with pytest.raises(AssertionError, match="2 settled records were expected of handler bill: settled 1, filt"):
            app.handler("bill").assert_settled(2)
        with pytest.raises(AssertionError, match="2 settled records of handler bill: settled 1"):
            await app.handler("bill").settled_within(2, within=0.1)
        app.handler("bill").assert_failed(0)


@pytest.mark.parametrize("number", [1, 2])
async def test_no_test_sees_anothers_records_though_topics_and_groups_have_the_same_names(running, shop, number):
    async with running() as app:
        await app.publish("orders", order(shop, number))
        invoice = await app.published("invoices", shop.InvoiceIssued)
        assert invoice.order_id == f"o-{number}"
        assert len(await app.all_published("invoices", shop.InvoiceIssued)) == 1
        app.handler("bill").assert_settled(1)


async def test_control_without_a_fresh_broker_the_first_tests_records_are_seen(running, shop):
    for expected in (1, 2):
        async with running() as app:
            await app.publish("orders", order(shop, expected))
            await app.handler("bill").settled_within(1)
            found = await app.all_published("invoices", shop.InvoiceIssued)
    assert len(found) == 2


async def test_after_a_restart_nothing_is_handled_twice(running, shop):
    async with running() as app:
        await app.publish("orders", order(shop, 1))
        await app.handler("bill").settled_within(1)
        await app.restart()
        await app.publish("orders", order(shop, 2))
        await app.handler("bill").settled_within(1)
        assert len(await app.all_published("invoices", shop.InvoiceIssued)) == 2


async def test_components_are_at_hand_and_may_be_doubled(running, shop):
    class Free:
        rate = Decimal(0)

    async with running() as app:
        assert app.get(shop.Tax).rate == Decimal("0.19")
    async with running(components={shop.Tax: Free()}) as app:
        await app.publish("orders", order(shop, 1))
        assert (await app.published("invoices", shop.InvoiceIssued)).amount == 30


async def test_overrides_win_and_the_profile_test_is_active(running, shop):
    async with running(overrides={"kitshop.tax-rate": 1}) as app:
        assert app.get(shop.ShopSettings).tax_rate == 1
        assert app.application.configure().profiles == ("test",)


async def test_a_file_for_the_profile_test_is_read(embedded, kitshop, shop):
    file = kitshop / "application-test.yaml"
    file.write_text("kitshop: {tax-rate: 0.5}\n")
    try:
        async with TestApp(embedded, directory=kitshop) as app:
            assert app.get(shop.ShopSettings).tax_rate == Decimal("0.5")
    finally:
        file.unlink()


async def test_a_rebalance_takes_nothing_away_and_repeats_nothing(running, shop):
    async with running() as app:
        await app.publish("orders", order(shop, 1))
        await app.handler("bill").settled_within(1)
        heard = []
        group = app.application.groups.groups[0]
        before = dict(group.poller.holdings)
        await app.chaos.rebalance()
        heard += [tp for tp, holding in group.poller.holdings.items() if before[tp] is not holding]
        assert heard, "no partition went and came back: there was no rebalance"
        await app.publish("orders", order(shop, 2))
        await app.handler("bill").settled_within(2)
        with pytest.raises(LookupError, match="which group"):
            await app.chaos.rebalance("nobody")


async def test_failed_commits_and_produces_cost_nothing(running, shop):
    async with running() as app:
        app.chaos.fail_commits("NOT_COORDINATOR", times=1)
        app.chaos.fail_produces("NOT_LEADER_OR_FOLLOWER", times=1, topic="invoices")
        await app.publish("orders", order(shop, 1))
        assert (await app.published("invoices", shop.InvoiceIssued, within=20)).order_id == "o-1"
        await app.restart()
        assert app.broker.faults_left() == 0, "a fault was not met"
        await app.publish("orders", order(shop, 2))
        await app.handler("bill").settled_within(1)


async def test_a_broker_that_restarts_costs_nothing(kitshop, shop, tmp_path):
    with EmbeddedKafka(data_dir=tmp_path) as broker:
        async with TestApp(broker, directory=kitshop) as app:
            await app.publish("orders", order(shop, 1))
            await app.handler("bill").settled_within(1)
            for number, clean in ((2, True), (3, False)):
                ended = broker.pid
                await app.chaos.restart_broker(clean=clean)
                assert broker.pid != ended
                await app.publish("orders", order(shop, number))
                # The one before may come twice: the kill may have met it before it was committed.
                await app.published("invoices", shop.InvoiceIssued, where=belongs_to(number), within=30)


def belongs_to(number):
    return lambda invoice: invoice.order_id == f"o-{number}"


async def test_topics_of_others_on_a_broker_that_is_shared_are_refused(embedded, kitshop):
    embedded.create_topic("orders", 1)
    with pytest.raises(ConfigurationError, match="are on this broker already: orders"):
        await TestApp(RunningBroker(embedded.bootstrap_servers), directory=kitshop).start()


async def test_orders_that_a_real_broker_cannot_obey_are_refused():
    from kafkaboot.testing.broker_faults import NotThisBrokerError, fail_commits, restart_broker

    real = RunningBroker("127.0.0.1:1")
    with pytest.raises(NotThisBrokerError, match="external does not fail by order"):
        fail_commits(real)
    with pytest.raises(NotThisBrokerError, match="cannot be restarted"):
        restart_broker(real)


async def test_after_its_end_and_from_another_loop_it_says_what_is_wrong(running, shop):
    async with running() as app:
        elsewhere = asyncio.to_thread(asyncio.run, app.publish("orders", order(shop, 1)))
        with pytest.raises(RuntimeError, match="another event loop"):
            await elsewhere
    with pytest.raises(RuntimeError, match="is not running"):
        await app.publish("orders", order(shop, 1))


async def test_a_handler_and_a_partition_are_paused_and_resumed_while_the_application_runs(running, shop):
    async with running() as app:
        control, handled = app.get(Control), app.handler("bill")
        control.pause("bill")
        await app.publish("orders", order(shop, 1))
        await app.nothing_published("invoices", within=0.3)
        assert control.paused() == ["bill"]
        control.resume("bill")
        await handled.settled_within(1)
        receipt = await app.publish("orders", order(shop, 2), key=b"o-2")
        await handled.settled_within(2)
        control.pause_partition("orders", receipt.partition)
        assert control.paused() == [f"orders[{receipt.partition}]"]
        await app.publish("orders", order(shop, 2), key=b"o-2")
        with pytest.raises(AssertionError, match="3 settled records"):
            await handled.settled_within(3, within=0.3)
        control.resume_partition("orders", receipt.partition)
        await handled.settled_within(3)
        assert control.paused() == []


async def test_what_cannot_be_paused_is_told_with_what_can(running):
    async with running() as app:
        control = app.get(Control)
        with pytest.raises(KafkabootError, match="no handler 'bil' in this process\n  To do: did you mean 'bill'"):
            control.pause("bil")
        with pytest.raises(KafkabootError, match=r"no group of this process has orders\[99\]"):
            control.pause_partition("orders", 99)
