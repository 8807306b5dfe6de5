from __future__ import annotations

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.errors import DeclarationError, KafkabootError, WiringError

BILL = """
class Order(BaseModel):
    order_id: str

@event_handler("orders", concurrency=4)
async def bill(order: Order) -> None: ...
"""


def application(shop, **options):
    return Application(directory=shop.folder, environ={}, **options)


def refused(shop, kind=KafkabootError, **options):
    with pytest.raises(kind) as raised:
        application(shop, **options).wire()
    return str(raised.value).replace(str(shop.folder), ".").replace(shop.name, "shop")


def test_the_configuration_wins_over_the_code_and_the_report_says_so(shop):
    shop.handlers(BILL)
    shop.yaml("  handlers:\n    bill: {concurrency: 32, ordering: key, topics: [orders, more], retry: patient}\n"
              "  retry:\n    patient: {backoff: {initial: 1s, max: 1m}}\n")  # fmt: skip
    made = application(shop)

    (row,) = made.describe_handlers()
    assert (row.concurrency, row.ordering, row.topics, row.retry) == (32, "key", ("orders", "more"), "patient")
    (handler,) = made.blueprint.handlers
    assert (handler.retry.initial, handler.retry.max) == (1.0, 60.0)
    assert [str(override) for override in made.blueprint.report.overrides] == [
        "bill: concurrency = 32 (application.yaml:4); the code says 4",
        "bill: ordering = key (application.yaml:4); the code says partition",
        "bill: retry = patient (application.yaml:4); the code says default",
        "bill: topics = ['orders', 'more'] (application.yaml:4); the code says ('orders',)",
    ]


def test_a_handler_that_the_configuration_switches_off_is_left_out(shop):
    shop.handlers(BILL)

    assert application(shop, overrides=["kafkaboot.handlers.bill.enabled=false"]).describe_handlers() == []


def test_an_unknown_handler_in_the_configuration_is_told_with_the_nearest(shop):
    shop.handlers(BILL)
    shop.yaml("  handlers:\n    bil: {concurrency: 32}\n")

    assert refused(shop) == (
        "application.yaml:4: `kafkaboot.handlers.bil` belongs to no handler\n  To do: did you mean `bill`?"
    )


def test_an_unknown_retry_policy_is_told_with_the_nearest(shop):
    shop.handlers(BILL)
    shop.yaml("  handlers:\n    bill: {retry: patiant}\n  retry:\n    patient: {}\n")

    assert refused(shop, DeclarationError).endswith(
        "handlers.py:6: handler bill names the retry policy 'patiant', which does not exist\n"
        "  To do: did you mean `patient`? policies stand under kafkaboot.retry.<name>"
    )


def test_a_policy_of_the_configuration_may_be_called_default(shop):
    shop.handlers(BILL)

    made = application(shop, overrides=["kafkaboot.retry.default.backoff.initial=5s"])
    made.wire()
    assert made.blueprint.handlers[0].retry.initial == 5.0


def test_retry_false_means_a_single_attempt_with_everything_else_as_the_default_policy_says(shop):
    shop.yaml("  retry: {default: {attempts: 7, topics: [5s], fatal: [builtins.KeyError]}}\n")
    shop.handlers(BILL.replace("concurrency=4", "retry=False"))
    made = application(shop)
    made.wire()
    (handler,) = made.blueprint.handlers
    assert handler.retry_name == "none"
    assert (handler.retry.attempts, handler.retry.topics, handler.retry.fatal) == (1, (), ("builtins.KeyError",))


def test_placeholders_in_topics_groups_and_outputs_are_resolved(shop):
    shop.handlers(
        """
        class Order(BaseModel):
            order_id: str

        @event_handler("${in}", group="${team:bills}")
        @publisher("${out}", key="order_id")
        async def bill(order: Order) -> Order: ...
        """
    )

    (row,) = application(shop, overrides=["in=orders", "out=invoices"]).describe_handlers()
    assert (row.topics, row.group, row.publishes) == (("orders",), "bills", ("invoices",))


def test_a_type_is_the_payloads_event_unless_the_handler_names_another(shop):
    shop.handlers(
        """
        @event("order.placed")
        class Order(BaseModel):
            order_id: str

        @event_handler("orders")
        async def single(order: Order) -> None: ...

        @event_handler("orders", type="order.other")
        async def other(order: Order) -> None: ...

        @event_handler("orders", group="batches")
        async def batch(orders: list[Order]) -> None: ...
        """
    )
    rows = {row.id: row for row in application(shop).describe_handlers()}

    assert {row.id: row.type for row in rows.values()} == {
        "single": "order.placed",
        "other": "order.other",
        "batch": "order.placed",
    }
    assert (rows["single"].batch, rows["batch"].batch) == (None, 500)
    assert (rows["single"].group, rows["batch"].group) == (shop.name, "batches")


def test_a_parameter_that_nothing_can_fill_is_drawn_from_the_handler(shop):
    shop.handlers(
        """
        class Order(BaseModel):
            order_id: str

        class Rates: ...

        @component
        class Tax:
            def __init__(self, rates: Rates) -> None: ...

        @event_handler("orders")
        async def bill(order: Order, tax: Tax) -> None: ...
        """
    )

    assert refused(shop, WiringError) == (
        "nothing provides Rates\n"
        "  bill (./shop/handlers.py:12)\n"
        "  └─ tax: Tax (./shop/handlers.py:8)\n"
        "     └─ rates: Rates   <- missing\n"
        "  To do: decorate a class, or a function that returns Rates, with @component in a scanned package"
    )


def test_two_handlers_of_one_group_that_claim_the_same_records_are_refused_before_the_start(shop):
    shop.handlers(BILL + BILL.replace("def bill", "def again"))

    text = refused(shop, DeclarationError)
    assert "two handlers of group 'shop' take records of any type from topic 'orders': bill (" in text
    one_each = application(shop, overrides=["kafkaboot.handlers.again.group=other"])
    assert [row.group for row in one_each.describe_handlers()] == [shop.name, "other"]


def test_what_a_handler_publishes_needs_a_producer(shop):
    shop.handlers(BILL.replace("async def", '@publisher("invoices")\nasync def').replace("None", "Order"))

    text = refused(shop, WiringError, overrides=["kafkaboot.autoconfigure.exclude=producer"])
    assert text.startswith(
        "nothing provides Producer\n  bill (./shop/handlers.py:6)\n  └─ @publisher: Producer   <- missing\n"
    )


def test_a_section_of_the_configuration_is_never_taken_for_a_payload(shop):
    shop.handlers('@event_handler("orders")\nasync def bill(order: dict) -> None: ...\n')

    made = application(shop)
    made.wire()
    assert made.blueprint.handlers[0].signature.payload.name == "order"
