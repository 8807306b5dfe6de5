from __future__ import annotations

import pytest

CODE = """
from pydantic import BaseModel
from kafkaboot import component, event, event_handler, publisher

@event("a.happened")
class A(BaseModel):
    n: int

@event("b.happened")
class B(BaseModel):
    n: int

@event("c.happened")
class C(BaseModel):
    n: int

@component
class Announcer:
    @publisher("announced")
    def announce(self) -> C: ...

@event_handler("both")
@publisher("answers")
async def on_a(a: A) -> B: ...

@event_handler("both", batch=True)
def on_b(bs: list[B]) -> None: ...

@event_handler("plain", id="plain_a")
async def plain_a(one: dict) -> None: ...

@event_handler("plain", id="plain_b", group="other")
async def plain_b(one: list) -> None: ...

@event_handler(pattern="^logs[.]")
def on_log(line: str) -> None: ...
"""


@pytest.fixture
def checked(shop):
    from kafkaboot.cli.options import Choice
    from kafkaboot.cli.publish import checked

    shop(code=CODE)
    application = Choice(None, (), (), ()).application()
    application.wire()
    return lambda topic, value, kind=None: checked(application.blueprint, topic, value, kind)


def test_a_value_is_read_by_the_type_of_the_topics_handler_or_of_its_publisher(checked):
    assert checked("answers", b'{"n": 1}').shown == "b.happened"
    assert checked("announced", b'{"n": 1}').shown == "c.happened"
    assert checked("logs.today", b"plain text").payload == "plain text"


def test_a_topic_with_several_types_wants_one_named(checked):
    import click

    with pytest.raises(click.UsageError, match=r"Name one with --type: a.happened, b.happened"):
        checked("both", b'{"n": 1}')
    assert checked("both", b'{"n": 1}', "b.happened").shown == "b.happened"
    with pytest.raises(click.UsageError, match=r"Name one with --type: dict, list"):
        checked("plain", b"[1]")
    assert checked("plain", b"[1]", "list").payload == [1]


def test_a_topic_that_nobody_declares_takes_raw_bytes(checked):
    assert checked("elsewhere", b"\xff").payload == b"\xff"
