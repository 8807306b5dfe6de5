"""Dead letters in an application: where they go is looked at before the first record; functions are told of each."""

from __future__ import annotations

import pytest

from kafkaboot.boot import analysis
from kafkaboot.boot.application import Application
from kafkaboot.boot.running import topic_uses
from kafkaboot.errors import DeclarationError, WiringError
from kafkaboot.failure import DeadLetters, LetterFunction

HANDLERS = """
class Order(BaseModel):
    order_id: str

@event_handler("orders")
async def bill(order: Order) -> None: ...

@event_handler(pattern="eu-.*", id="eu")
async def eu(order: Order) -> None: ...

@event_handler("returns", on_exhausted="skip", id="back")
async def back(order: Order) -> None: ...
"""


def wired(shop, *overrides):
    application = Application(directory=shop.folder, environ={}, overrides=overrides)
    application.wire()
    return application


def letters_of(application):
    return [use for use in topic_uses(application.blueprint) if use.source]


def test_each_handler_that_gives_up_records_needs_a_topic_for_them(shop):
    shop.handlers(HANDLERS)
    (use,) = letters_of(wired(shop))
    assert (use.topic, use.source, use.aligned) == (f"orders.{shop.name}.dlt", "orders", True)
    assert use.by == "handler bill writes its dead letters to it"
    assert "handlers.py:" in use.where


def test_the_pattern_and_the_partition_are_settings(shop):
    shop.handlers(HANDLERS)
    application = wired(shop, "kafkaboot.dead-letter.topic=dead.{topic}", "kafkaboot.dead-letter.partition=any")
    (use,) = letters_of(application)
    assert (use.topic, use.aligned) == ("dead.orders", False)


def test_without_the_feature_nothing_is_needed(shop):
    shop.handlers(HANDLERS)
    assert not letters_of(wired(shop, "kafkaboot.autoconfigure.exclude=dead-letter,workbench"))


def test_letters_that_would_come_back_to_their_own_handler_are_refused(shop):
    shop.handlers(HANDLERS)
    with pytest.raises(DeclarationError, match="takes 'orders', and its dead letters would go there") as caught:
        letters_of(wired(shop, "kafkaboot.dead-letter.topic=orders"))
    assert "handlers.py:" in caught.value.where
    assert "on-exhausted" in caught.value.todo


def test_a_pattern_with_an_unknown_placeholder_is_a_mistake_of_the_configuration(shop):
    shop.handlers(HANDLERS)
    code = Application(directory=shop.folder, environ={}, overrides=["kafkaboot.dead-letter.topic={topics}.dlt"]).run()
    assert code == analysis.CONFIGURATION


def test_functions_are_given_their_letter_and_their_components(shop):
    shop.handlers(
        HANDLERS
        + """
@component
class Pager:
    pages = []

@on_dead_letter
def page(pager: Pager, letter: "Letter", *, limit: int = 3) -> None:
    pager.pages.append((letter, limit))

@on_dead_letter
async def mail(letter: Letter) -> None: ...
"""
    )
    application = wired(shop)
    container = application.blueprint.container
    page, mail = container.all(LetterFunction)
    assert (page.name, page.is_async, mail.is_async) == ("page", False, True)
    assert "handlers.py:" in page.where
    page.call("a letter")
    assert shop.module("handlers").Pager.pages == [("a letter", 3)]
    assert container.get(DeadLetters).announcements.functions == [page, mail]


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ("order: Order", DeclarationError, "no parameters annotated Letter"),
        ("one: Letter, two: Letter", DeclarationError, "2 parameters annotated Letter"),
        ("letter: Letter, gone: Order", WiringError, "nothing provides Order"),
        ("letter: Letter, bare", WiringError, "has no annotation"),
    ],
)
def test_a_function_that_nothing_can_fill_fails_the_start(shop, parameters, error, said):
    shop.handlers(HANDLERS + f"\n@on_dead_letter\ndef page({parameters}) -> None: ...\n")
    with pytest.raises(error, match=said):
        wired(shop)
