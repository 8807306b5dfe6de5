"""What a probe says would become of a record, by each policy; nothing of it happens."""

from __future__ import annotations

import sys

import pytest

from kafkaboot import Record
from kafkaboot.boot import Application
from kafkaboot.client import TP
from kafkaboot.testing import Probe

CODE = """
from kafkaboot import DeadLetter, Producer, Retry, Skip, event_handler

RAISES = {"skip": Skip("no"), "retry": Retry(after=7), "dead": DeadLetter("no"), "value": ValueError("no")}

@event_handler("a")
async def a(value: str) -> None:
    raise RAISES[value]

@event_handler("b", on_exhausted="stop", retry=False)
async def b(value: str) -> None:
    raise RAISES[value]

@event_handler("c", on_exhausted="skip", retry=False)
async def c(value: str) -> None:
    raise RAISES[value]

@event_handler("d")
async def d(value: int) -> None: ...

@event_handler("e", retry="later")
async def e(value: str) -> None:
    raise RAISES[value]

@event_handler("f", retry="ordered", ordering="key")
async def f(value: str) -> str:
    if value in RAISES:
        raise RAISES[value]
    return value

@event_handler("g", reply=True)
async def g(value: str) -> dict:
    if value in RAISES:
        raise RAISES[value]
    return {"answer": value}

@event_handler("h")
def h(value: str, producer: Producer) -> None:
    producer.sync.publish("out", {"n": value})
"""
YAML = """
kafkaboot:
  application: {name: shop, packages: [PACKAGE]}
  retry:
    later: {attempts: 1, topics: [5s]}
    ordered: {attempts: 1, topics: [5s], keep-order: key}
"""


@pytest.fixture
def probe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = f"fates_{id(tmp_path)}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(CODE)
    (tmp_path / "application.yaml").write_text(YAML.replace("PACKAGE", package))
    path = list(sys.path)
    probing = Probe(Application())
    yield lambda handler, value: probing(handler, Record(handler, 0, 41, value=value.encode(), key=b"k"))
    sys.path[:] = path
    sys.modules.pop(package, None)


@pytest.mark.parametrize(
    ("handler", "value", "outcome", "fate", "commits"),
    [
        ("a", "skip", "skipped", "would be skipped, and settled", True),
        ("a", "retry", "raised", "tried again in about 7.0 s", False),
        ("a", "dead", "raised", "the record goes to the dead letters in a.shop.dlt", True),
        ("a", "value", "raised", "tried again in about", False),
        ("b", "value", "raised", "the application would stop, and keep b[0]@41", False),
        ("c", "value", "raised", "would be skipped, and settled", True),
        ("d", "no number", "undecodable", "the record goes to the dead letters in d.shop.dlt", True),
        ("e", "value", "raised", "e.shop.retry.5s", True),
        ("f", "value", "raised", "f.shop.retry.5s", True),
        ("f", "fine", "returned", "settled", True),
    ],
)
def test_the_policy_s_verdict_is_told_and_not_carried_out(probe, handler, value, outcome, fate, commits):
    probed = probe(handler, value)
    assert (probed.outcome, probed.settled) == (outcome, outcome in {"skipped", "returned"})
    assert fate in probed.fate
    assert probed.commits == ({TP(handler, 0): 42} if commits else {})
    assert probed.published == []


def test_a_retry_that_names_its_delay_is_told_with_it(probe):
    assert probe("a", "retry").delay == 7
    assert probe("a", "skip").delay is None


def test_an_answer_is_shown_where_it_would_go(probe, monkeypatch):
    probed = probe("g", "fine")
    (answer,) = probed.published
    assert (answer.record.topic(), answer.record.value()) == ("the-asker", b'{"answer":"fine"}')
    assert probed.returned == {"answer": "fine"}
    for value in ("skip", "dead"):
        assert "the asker would be told" in probe("g", value).fate
    assert "the asker" not in probe("g", "retry").fate


@pytest.mark.parametrize(("handler", "place"), [("g", b"g[0]@41"), ("h", b"h[0]@41")])
def test_the_ids_that_are_carried_on_are_shown(probe, handler, place):
    (published,) = probe(handler, "fine").published
    assert dict(published.record.headers())["kb-causation-id"] == place
