"""What the workbench's commands show while they work, and how they are written down."""

from __future__ import annotations

import io
import sys

import pytest

from kafkaboot.cli import dlq_progress
from kafkaboot.cli.dlq_list import ago, chart
from kafkaboot.cli.dlq_progress import Line
from kafkaboot.failure.replay import Errand, Job, Progress, Selection


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Called in the test: between a fixture and its test, pytest puts its own streams back."""

    def at():
        made = Terminal()
        monkeypatch.setattr(sys, "stderr", made)
        return made

    monkeypatch.setattr(dlq_progress, "PERIOD", 0.0)
    return at


def test_a_long_reading_is_shown_and_a_short_one_is_not(terminal):
    terminal = terminal()
    line = Line()
    line.reading(10, 100)
    assert terminal.getvalue() == ""
    line.reading(5000, 100_000)
    assert "reading letters: 5,000 of 100,000" in terminal.getvalue()
    line.clear()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_job_shows_what_is_done_and_what_is_left(terminal):
    terminal = terminal()
    job = Job("name", Errand("redrive", Selection()), "ada", 0, {}, {}, 1000)
    line = Line()
    line.redriving(Progress(job, {"retried": 300, "parked": 100}, {"why": 50}))
    assert "400 done, 550 to go" in terminal.getvalue()


def test_without_a_terminal_nothing_is_written(capsys):
    line = Line()
    line.reading(99_000, 100_000)
    line.clear()
    assert capsys.readouterr().err == ""


def test_the_chart_has_a_bar_for_each_of_the_last_hours():
    assert chart({}, 100) == "·" * 12
    assert chart({100: 8, 99: 1, 89: 4, 88: 99}, 100) == "▄·········▁█"


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(0, "0s"), (59_999, "59s"), (60_000, "1m"), (3_600_000, "1h"), (90_000_000, "1d"), (-5, "0s")],
)
def test_an_age_is_told_in_its_largest_unit(milliseconds, said):
    assert ago(milliseconds) == said
