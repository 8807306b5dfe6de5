from __future__ import annotations

import json
import sys

import pytest

CODE = """
import logging
from dataclasses import dataclass
from kafkaboot import Context, Producer, Record, Skip, component, event, event_handler, on_start, publisher

@event("order.placed")
@dataclass
class OrderPlaced:
    order_id: str
    total: int = 0

@event("invoice.issued")
@dataclass
class InvoiceIssued:
    order_id: str

@component
class Ledger:
    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.open = False

    @on_start
    async def connect(self) -> None:
        self.open = True
        await self.producer.publish("openings", b"open", key="ledger")

@event_handler("orders", filter=lambda record: record.key != b"test")
@publisher("invoices", key="order_id")
async def bill(order: OrderPlaced, ledger: Ledger) -> InvoiceIssued:
    logging.getLogger("shop").warning("billing %s, ledger open: %s", order.order_id, ledger.open)
    if order.total < 0:
        raise ValueError("a negative total")
    if order.total == 13:
        raise SystemExit(3)
    print("printed by the handler")
    return InvoiceIssued(order_id=order.order_id)

@event_handler("parcels")
def ship(record: Record) -> None:
    raise RuntimeError(f"{record.topic}[{record.partition}]@{record.offset} {record.key!r} {record.headers}")

@event_handler("clicks", batch=10)
async def count(clicks: list[str]) -> None:
    if "bad" in clicks:
        raise ValueError(clicks)
"""


@pytest.fixture
def probe(shop, call):
    """Runs `kafkaboot probe --json` and answers the exit code and the object."""
    shop(code=CODE)

    def run(*arguments, **kwargs):
        done = call("probe", *arguments, "--json", **kwargs)
        assert done.exit_code in {0, 1}, done.output
        return done.exit_code, json.loads(done.stdout)

    return run


def test_a_handler_that_returns_shows_what_it_would_publish_and_commit(probe):
    code, found = probe("bill", '{"order_id": "o-1"}', "--key", "o-1", "--header", "source=desk")
    assert code == 0
    assert found["outcome"] == "returned"
    assert found["returned"] == {"order_id": "o-1"}
    opening, invoice = found["captured"]["published"]
    assert (opening["topic"], opening["during"], opening["key"]) == ("openings", "start", "ledger")
    assert (invoice["topic"], invoice["during"], invoice["key"]) == ("invoices", "handler", "o-1")
    assert (invoice["type"], invoice["value"]) == ("invoice.issued", {"order_id": "o-1"})
    assert invoice["partition"] is None
    assert found["captured"]["commits"] == [{"group": "shop", "topic": "orders", "partition": 0, "offset": 1}]
    assert found["records"][0]["headers"] == [["source", "desk"], ["ce_type", "order.placed"]]
    assert [line["message"] for line in found["logs"]] == ["billing o-1, ledger open: True"]
    assert found["notes"] == []


def test_what_the_handler_prints_does_not_stand_in_the_json(probe, call):
    assert probe("bill", '{"order_id": "o-1"}')[0] == 0
    assert "printed by the handler" in call("probe", "bill", '{"order_id": "o-1"}').stdout


def test_without_start_no_hook_runs_and_components_are_there_all_the_same(probe):
    _, found = probe("bill", '{"order_id": "o-1"}', "--no-start")
    assert [one["topic"] for one in found["captured"]["published"]] == ["invoices"]
    assert found["logs"][0]["message"].endswith("ledger open: False")


def test_a_handler_that_raises_ends_with_1_and_shows_its_own_frames_only(probe):
    code, found = probe("bill", '{"order_id": "o-1", "total": -1}')
    assert (code, found["outcome"]) == (1, "raised")
    assert found["error"]["type"] == "builtins.ValueError"
    frames = [line for line in found["error"]["traceback"].splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert "in bill" in frames[0]
    assert found["captured"]["commits"] == []
    assert [one["topic"] for one in found["captured"]["published"]] == ["openings"]


def test_an_undecodable_record_is_a_result_with_code_1(probe):
    code, found = probe("bill", "not json")
    assert (code, found["outcome"]) == (1, "undecodable")
    assert found["error"]["message"].startswith("the value is not JSON")
    assert found["error"]["traceback"] == ""


def test_a_record_that_the_filter_keeps_out_is_settled_without_a_call(probe):
    code, found = probe("bill", '{"order_id": "o-1"}', "--key", "test")
    assert (code, found["outcome"], found["logs"]) == (0, "filtered", [])
    assert found["captured"]["commits"][0]["offset"] == 1


def test_a_handler_that_would_end_the_process_does_not_end_the_probe(probe):
    code, found = probe("bill", '{"order_id": "o-1", "total": 13}')
    assert (code, found["error"]["type"]) == (1, "builtins.SystemExit")
    assert "the application would end" in found["fate"]


def test_a_record_written_as_an_object_has_its_own_place_key_and_headers(probe, tmp_path):
    record = {"value": {"a": 1}, "key": {"base64": "/w=="}, "headers": {"h": "x"}, "topic": "parcels", "partition": 3}
    (tmp_path / "record.json").write_text(json.dumps({**record, "offset": 9}))
    _, found = probe("ship", "@record.json")
    assert found["error"]["message"] == "parcels[3]@9 b'\\xff' [('h', b'x')]"
    assert found["records"][0]["source"] == "record.json"


def test_a_record_comes_from_standard_input_as_tail_writes_it(probe):
    line = json.dumps({"topic": "parcels", "partition": 1, "offset": 2, "timestamp": 5, "key": "k", "type": None,
                       "headers": [["h", None]], "value": "text"})  # fmt: skip
    _, found = probe("ship", "-", input=line + "\n")
    assert found["error"]["message"] == "parcels[1]@2 b'k' [('h', None)]"


def test_a_dead_letter_becomes_the_record_that_it_was(probe):
    letter = {
        "topic": "parcels.shop.dlt",
        "value": "raw",
        "key": "k",
        "headers": [["mine", "1"], ["kb-original-topic", "parcels"], ["kb-original-partition", "2"],
                    ["kb-original-offset", "77"], ["kb-exception", "ValueError"]],
    }  # fmt: skip
    _, found = probe("ship", json.dumps(letter))
    assert found["error"]["message"] == "parcels[2]@77 b'k' [('mine', b'1')]"
    assert found["records"][0]["dead_letter"] == "parcels.shop.dlt[0]@0"


def test_a_batch_handler_takes_several_records_and_says_that_it_would_be_halved(probe):
    assert probe("count", "one", "two")[0] == 0
    code, found = probe("count", "one", "bad")
    assert (code, len(found["records"])) == (1, 2)
    assert "halved" in found["fate"]


def test_without_a_record_a_sample_is_made_and_said(shop, call, monkeypatch):
    shop(code=CODE)
    monkeypatch.setattr("kafkaboot.cli.probe.on_keyboard", lambda: True)
    done = call("probe", "bill")
    assert "made up: a sample of OrderPlaced" in done.output


def test_a_record_of_another_topic_or_type_is_noted(probe):
    _, found = probe("bill", '{"topic": "parcels", "value": {"order_id": "o-1"}}')
    assert found["notes"] == ["parcels[0]@0 would not come to bill, which takes orders"]
    _, found = probe("bill", '{"order_id": "o-1"}', "--type", "order.cancelled")
    assert "order.cancelled" in found["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bil", "x"], "did you mean 'bill'?"),
        (["bill", "{}", "{}"], "takes one record at a time"),
        (["bill", "@nowhere.json"], "nowhere.json cannot be read"),
        (["bill", "-"], "nothing came from standard input"),
        (["bill", "-", "--pdb"], "listens to standard input"),
        (["bill", "{}", "--pdb", "--json"], "give one of them"),
        (["bill", "orders[0]@1", "--key", "k"], "are for pasted records"),
        (["bill", '{"value": 1, "key": 2}'], "the record's key must be a text"),
        (["bill", '{"value": {"base64": "???"}, "key": null}'], "no base64"),
        (["bill", '{"value": 1, "headers": [1]}'], "neither an object nor a list"),
        (["bill", '{"value": 1, "topic": "orders", "offset": -1}'], "a whole number from 0"),
        (["bill", "{}", "--save-test", "nowhere/test_it.py"], "is no folder"),
    ],
)
def test_bad_input_ends_with_2_and_one_sentence(shop, call, arguments, said):
    shop(code=CODE)
    done = call("probe", *arguments, input="")
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_component_that_wants_a_consumer_is_told_that_a_probe_has_none(shop, call):
    wants = """
from kafkaboot.client import ClientFactory

@component
class Reading:
    def __init__(self, clients: ClientFactory) -> None:
        clients.consumer("mine", {})

@event_handler("readings")
async def reads(value: str, reading: Reading) -> None: ...
"""
    shop(code=CODE + wants)
    done = call("probe", "reads", "x")
    assert done.exit_code == 1
    assert "a component asked for a consumer of group 'mine'" in done.output


def test_a_producer_of_the_application_s_own_is_captured_too(shop, call):
    own = """
from kafkaboot.clients import safe_producer

@component
def made() -> Producer:
    raise AssertionError("a probe must not build it")
"""
    shop(code=CODE + own)
    done = call("probe", "bill", '{"order_id": "o-1"}', "--json")
    assert [one["topic"] for one in json.loads(done.stdout)["captured"]["published"]] == ["openings", "invoices"]


def test_the_program_s_log_is_as_it_was(shop, call):
    import logging

    before = list(logging.getLogger().handlers)
    shop(code=CODE)
    call("probe", "bill", "{}")
    assert logging.getLogger().handlers == before
    assert sys.gettrace() is None or "pdb" not in repr(sys.gettrace())
