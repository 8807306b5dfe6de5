"""The benchmarks' own arithmetic: a wrong ratio would be believed."""

import json

import pytest

from benchmarks import table
from benchmarks.backlog import Shape
from benchmarks.cases import all_cases
from benchmarks.measure import Stopwatch
from benchmarks.orders import Order, raw_orders
from benchmarks.run import Case, Check, Result, Side


def test_orders_are_a_hundred_bytes_valid_and_never_repeat():
    values = [value for _, value in raw_orders(5000)]
    assert {len(value) for value in values} == {100}
    assert len(set(values)) == 5000
    assert Order.model_validate_json(values[0]).currency == "EUR"


def test_every_check_names_sides_and_columns_that_its_case_has():
    for case in all_cases(1_000_000).values():
        labels = {side.label for side in case.sides}
        assert len(labels) == len(case.sides)
        for check in case.checks:
            assert check.of in labels
            assert check.against is None or check.against in labels
            assert check.figure in case.columns


def test_ratios_are_taken_round_by_round_before_the_median():
    check = Check("rate", "a", "b", bar=1.0)
    # The machine slowed down tenfold in the second round; the ratio of the two medians would be 0.55 or 1.8.
    rounds = [{"a": {"rate": 10.0}, "b": {"rate": 5.0}}, {"a": {"rate": 1.0}, "b": {"rate": 0.5}}]
    assert check.values(rounds) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("most", "value", "holds"), [(False, 0.9, True), (False, 0.7, False), (True, 0.7, True), (True, 0.9, False)]
)
def test_a_bar_is_a_floor_or_a_ceiling(most, value, holds):
    assert Check("rate", "a", "b", bar=0.8, most=most).holds(value, 0.8) is holds


def test_a_missed_bar_is_said_and_a_kept_one_too():
    shape = Shape(10)
    case = Case(
        "demo", "a demonstration", (Side("a", (), shape), Side("b", (), shape)),
        (Check("rate", "a", "b", bar=0.5, aim=0.9),), ("rate",),
    )  # fmt: skip
    text = table.text(Result(case, [{"a": {"rate": 8.0}, "b": {"rate": 10.0}}]))
    assert "bar >= 0.5 holds" in text
    assert "aim >= 0.9 missed" in text


def test_the_stopwatch_writes_once_the_last_record_is_counted(tmp_path, monkeypatch):
    result = tmp_path / "result"
    monkeypatch.setenv("BENCH_RESULT", str(result))
    watch = Stopwatch(3)
    for count in (1, 2):
        if count in watch.marks:
            watch.mark()
    assert not watch.over
    assert not result.exists()
    watch.mark()
    assert watch.over
    assert json.loads(result.read_text()).keys() == {"rate", "cpu", "peak", "start"}


def test_the_first_fifth_of_the_latencies_is_left_out(tmp_path, monkeypatch):
    result = tmp_path / "result"
    monkeypatch.setenv("BENCH_RESULT", str(result))
    watch = Stopwatch(10)
    for age in [9_000_000, 9_000_000] + [1_000_000] * 8:
        watch.sample(age)
    figures = json.loads(result.read_text())
    assert (figures["p50"], figures["p99"]) == (1.0, 1.0)
