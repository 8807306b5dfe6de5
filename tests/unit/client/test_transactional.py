"""A transactional client whose call never comes back is given up, and the next one can take its place."""

import threading

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.client.confluent.transactional import GRACE, ConfluentTransactional
from kafkaboot.errors import TransactionError

OFFSETS = {TP("orders", 0): Committed(7, "")}


@pytest.fixture
def client():
    properties = {"bootstrap.servers": "127.0.0.1:1", "transactional.id": "shop-0", "transaction.timeout.ms": 1000}
    made = ConfluentTransactional({**properties, "log_level": 0})
    yield made
    made.close(0.0)


class Stub(list):
    """A librdkafka client with nothing on its way."""

    def __init__(self, send):
        super().__init__()
        self.send_offsets_to_transaction = send


def within(client, monkeypatch, send):
    monkeypatch.setattr(client, "_producer", Stub(send))
    try:
        client.send_offsets(OFFSETS, b"member", 0.1)
    finally:
        monkeypatch.undo()


def test_a_call_for_offsets_that_never_comes_back_ends_the_client_and_nobody_waits_for_it(client, monkeypatch):
    """librdkafka #5456."""
    never = threading.Event()
    try:
        with pytest.raises(TransactionError, match=f"did not come back within {0.1 + GRACE:g} s") as failed:
            within(client, monkeypatch, lambda *_: never.wait(60))
    finally:
        never.set()
    error = failed.value
    assert (error.outcome, error.fatal, error.fenced, error.code) == ("aborted", True, False, "_TIMED_OUT")
    assert error.where == "transactional id shop-0"


def test_one_that_comes_back_is_heard_and_so_is_what_it_raises(client, monkeypatch):
    heard = []
    within(client, monkeypatch, lambda *given: heard.append(given))
    ((wanted, membership, left),) = heard
    assert [(one.topic, one.partition, one.offset) for one in wanted] == [("orders", 0, 7)]
    assert (membership, left) == (b"member", pytest.approx(0.1, abs=0.05))

    def refuse(*_):
        raise ValueError("not by me")

    with pytest.raises(ValueError, match="not by me"):
        within(client, monkeypatch, refuse)
