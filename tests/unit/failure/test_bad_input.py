"""What is written wrongly about failures, as its author sees it: in the configuration, in code, at the command line."""

from __future__ import annotations

import json
import textwrap
from unittest import mock

import pytest
from click.testing import CliRunner

from kafkaboot.cli.program import kafkaboot
from kafkaboot.errors import KafkabootError

BILL = """
@event_handler("orders")
async def bill(order: dict) -> None: ...
"""


def refusal(shop, yaml="", handlers=BILL):
    """What keeps the application from being wired: nothing was built, and no broker was asked."""
    shop.handlers(handlers)
    shop.yaml = textwrap.dedent(yaml)
    with pytest.raises(KafkabootError) as caught:
        shop.application().wire()
    return str(caught.value).replace(f"{shop.folder}/", "").replace(shop.group, "shop")


# --- policies in the configuration


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("attempts: 0", "attempts` is '0': at least 1 is wanted"),
        ("attempts: -3", "attempts` is '-3': at least 1 is wanted"),
        ("attempts: many", "attempts` is 'many': a whole number is wanted"),
        ("deaths: 0", "deaths` is '0': at least 1 is wanted"),
        ("time-limit: 0s", "time-limit` is '0s': more than 0 is wanted"),
        ("backoff: {initial: 0}", "backoff.initial` is '0': more than 0 is wanted"),
        ("backoff: {multiplier: 0.5}", "backoff.multiplier` is '0.5': at least 1 is wanted"),
        ("topics: [5s, 0s]", "topics.1` is '0s': more than 0 is wanted"),
        ("topics: [1m, 5s]", "topics`: each delay must be longer than the one before, for example [5s, 1m, 10m]"),
        (
            "keep-order: key",
            "keep-order` is 'key': it needs topics, for example [5s, 1m]: in its lane a record keeps its order anyway",
        ),
        ("keep-order: partition", "keep-order` is 'partition': one of 'key' is wanted"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_with_its_line(shop, policy, said):
    text = refusal(shop, f"kafkaboot:\n  retry:\n    slow:\n      {policy}\n")
    assert text == f"application.yaml:4: `kafkaboot.retry.slow.{said}"


@pytest.mark.parametrize(
    ("policy", "key", "value"),
    [("backoff: {initial: -1s}", "backoff.initial", "-1s"), ("backoff: {max: -1}", "backoff.max", "-1"),
     ("time-limit: -5s", "time-limit", "-5s"), ("topics: [-5s]", "topics.0", "-5s")],
)  # fmt: skip
def test_a_negative_delay_is_refused_with_what_a_duration_is(shop, policy, key, value):
    assert refusal(shop, f"kafkaboot:\n  retry:\n    slow:\n      {policy}\n") == (
        f"application.yaml:4: `kafkaboot.retry.slow.{key}` is '{value}': a duration is wanted: 200ms, 10s, 1m30s, 1h, "
        "7d, or a number of seconds"
    )


def test_each_unknown_exception_is_told_with_its_line_and_the_nearest_that_exists(shop):
    yaml = """\
        kafkaboot:
          retry:
            default:
              fatal: [json.JSONDecodeEror, shop.errors.Busy]
            slow:
              retriable: [TimeoutEror, json.loads]
        """
    assert refusal(shop, yaml) == textwrap.dedent(
        """\
        the configuration has 4 problems:
          application.yaml:4: `kafkaboot.retry.default.fatal` names the exception 'json.JSONDecodeEror': module 'json' has no 'JSONDecodeEror'
            To do: did you mean `json.JSONDecodeError`?
          application.yaml:4: `kafkaboot.retry.default.fatal` names the exception 'shop.errors.Busy': there is no module 'shop.errors'
            To do: write the class's dotted name, for example shop.errors.Busy
          application.yaml:6: `kafkaboot.retry.slow.retriable` names the exception 'TimeoutEror': module 'builtins' has no 'TimeoutEror'
            To do: did you mean `TimeoutError`?
          application.yaml:6: `kafkaboot.retry.slow.retriable` names the exception 'json.loads': module 'json' has something else of the name 'loads'
            To do: write the class's dotted name, for example shop.errors.Busy"""  # noqa: E501 - as they are printed
    )


def test_exceptions_that_exist_are_taken(shop):
    shop.handlers("class Busy(Exception): ...\n" + BILL)
    shop.yaml = f"kafkaboot: {{retry: {{default: {{fatal: [{shop.group}.Busy], retriable: [TimeoutError]}}}}}}\n"
    shop.application().wire()


# --- policies in code


@pytest.mark.parametrize(
    ("policy", "said", "todo"),
    [
        (
            "attempts=0",
            "RetryPolicy(attempts=0): it must be a whole number of at least 1",
            "attempts=1 is one call and no second; retry=False says the same of a handler",
        ),
        ("initial=-1", "RetryPolicy(initial=-1): it must be a number of at least 0", "give initial in seconds"),
        ("topics=(-5,)", "RetryPolicy(topics=-5): it must be a number of at least 0.001", "give topics in seconds"),
        (
            "fatal=(int,)",
            "RetryPolicy(fatal=<class 'int'>): it is no exception",
            "give classes of exceptions, or their dotted names: fatal=(TimeoutError, 'shop.Busy')",
        ),
        (
            'retriable=("json.Busy",)',
            "the retry policy of handler bill names the exception 'json.Busy': module 'json' has no 'Busy'",
            "write the class's dotted name, for example shop.errors.Busy",
        ),
    ],
)
def test_a_policy_in_code_is_refused_with_its_line(shop, policy, said, todo):
    handlers = f"""
    @event_handler("orders", retry=RetryPolicy({policy}))
    async def bill(order: dict) -> None: ...
    """
    assert refusal(shop, handlers=handlers) == f"shop/__init__.py:2: {said}\n  To do: {todo}"


# --- retry topics of two handlers


BY_NAME = """
@event_handler("eu.orders", group="till")
async def bill(order: dict) -> None: ...

@event_handler("eu", group="orders.till")
async def ship(order: dict) -> None: ...
"""
BY_ORDER = """
@event_handler("orders", type="order.placed", retry=RetryPolicy(topics=(5,), keep_order="key"))
async def bill(order: dict) -> None: ...

@event_handler("orders", type="order.paid", retry=RetryPolicy(topics=(5,)))
async def ship(order: dict) -> None: ...
"""
BY_GROUP = """
@event_handler("orders", group="till")
async def bill(order: dict) -> None: ...

@event_handler("invoices", group="till.retry", retry=False)
async def ship(order: dict) -> None: ...
"""
TOPICS = "kafkaboot: {retry: {default: {topics: [5s]}}}\n"


def test_two_handlers_whose_retry_topics_have_one_name_are_refused_with_both_places(shop):
    assert refusal(shop, TOPICS, BY_NAME) == (
        "shop/__init__.py:5: the retry topics of handler ship (topic 'eu', group 'orders.till') and of handler bill "
        "(topic 'eu.orders', group 'till') are both called 'eu.orders.till.retry.5s': each would take the other's "
        "records\n"
        "  To do: give one of them other delays, another group or keep-order like the other's (shop/__init__.py:2)"
    )


def test_two_handlers_of_which_only_one_keeps_the_order_do_not_share_a_retry_topic(shop):
    said = refusal(shop, handlers=BY_ORDER)
    assert said.startswith("shop/__init__.py:5: the retry topics of handler ship ")
    assert "are both called 'orders.shop.retry.5s': each would take the other's records" in said


def test_a_group_that_takes_retry_topics_belongs_to_no_other_handler(shop):
    assert refusal(shop, TOPICS, BY_GROUP) == (
        "shop/__init__.py:2: the retry topics of handler bill are taken by group 'till.retry', which is the group of "
        "handler ship\n"
        "  To do: give handler ship another group (shop/__init__.py:5)"
    )


# --- the command line, on letters that were tampered with, and without letters


WHOLE = [
    ("own", b"1"),
    ("kb-original-topic", b"orders"),
    ("kb-original-partition", b"1"),
    ("kb-original-offset", b"5"),
    ("kb-group", b"till"),
    ("kb-handler", b"bill"),
    ("kb-exception", b"builtins.ValueError"),
    ("kb-message", b"no total"),
    ("kb-fingerprint", b"f00d"),
]
ESCAPE = b"\x1b]0;owned\x07"
"""Gives a terminal's window another title."""
ESCAPING = [(name, value if name in {"own", "kb-original-topic"} else ESCAPE) for name, value in WHOLE]
NAMELESS = [(name, ESCAPE) for name, _ in WHOLE]
CUT = [(name, value[:1]) for name, value in WHOLE]
SPRINGS_CUT = [("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-partition", b"\x00\x00")]
INTERNAL = [("kb-original-topic", b"__consumer_offsets")]


@pytest.fixture
def dlq(shop, monkeypatch):
    """`kafkaboot dlq` in the application's folder, with all colours and whatever else would reach a terminal."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setattr("kafkaboot.cli.connection.clients_of", lambda *_: shop.clients)
    shop.handlers(BILL)
    head = f"kafkaboot:\n  application: {{name: till, packages: [{shop.group}]}}\n"
    (shop.folder / "application.yaml").write_text(head)
    shop.letters_topic = "orders.till.dlt"
    shop.kafka.create(shop.letters_topic, 1)

    def run(*args, code=0, **options):
        result = CliRunner().invoke(kafkaboot, ["dlq", *args], prog_name="kafkaboot", color=True, **options)
        assert result.exit_code == code, result.output
        assert ESCAPE.decode() not in result.output, "a letter writes to the terminal"
        assert "Traceback" not in result.output
        return result.output

    return run


@pytest.mark.parametrize("headers", [ESCAPING, NAMELESS], ids=["with a way back", "without one"])
def test_no_header_of_a_letter_writes_to_the_terminal(shop, dlq, headers):
    topic = shop.letters_topic
    for _ in range(2):
        shop.publish(b'{"n": 1}', ESCAPE, headers, topic=topic)
    shown = r"\x1b]0;owned\x07"
    assert shown in dlq("list", topic)
    assert shown in dlq("show", topic, "0@0")
    assert shown in dlq("replay", topic, "--all", "--dry-run")
    dlq("replay", topic, "--record", "0@0", input="y\n")
    dlq("edit", topic, "0@0", "--without", "own", input="n\n", code=1)
    dlq("jobs", topic)
    dlq("audit", topic)


@pytest.mark.parametrize(
    "command",
    [("list",), ("show", "0@0"), ("replay", "--all", "--dry-run"), ("edit", "0@0", "--without", "own", "--yes")],
)
def test_control_what_a_letter_says_would_write_to_the_terminal(shop, dlq, command):
    verb, *rest = command
    shop.publish(b"{}", b"k", [*ESCAPING[1:], ("own", ESCAPE)], topic=shop.letters_topic)
    with (
        mock.patch("kafkaboot.cli.output._harmless", lambda text: text),
        pytest.raises(AssertionError, match="writes to the terminal"),
    ):
        dlq(verb, shop.letters_topic, *rest)


def test_letters_that_are_forged_or_cut_are_told_one_by_one_and_only_sound_ones_are_sent(shop, dlq):
    topic = shop.letters_topic
    for headers in (WHOLE, CUT, SPRINGS_CUT, INTERNAL, []):
        shop.publish(b'{"n": 1}', b"k", headers, topic=topic)
    assert "doubtful: header kafka_dlt-original-partition cannot be read as a number of 4 bytes: b'\\x00\\x00'" in dlq(
        "show", topic, "0@2"
    )
    assert "doubtful: no header says which topic it came from" in dlq("show", topic, "0@4")
    told = dlq("replay", topic, "--all", "--dry-run")
    for said in (
        f"1  left as they are: its topic o does not exist: create it, or name another with --to (first: {topic}[0]@1)",
        "1  left as they are: would go to __consumer_offsets, where no handler's records are: name another with --to",
        f"1  left as they are: names no source topic: name one with --to (first: {topic}[0]@4)",
        "2  have headers that cannot be read in part",
        "dry run: 2 of 5 letters; nothing was touched",
    ):
        assert said in told
    assert shop.kafka.records("orders") == []
    assert "finished: 2 retried" in dlq("replay", topic, "--all", "--yes")
    whole = next(one for one in shop.kafka.records("orders") if one.partition() == 1)
    assert [name for name, _ in whole.headers()] == ["own", "kb-redrives", "kb-redriven-from"]
    assert "all of them are left as they are; see why above" in dlq("replay", topic, "--all", "--yes")


def test_a_replay_with_nothing_to_replay_says_why_and_what_there_is(shop, dlq):
    topic = shop.letters_topic
    assert dlq("replay", topic, "--all", "--yes") == "nothing to do: the topic holds no letters\n"
    shop.publish(b"{}", b"k", WHOLE, topic=topic)
    for narrowed in (("--exception", "Other"), ("--record", "0@7"), ("--fingerprint", "beef"), ("--until", "1h")):
        assert dlq("replay", topic, *narrowed, "--yes") == (
            f"nothing to do: none of the 1 letters is meant by that; all causes: kafkaboot dlq list {topic}\n"
        )
    assert f"There is no job nightly; those that there are: kafkaboot dlq jobs {topic}. Say which letters" in dlq(
        "replay", topic, "--job", "nightly", code=2
    )
    found = json.loads(dlq("replay", topic, "--fingerprint", "beef", "--yes", "--json"))
    assert (found["job"], found["selected"], found["going"]) == (None, 0, 0)
    assert f"{topic}.index" not in shop.kafka.topics, "no job was begun"


def test_only_groups_whose_records_are_sent_are_asked_for_members(shop, dlq):
    shop.publish(b"{}", b"k", WHOLE, topic=shop.letters_topic)
    shop.publish(b"{}", b"k", CUT, topic=shop.letters_topic)
    told = dlq("replay", shop.letters_topic, "--all", "--dry-run")
    assert "nobody is in group till now: the records wait in their topic until it runs" in told
    assert "nobody is in group t now" not in told


# --- a replay while the application is down


MENDABLE = """
MENDED, HANDLED = False, []

@event_handler("orders", retry=False)
async def bill(order: dict) -> None:
    if not MENDED:
        raise ValueError("no total")
    HANDLED.append(order["n"])
"""


async def test_what_is_replayed_while_the_application_is_down_is_handled_when_it_runs_again(shop, dlq):
    shop.handlers(MENDABLE)
    shop.letters_topic = topic = f"orders.{shop.group}.dlt"
    async with shop.running():
        shop.publish(b'{"n": 1}')
        await shop.commits(1)
        assert "nobody is in group" not in dlq("replay", topic, "--all", "--dry-run")
    told = dlq("replay", topic, "--all", input="y\n")
    assert f"nobody is in group {shop.group} now: the records wait in their topic until it runs" in told
    assert f"Send again 1 letter (nobody is in group {shop.group})? [y/N]: y" in told
    assert "finished: 1 retried" in told
    assert shop.committed() == 1, "it waits"
    shop.module.MENDED = True
    async with shop.running():
        await shop.commits(2)
    assert shop.module.HANDLED == [1]
    assert len(shop.letters()) == 1, "no second letter"
