"""Dead letters: what is written on them, and what is read from anybody's."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime

import pytest

from kafkaboot.client.memory import MemoryRecord
from kafkaboot.consumer import Failed
from kafkaboot.errors import DeadLetter
from kafkaboot.failure.fingerprints import fingerprint
from kafkaboot.failure.letter import Original, read
from kafkaboot.failure.letter_headers import REPLACED, cut_end, cut_start, headers_of
from kafkaboot.message import headers as names

NOW, SINCE = 1_700_000_100.25, 1_700_000_000.0
OWN = [("trace", b"\x00\xff"), ("kb-type", b"order.placed"), ("trace", None), ("", b"")]


def raised(error: BaseException, *, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def failed(headers=OWN, *, topic="orders", error=None, attempt=3, value=b"\x00v", timestamp=1_600_000_000_000):
    record = MemoryRecord(topic, 2, 41, value, b"k\xfe", headers, timestamp)
    return Failed(record, error or raised(ValueError("no total")), attempt, SINCE)


def written(one: Failed, **options):
    given = {"handler": "bill", "group": "shop", "fingerprint": "f00d", "now": NOW} | options
    return headers_of(one, **given)


def as_letter(headers, *, value=b"\x00v"):
    return read(MemoryRecord("orders.shop.dlt", 2, 7, value, b"k\xfe", headers, 1_700_000_100_300))


@pytest.mark.parametrize("dialect", ["kafkaboot", "spring"])
def test_a_letter_says_where_the_record_stood_and_why_it_failed(dialect):
    headers = written(failed(), dialect=dialect)
    assert headers[: len(OWN)] == OWN
    letter = as_letter(headers)
    assert (letter.original, letter.dialect) == (Original("orders", 2, 41, 1_600_000_000_000), dialect)
    assert (letter.group, letter.handler, letter.attempts, letter.fingerprint) == ("shop", "bill", 3, "f00d")
    assert letter.first_failed == datetime.fromtimestamp(SINCE, UTC)
    assert letter.last_failed == datetime.fromtimestamp(NOW, UTC)
    assert (letter.exception, letter.message) == ("builtins.ValueError", "no total")
    assert letter.traceback.rstrip().endswith("ValueError: no total")
    assert letter.original_headers() == OWN
    assert (letter.key, letter.value, letter.where) == (b"k\xfe", b"\x00v", "orders.shop.dlt[2]@7")
    assert not letter.doubts


def test_ours_are_text_and_springs_have_springs_binary_forms():
    ours = dict(written(failed()))
    assert ours["kb-original-partition"] == b"2"
    assert ours["kb-original-offset"] == b"41"
    assert ours["kb-first-failed-at"] == b"2023-11-14T22:13:20.000Z"
    cause = KeyError("total")
    springs = dict(written(failed(error=raised(ValueError("no total"), cause=cause)), dialect="spring"))
    assert springs["kafka_dlt-original-partition"] == b"\x00\x00\x00\x02"
    assert springs["kafka_dlt-original-offset"] == struct.pack(">q", 41)
    assert springs["kafka_dlt-original-timestamp"] == struct.pack(">q", 1_600_000_000_000)
    assert springs["kafka_dlt-original-timestamp-type"] == b"CreateTime"
    assert springs["kafka_dlt-original-consumer-group"] == b"shop"
    assert springs["kafka_dlt-exception-fqcn"] == b"builtins.ValueError"
    assert springs["kafka_dlt-exception-cause-fqcn"] == b"builtins.KeyError"
    assert springs["kb-handler"] == b"bill"
    assert "kb-original-topic" not in springs
    assert not names.FAILURE_HEADERS & springs.keys() - {
        "kb-handler", "kb-attempts", "kb-first-failed-at", "kb-last-failed-at", "kb-fingerprint"
    }  # fmt: skip


def test_headers_of_an_earlier_failure_are_replaced_and_never_appended():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pool = [*sorted(REPLACED), "trace", "content-type", "kb-redrives", "x-original-topic", "Ünï"]
    for _ in range(300):
        before = [(chance.choice(pool), chance.choice([None, b"", chance.randbytes(5)])) for _ in range(12)]
        dialect = chance.choice(["kafkaboot", "spring"])
        after = written(failed(before), dialect=dialect)
        kept = [pair for pair in before if pair[0] not in REPLACED]
        assert after[: len(kept)] == kept
        framework = [name for name, _ in after[len(kept) :]]
        assert set(framework) <= REPLACED
        assert len(framework) == len(set(framework))
        twice = written(failed(after), dialect=chance.choice(["kafkaboot", "spring"]))
        assert twice[: len(kept)] == kept
        assert len([name for name, _ in twice if name == "kb-handler"]) == 1


def test_a_record_of_our_retry_topic_keeps_its_first_place_its_attempts_and_its_first_failure():
    earlier = written(failed(attempt=2), now=SINCE + 1)
    again = failed(earlier, topic="orders.shop.retry.5s", attempt=1)._replace(since=SINCE + 50)
    for dialect in ("kafkaboot", "spring"):
        letter = as_letter(written(again, dialect=dialect))
        assert letter.original == Original("orders", 2, 41, 1_600_000_000_000)
        assert (letter.attempts, letter.first_failed) == (3, datetime.fromtimestamp(SINCE, UTC))


@pytest.mark.parametrize("topic", ["orders", "orders.other.retry.5s", "secrets.shop.retry.5s", "orders.shop.retry."])
def test_a_forged_place_is_not_believed_outside_of_our_retry_topics(topic):
    forged = [("kb-original-topic", b"orders"), ("kb-original-partition", b"9"), ("kb-original-offset", b"9"),
              ("kb-attempts", b"99"), ("kb-first-failed-at", b"1970-01-01T00:00:00Z")]  # fmt: skip
    letter = as_letter(written(failed(forged, topic=topic)))
    assert (letter.original[:3], letter.attempts) == ((topic, 2, 41), 3)


@pytest.mark.parametrize("value", [b"", None, b"-1", b"1e3", b"\xff", b"9" * 30, b" 7", b"99999999999"])
def test_a_cut_place_in_a_retry_topic_is_replaced_by_the_one_where_the_record_stands(value):
    earlier = dict(written(failed())) | {"kb-original-partition": value}
    topic = "orders.shop.retry.5s"
    for dialect in ("kafkaboot", "spring"):
        letter = as_letter(written(failed(list(earlier.items()), topic=topic), dialect=dialect))
        assert letter.original[:3] == (topic, 2, 41)


def test_a_record_without_a_time_has_none_in_its_letter():
    class Timeless(MemoryRecord):
        def timestamp(self):
            return 0, -1

    one = failed()._replace(record=Timeless("orders", 2, 41, b"v"))
    assert "kb-original-timestamp" not in dict(written(one))
    springs = written(one, dialect="spring")
    assert dict(springs)["kafka_dlt-original-timestamp-type"] == b"NoTimestampType"
    letter = as_letter(springs)
    assert letter.original.timestamp is None
    assert not letter.doubts


def test_a_letter_that_spring_wrote_is_read():
    headers = [
        ("spring_json_header_types", b"{}"),
        ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
        ("kafka_dlt-exception-cause-fqcn", b"com.example.CardRefused"),
        ("kafka_dlt-exception-message", b"Listener failed; card 4711 refused"),
        ("kafka_dlt-exception-stacktrace", b"org.spring...\n\tat com.example"),
        ("kafka_dlt-original-topic", "bestellungen-ä".encode()),
        ("kafka_dlt-original-partition", struct.pack(">i", 300)),
        ("kafka_dlt-original-offset", struct.pack(">q", 2**40)),
        ("kafka_dlt-original-timestamp", struct.pack(">q", 1_600_000_000_000)),
        ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"billing"),
    ]
    letter = as_letter(headers)
    assert letter.original == Original("bestellungen-ä", 300, 2**40, 1_600_000_000_000)
    assert (letter.dialect, letter.group, letter.exception) == ("spring", "billing", "com.example.CardRefused")
    assert letter.original_headers() == headers[:1]
    assert (letter.attempts, letter.handler, letter.redrives) == (None, "", 0)
    other = [(n, v.replace(b"4711", b"815")) for n, v in headers]
    assert as_letter(other).fingerprint == letter.fingerprint
    assert as_letter([(n, v.replace(b"card", b"iban")) for n, v in headers]).fingerprint != letter.fingerprint
    assert not letter.doubts


@pytest.mark.parametrize(
    ("headers", "dialect", "original"),
    [
        ([("dead-letter-topic", b"t"), ("dead-letter-partition", b"3"), ("dead-letter-offset", b"12345678"),
          ("dead-letter-reason", b"bad"), ("dead-letter-exception-class-name", b"a.B")],
         "smallrye", ("t", 3, 12345678, None)),
        ([("x-original-topic", b"t"), ("x-original-partition", struct.pack(">i", 3)), ("x-exception-message", b"bad"),
          ("x-original-offset", struct.pack(">q", 5)), ("x-exception-fqcn", b"a.B")],
         "spring-cloud-stream", ("t", 3, 5, None)),
    ],
)  # fmt: skip
def test_letters_of_others_are_read(headers, dialect, original):
    letter = as_letter([("own", b"1"), *headers])
    assert (letter.dialect, tuple(letter.original)) == (dialect, original)
    assert (letter.exception, letter.message) == ("a.B", "bad")
    assert letter.original_headers() == [("own", b"1")]
    assert not letter.doubts


def test_a_users_own_header_that_another_framework_might_have_written_stays_on_our_letter():
    mine = [("x-original-topic", b"mine"), ("dead-letter-reason", b"mine")]
    letter = as_letter(written(failed(mine)))
    assert letter.original.topic == "orders"
    assert letter.original_headers() == mine


def test_no_header_however_forged_or_cut_makes_reading_raise():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    good = [written(failed([]), dialect=dialect) for dialect in ("kafkaboot", "spring")]
    for _ in range(500):
        headers = [
            (name, chance.choice([value, value[:-1], None, b"", chance.randbytes(chance.randrange(12)), b"9" * 5000]))
            for name, value in chance.choice(good)
            if chance.random() < 0.8
        ]
        letter = as_letter(headers, value=chance.choice([None, b"", b"x"]))
        assert letter.headers == headers
        assert all(isinstance(doubt, str) and len(doubt) < 300 for doubt in letter.doubts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kb-original-offset", b"-3"),
        ("kb-original-partition", b"two"),
        ("kb-attempts", b"9" * 40),
        ("kb-first-failed-at", b"yesterday"),
        ("kb-first-failed-at", b"0001-01-01T00:00:00+14:00"),
        ("kb-handler", b"\xff\xfe"),
    ],
)
def test_a_header_that_cannot_be_read_is_told_by_name(name, value):
    headers = [pair for pair in written(failed()) if pair[0] != name]
    (doubt,) = as_letter([*headers, (name, value)]).doubts
    assert name in doubt
    assert not as_letter(headers).doubts


def test_a_record_that_is_no_letter_has_no_original_place_and_says_so():
    letter = as_letter(None)
    assert letter.original == Original()
    assert str(letter.original) == "an unknown place"
    assert letter.doubts == ("no header says which topic it came from",)


def test_how_often_it_came_back_is_kept_for_the_guard_against_loops():
    letter = as_letter(written(failed([("kb-redrives", b"2"), ("kb-redriven-from", b"x[0]@1")])))
    assert letter.redrives == 2
    assert ("kb-redriven-from", b"x[0]@1") in letter.original_headers()


@pytest.mark.parametrize("size", range(12))
def test_texts_are_cut_by_bytes_at_whole_characters(size):
    text = "aé€😀z"
    starts = [text[:end].encode() for end in range(len(text) + 1)]
    ends = [text[start:].encode() for start in range(len(text) + 1)]
    assert cut_end(text.encode(), size) == max((one for one in starts if len(one) <= size), key=len)
    assert cut_start(text.encode(), size) == max((one for one in ends if len(one) <= size), key=len)


def test_a_traceback_keeps_its_end_and_needs_no_more_than_it_may():
    trace = dict(written(failed(error=raised(ValueError("ü" * 500))), traceback_size=101))["kb-traceback"]
    assert 100 <= len(trace) <= 101
    assert trace.decode().endswith("ü\n")
    assert dict(written(failed(), traceback_size=0))["kb-traceback"] == b""


def test_an_exception_that_cannot_be_shown_or_encoded_still_makes_a_letter():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert "Mute cannot be shown" in as_letter(written(failed(error=raised(Mute())))).message
    assert as_letter(written(failed(error=raised(ValueError("\ud800"))))).message == "\\ud800"


# --- fingerprints


def one_place(message):
    raise ValueError(message)


def other_place(message):
    raise ValueError(message)


def caught(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return error


def test_the_same_failure_has_one_fingerprint_whatever_it_says():
    first = fingerprint(caught(one_place, "order 1"), "bill")
    assert fingerprint(caught(one_place, "order 2"), "bill") == first
    assert len(first) == 12
    others = [
        fingerprint(caught(one_place, "order 1"), "ship"),
        fingerprint(caught(other_place, "order 1"), "bill"),
        fingerprint(raised(TypeError()), "bill"),
        fingerprint(DeadLetter("never raised"), "bill"),
    ]
    assert len({first, *others}) == 5


def test_the_place_is_the_applications_own_though_a_library_raised():
    import json

    def parses():
        json.loads("{")

    def parses_too():
        json.loads("{")

    assert fingerprint(caught(parses), "bill") != fingerprint(caught(parses_too), "bill")
    assert fingerprint(caught(json.loads, "{"), "bill") == fingerprint(caught(json.loads, "[1,"), "bill")
