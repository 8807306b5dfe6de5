"""Requests in an application: what is made when, which topic is whose, and what is refused at start."""

from __future__ import annotations

import threading

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.boot.running import topic_uses, topics_wanted_by
from kafkaboot.cli.narrate import cells
from kafkaboot.errors import ClientError, DeclarationError
from kafkaboot.health import HealthIndicator, Status
from kafkaboot.producer import Answers, Producer, Requests
from kafkaboot.topics import MissingTopicError

CODE = """
from kafkaboot.client import ClientFactory
from kafkaboot.client.memory import MemoryClients

KAFKA = MemoryClients()
KAFKA.kafka.create("prices")

@component
def clients() -> ClientFactory:
    return KAFKA
"""
QUOTE = """
@event_handler("prices", reply=True)
async def quote(wanted: dict) -> dict:
    return wanted
"""


@pytest.fixture
def made(shop, monkeypatch):
    (shop.package / "clients.py").unlink()
    monkeypatch.chdir(shop.folder)

    def make(handlers="", section=""):
        shop.handlers(CODE + handlers)
        shop.yaml("  kafka: {topics: auto, broker: external}\n" + section)
        return Application()

    return make


def kafka(shop):
    return shop.module("handlers").KAFKA.kafka


def readers():
    return [one for one in threading.enumerate() if one.name == "kafkaboot-replies"]


async def test_an_application_that_neither_asks_nor_is_configured_has_no_reply_topic(shop, made):
    application = made(QUOTE)
    await application.start()
    try:
        assert not [topic for topic in kafka(shop).topics if "replies" in topic]
        assert not readers()
        assert not [use for use in topic_uses(application.blueprint) if use.reads]
    finally:
        await application.stop()


async def test_it_asks_and_answers_itself_and_the_topic_is_made_by_the_first_request(shop, made):
    application = made(QUOTE)
    await application.start()
    try:
        producer = application.blueprint.container.get(Producer)
        assert await producer.request("prices", {"sku": "a"}, timeout=30) == {"sku": "a"}
        assert f"{shop.name}.replies" in kafka(shop).topics
    finally:
        await application.stop()
    assert not readers()


async def test_configured_the_topic_is_the_houses_own_and_the_reader_is_there_at_start(shop, made):
    application = made(QUOTE, "  requests: {topic: mine.replies}\n  topics: {mine.replies: {partitions: 5}}\n")
    await application.start()
    try:
        (use,) = [use for use in topic_uses(application.blueprint) if use.reads]
        assert (use.topic, use.own, use.source) == ("mine.replies", True, "")
        (wanted,) = [one for one in topics_wanted_by(application.blueprint) if one.name == "mine.replies"]
        assert "answers to this application's requests are read from it" in wanted.why
        assert len(kafka(shop).topics["mine.replies"]) == 5
        assert len(readers()) == 1
    finally:
        await application.stop()


async def test_a_topic_that_may_not_be_made_fails_the_start_or_the_request(shop, made):
    application = made(QUOTE, "  requests: {topic: mine.replies}\n")
    application.launch = Application(overrides=["kafkaboot.kafka.topics=validate"]).launch
    with pytest.raises(MissingTopicError, match=r"mine\.replies"):
        await application.start()


async def test_with_validate_the_first_request_says_that_the_topic_is_missing(shop, made):
    made(QUOTE + '\nKAFKA.kafka.create("prices.NAME.dlt")\n'.replace("NAME", shop.name))
    application = Application(overrides=["kafkaboot.kafka.topics=validate"])
    await application.start()
    try:
        producer = application.blueprint.container.get(Producer)
        for _ in range(2):
            with pytest.raises(MissingTopicError, match="replies"):
                await producer.request("prices", {}, timeout=30)
        kafka(shop).create(f"{shop.name}.replies")
        assert await producer.request("prices", {"sku": "a"}, timeout=30) == {"sku": "a"}
    finally:
        await application.stop()


async def test_health_tells_of_requests_and_is_down_while_answers_cannot_be_read(shop, made):
    application = made(QUOTE)
    await application.start()
    try:
        container = application.blueprint.container
        (indicator,) = [one for one in container.all(HealthIndicator) if one.name == "requests"]
        assert indicator.health().status is Status.UP
        await container.get(Producer).request("prices", {}, timeout=30)
        requests = container.get(Requests)
        assert indicator.health().details == {"topic": f"{shop.name}.replies", "pending": 0, "late": 0}
        requests.trouble = ClientError("not now", code="X")
        assert indicator.health().status is Status.DOWN
    finally:
        await application.stop()


def test_a_handler_that_takes_batches_cannot_answer(made):
    application = made('@event_handler("prices", reply=True)\nasync def quote(wanted: list[dict]) -> dict: ...\n')
    with pytest.raises(DeclarationError, match="takes batches and says reply=True") as caught:
        application.wire()
    assert "handlers.py:" in caught.value.where
    assert "single records" in caught.value.todo


def test_anything_but_true_and_false_is_refused_where_it_stands(made):
    application = made('@event_handler("prices", reply="replies")\nasync def quote(wanted: dict) -> dict: ...\n')
    with pytest.raises(DeclarationError, match="neither True nor False"):
        application.wire()


def test_yaml_lets_a_handler_answer_and_the_table_says_so(shop, made):
    application = made(
        '@event_handler("prices")\nasync def quote(wanted: dict) -> dict: ...\n',
        "  handlers: {quote: {reply: true}}\n",
    )
    application.wire()
    (row,) = application.describe_handlers()
    assert row.reply
    assert "prices -> (the asker)" in cells(row)
    assert application.blueprint.report.overrides[0].option == "reply"


async def test_only_a_handler_that_answers_pays_for_it(shop, made):
    application = made(QUOTE + '\n@event_handler("prices", group="g")\nasync def plain(wanted: dict) -> None: ...\n')
    await application.start()
    try:
        routes = {route.id: route for group in application.groups.groups for route in group.routes}
        assert isinstance(routes["quote"].forwarding, Answers)
        assert routes["quote"].plain is None
        assert routes["plain"].forwarding is None
        assert routes["plain"].plain is not None
    finally:
        await application.stop()
