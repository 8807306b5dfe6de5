"""`kafkaboot bench` without a broker: its arguments, its texts, its JSON."""

from __future__ import annotations

import json

import pytest

from kafkaboot.cli.bench_line import BenchLine
from kafkaboot.cli.bench_shown import ms, plain, show, show_handler
from kafkaboot.testing.bench import HandlerMeasured, Measured, Side, Spread

NOWHERE = "  kafka: {bootstrap-servers: '127.0.0.1:1'}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["produce", "--size", "12XB"], "'12XB': a size is wanted"),
        (["produce", "--size", "1KB,,2KB"], "a size is wanted"),
        (["consume", "--size", "0B"], "'0B' is not between 1B and 64MB"),
        (["consume", "--size", "65MB"], "'65MB' is not between"),
        (["latency", "--rate", "0"], "--rate"),
        (["latency", "--seconds", "soon"], "a duration is wanted"),
        (["latency", "--seconds", "0"], "not between 0 and one hour"),
        (["latency", "--rounds", "2"], "No such option"),  # what a measurement does not use is not taken
        (["produce", "--rate", "2"], "No such option"),
        (["produce", "--records", "0"], "--records"),
        (["produce", "--compression", "zip"], "'zip' is not one of"),
        (["transactions", "--batches", "1,x"], "numbers of records from 1 to 10000"),
        (["transactions", "--batches", "0"], "numbers of records"),
        (["produse"], "Did you mean 'produce'?"),
        (["--size", "12XB"], "a size is wanted"),  # of all measurements
        (["handler"], "Missing argument 'HANDLER'"),
        (["handler", "bill", "--from", "x", "--last", "3"], "give one of them"),
    ],
)
def test_wrong_usage_is_told_before_any_broker_is_asked(shop, call, arguments, said):
    shop(NOWHERE)
    done = call("bench", *arguments)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())


@pytest.mark.parametrize("arguments", [[], ["produce"], ["handler", "bill"]])
def test_a_broker_that_is_not_there_is_exit_code_4(shop, call, arguments):
    shop(NOWHERE)
    done = call("bench", *arguments, "--yes")
    assert done.exit_code == 4, done.output
    assert "no broker answers" in done.output


def test_an_unknown_handler_is_told_with_the_nearest(shop, call):
    shop(NOWHERE)
    done = call("bench", "handler", "bil", "--yes")
    assert (done.exit_code, "did you mean 'bill'?" in done.output) == (2, True), done.output


def test_an_application_that_cannot_be_wired_is_told(shop, call):
    shop(
        NOWHERE, code="from kafkaboot import event_handler\n\n@event_handler('t')\ndef take(x: Missing) -> None: ...\n"
    )
    done = call("bench", "handler", "take", "--yes")
    assert done.exit_code != 0
    assert "Missing" in done.output


SIDE = Side(300_000, 1_234_567.8, 1234.5, None, 1.234, Spread(0.0123, 9.87, 98.76, 1234.5))


def measured(kind, **more):
    return Measured(kind, 102_400, SIDE, SIDE, 0.97, **more)


@pytest.mark.parametrize(
    "found",
    [
        measured("produce", notes=["a note"]),
        measured("consume"),
        measured("latency", rate=100_000.0),
        measured("transactions", batch=10_000),
    ],
    ids=lambda one: one.measurement,
)
def test_tables_fit_a_terminal_of_90_columns(found, capsys):
    show([found, found])
    written = capsys.readouterr().out
    assert max(map(len, written.splitlines())) <= 90
    assert found.measurement in written
    assert "100 KB" in written
    assert ("0.97" in written) == (found.measurement != "latency")
    assert ("a note" in written) == bool(found.notes)


def test_nothing_is_shown_where_nothing_was_measured(capsys):
    show([])
    assert capsys.readouterr().out == ""


def test_a_handlers_own_time_stands_beside_that_of_the_engine(capsys):
    found = HandlerMeasured(
        "handler", "bill", "shop.py:3", None, 9_000, 1.5, 6_000.0, 8.0, 2.0, SIDE.ms, 9_100,
        {"KeyError": 100}, {"dead_lettered": 20, "unsettled": 1_000}, {"invoices": 8_980}, "samples of Order",
    )  # fmt: skip
    show_handler(found)
    written = capsys.readouterr().out
    for said in (
        "9,000 in 1.50 s: 6,000/s (samples of Order)",
        "8.00: 2.00 in the handler (25%), 6.00 around it",
        "p50 0.012  p95 9.87  p99 98.8  max 1,234",
        "100 KeyError",
        "20 dead lettered, 1,000 unsettled",
        "8,980 invoices",
    ):
        assert said in written
    assert max(map(len, written.splitlines())) <= 90


def test_the_names_that_programs_rely_on_stay_as_they_are():
    found = json.loads(json.dumps(plain(measured("transactions", batch=10))))
    assert list(found) == ["measurement", "size", "kafkaboot", "bare", "vs_bare", "batch", "rate", "notes"]
    assert list(found["bare"]) == [
        "records",
        "records_per_second",
        "megabytes_per_second",
        "transactions_per_second",
        "cpu_us_per_record",
        "ms",
    ]
    assert list(found["bare"]["ms"]) == ["p50", "p95", "p99", "max"]


def test_every_name_of_the_json_is_in_the_help(call):
    told = call("bench", "--help").output
    for name in [*plain(measured("produce")), *plain(measured("produce"))["bare"], "p50", "left_behind", "failed"]:
        assert name in told
    handler = call("bench", "handler", "--help").output
    for name in HandlerMeasured.__dataclass_fields__:
        assert name in handler


@pytest.mark.parametrize(("value", "said"), [(0.0123, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")])
def test_times_have_three_digits(value, said):
    assert ms(Spread(value, 0, 0, 0), "p50") == said
    assert ms(None, "p50") == "-"


def test_the_live_line_says_what_goes_on_and_how_far_it_is():
    line, done = BenchLine(), [1] * 1200
    line("produce 1 KB, bare", done.__len__, 65_536)
    began = line._step[3]
    assert line.line(began + 3) == "produce 1 KB, bare  1,200 of 65,536  3 s"
    line("waiting for the first record")
    assert line.line(line._step[3]) == "waiting for the first record  0 s"
