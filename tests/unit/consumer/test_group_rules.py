"""What a group of handlers must agree on, and what it does when the broker refuses its map."""

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.clock import ManualClock
from kafkaboot.consumer import Backoff, Route
from kafkaboot.consumer.committer import Committer
from kafkaboot.consumer.dispatch import Dispatch
from kafkaboot.consumer.holding import Holding
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.errors import ClientError, DeclarationError


def test_handlers_of_one_group_that_begin_at_different_ends_are_refused_with_both_places():
    first = Route("bill", Backoff(), ("orders",), start="earliest", where="shop/a.py:1")
    second = Route("mail", Backoff(), ("invoices",), start="latest", where="shop/b.py:2")
    with pytest.raises(DeclarationError) as caught:
        Dispatch("shop", [first, second])
    assert str(caught.value) == (
        "shop/b.py:2: handlers of group 'shop' begin at different ends: bill at 'earliest' (shop/a.py:1), "
        "mail at 'latest' (shop/b.py:2)\n"
        "  To do: give one of them its own group (group=...), or both the same start"
    )


class Refusing:
    """A consumer whose broker takes no metadata."""

    def __init__(self):
        self.committed = []

    def commit(self, offsets, done):
        error = None
        if any(said.metadata for said in offsets.values()):
            error = ClientError("too large", code="OFFSET_METADATA_TOO_LARGE")
        else:
            self.committed.append(dict(offsets))
        if done is not None:
            done(error)
        elif error is not None:
            raise error


def held(raw):
    """A partition by key whose first record is not done, and the two behind it are."""
    assignment = Assignment(TP("orders", 0), 1, in_order=False)
    chunk, _ = assignment.take([raw(offset) for offset in (7, 8, 9)])
    chunk.done[1:3] = b"\x01\x01"
    return {assignment.tp: Holding(assignment)}


@pytest.mark.parametrize("waited", [True, False])
def test_a_broker_that_refuses_the_map_gets_the_offset_alone(waited, raw, caplog):
    clock, consumer, holdings = ManualClock(), Refusing(), held(raw)
    committer = Committer("shop", 1.0, clock)
    for _ in range(2):
        clock.advance(1.5)
        if waited:
            committer.last(consumer, holdings, holdings)
        else:
            committer.due(consumer, holdings)
    assert consumer.committed[0] == {TP("orders", 0): Committed(7, "")}
    assert "to do: raise offset.metadata.max.bytes" in caplog.text


def test_a_member_without_partitions_says_once_what_it_waits_for(desk, caplog):
    caplog.set_level("INFO", "kafkaboot.consumer")
    waiting = desk()
    for _ in range(10):
        waiting.clock.advance(1.5)
        waiting.turn()
    said = [record.message for record in caplog.records if "waits for partitions" in record.message]
    assert said == ["group shop: waits for partitions; if a member was killed, until its session ends (45 s at most)"]
