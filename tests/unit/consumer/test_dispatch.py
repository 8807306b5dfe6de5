import logging

import pytest

from kafkaboot.consumer.dispatch import Dispatch
from kafkaboot.errors import DeclarationError


def typed(raw, offset, kind=None, header="ce_type"):
    return raw(offset, headers=None if kind is None else [(header, kind.encode())])


def split(dispatch, records):
    parts = dispatch.split("orders", records, range(len(records)))
    return {route.id: list(indices) for route, indices in parts}


def test_the_only_handler_without_a_type_takes_everything(raw, route_of):
    dispatch = Dispatch("shop", [route_of(id="all")])
    assert split(dispatch, [typed(raw, 0, "order.placed"), typed(raw, 1)]) == {"all": [0, 1]}


def test_records_go_by_their_type_from_either_header_and_the_rest_to_the_one_that_takes_any(raw, route_of):
    dispatch = Dispatch("shop", [route_of(id="placed", type="order.placed"), route_of(id="any")])
    records = [
        typed(raw, 0, "order.placed"),
        typed(raw, 1, "order.placed", "kb-type"),
        typed(raw, 2, "order.cancelled"),
        typed(raw, 3),
        raw(4, headers=[("kb-type", b"order.placed"), ("ce_type", b"order.cancelled")]),
    ]
    assert split(dispatch, records) == {"placed": [0, 1], "any": [2, 3, 4]}


def test_a_record_without_a_type_goes_to_the_topic_s_only_handler(raw, route_of):
    dispatch = Dispatch("shop", [route_of(id="placed", type="order.placed")])
    assert split(dispatch, [typed(raw, 0), typed(raw, 1, "order.placed")]) == {"placed": [0, 1]}


def test_a_type_that_nobody_takes_is_left_out_counted_and_said_once(raw, route_of, caplog):
    dispatch = Dispatch("shop", [route_of(id="placed", type="order.placed"), route_of(id="paid", type="order.paid")])
    with caplog.at_level(logging.WARNING, "kafkaboot.consumer"):
        assert split(dispatch, [typed(raw, 7, "order.lost"), typed(raw, 8, "order.lost"), typed(raw, 9)]) == {}
    assert dispatch.unclaimed == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"orders[0]@{offset}: no handler of group 'shop' takes the event type {kind}; handled here: "
        "order.placed (placed), order.paid (paid); "
        "the record is settled without being handled, as all of its type will be; this is said once; "
        f"to do: if it should be handled here, declare a handler with type={kind}, or one without a type"
        for offset, kind in [(7, "'order.lost'"), (9, "'(none)'")]
    ]


def test_a_type_from_the_wire_cannot_write_lines_into_the_log(raw, route_of, caplog):
    dispatch = Dispatch("shop", [route_of(type="order.placed")])
    with caplog.at_level(logging.WARNING, "kafkaboot.consumer"):
        split(dispatch, [typed(raw, 0, "evil\nCRITICAL: all is lost" + "x" * 500)])
    assert "\n" not in caplog.records[0].getMessage()
    assert len(caplog.records[0].getMessage()) < 700


def test_two_handlers_that_claim_one_type_of_a_topic_are_refused_with_both_places(route_of):
    routes = [
        route_of(id="bill", type="order.placed", where="shop.py:10"),
        route_of(id="ship", type="order.placed", where="shop.py:20"),
    ]
    with pytest.raises(DeclarationError) as caught:
        Dispatch("shop", routes)
    assert str(caught.value) == (
        "shop.py:20: two handlers of group 'shop' take records of type 'order.placed' from topic 'orders': "
        "bill (shop.py:10) and ship (shop.py:20)\n"
        "  To do: give one of them its own group (group=...) so that both see every record, "
        "or a type (type=...) of its own"
    )


def test_two_handlers_that_take_any_type_of_a_topic_are_refused(route_of):
    with pytest.raises(DeclarationError, match="take records of any type from topic 'orders'"):
        Dispatch("shop", [route_of(id="bill"), route_of(id="ship")])


def test_handlers_of_other_topics_or_types_do_not_clash(route_of):
    Dispatch("shop", [route_of(id="a"), route_of(id="b", topics=("other",)), route_of(id="c", type="t")])


def test_patterns_are_subscribed_as_librdkafka_wants_them_and_claim_their_topics(route_of):
    routes = [route_of(id="a", topics=("orders",)), route_of(id="p", topics=(), pattern="audit\\..*")]
    dispatch = Dispatch("shop", routes)
    assert dispatch.subscription() == ["orders", "^audit\\..*"]
    assert [route.id for route in dispatch.routes_of("audit.eu")] == ["p"]
    assert [route.id for route in dispatch.routes_of("orders")] == ["a"]
