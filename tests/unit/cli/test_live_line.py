from __future__ import annotations

from kafkaboot.cli.live_line import LiveLine


def test_throughput_is_that_of_the_last_seconds_and_not_of_the_whole_run():
    handled = iter([0, 500, 1000, 1000, 1000, 1000, 1000, 1000])
    line = LiveLine(lambda: next(handled), lambda: 42)
    line._began = 100.0
    shown = [line.line(100.0 + 0.5 * number) for number in range(8)]
    assert shown[1].startswith("1,000 records/s  handled 500  lag 42  up 0:00:00")
    assert shown[-1].startswith("0 records/s  handled 1,000")


def test_a_lag_that_is_not_known_is_left_out():
    assert "lag" not in LiveLine(lambda: 0, lambda: None).line(0.0)
