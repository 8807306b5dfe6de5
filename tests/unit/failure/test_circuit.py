"""One circuit by itself, on a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading

import pytest

from kafkaboot import BatchFailed, CircuitOpenError, Retry, Skip, UndecodableError
from kafkaboot.clock import ManualClock
from kafkaboot.failure import Circuit, CircuitSettings, Holder, around
from kafkaboot.failure.blame import Blame
from kafkaboot.failure.meaning import held_back


class Psp:
    """What is behind the circuit: it raises what it is told to, and takes as long."""

    def __init__(self, **settings: object) -> None:
        self.clock = ManualClock()
        self.told: list[tuple[str, str, str]] = []
        self.circuit = Circuit(
            "psp",
            CircuitSettings.model_validate(settings),
            clock=self.clock,
            changed=lambda *change: self.told.append(change),
            draw=lambda: 1.0,
        )
        self.error: BaseException | None = None
        self.takes = 0.0
        self.called = 0
        self.call = around(self._call, Holder("psp", self.circuit))

    def _call(self) -> str:
        self.called += 1
        self.clock.advance(self.takes)
        if self.error is not None:
            raise self.error
        return "charged"

    def fails(self, times: int = 1, error: BaseException | None = None) -> None:
        self.error = error or ConnectionError("refused")
        for _ in range(times):
            with pytest.raises(type(self.error)):
                self.call()
        self.error = None

    def answers(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.call() == "charged"

    def rejects(self) -> CircuitOpenError:
        called = self.called
        with pytest.raises(CircuitOpenError) as caught:
            self.call()
        assert self.called == called
        return caught.value

    @property
    def states(self) -> list[str]:
        return [state for _, state, _ in self.told]


# --- when it opens


def test_five_failures_in_a_row_open_it_at_once() -> None:
    psp = Psp()
    psp.fails(4)
    assert psp.circuit.closed
    psp.fails()
    assert psp.circuit.state == "open"
    assert psp.told == [("psp", "open", "5 failures in a row; the next trial is in 5.0 s")]
    assert psp.rejects().after == pytest.approx(5)
    assert (psp.circuit.calls, psp.circuit.failures, psp.circuit.rejected) == (5, 5, 1)


def test_a_success_between_begins_the_row_anew() -> None:
    psp = Psp(failure_rate=1.0)
    for _ in range(10):
        psp.fails(4)
        psp.answers()
    assert psp.circuit.closed


def test_half_of_the_calls_open_it_only_when_there_were_enough() -> None:
    psp = Psp()
    for _ in range(9):
        psp.fails()
        psp.answers()
    psp.answers()
    assert psp.circuit.closed  # 9 of 19
    psp.fails()
    assert psp.told == [("psp", "open", "10 of 20 calls failed; the next trial is in 5.0 s")]


def test_the_window_forgets_what_was_before_it() -> None:
    psp = Psp(window=20)
    for _ in range(3):
        psp.fails(3)
        psp.answers()
    psp.answers(20)
    psp.fails()
    assert psp.circuit.closed  # 1 of 20; with all 33 remembered in a row it would be 10 of 33
    for _ in range(8):
        psp.fails()
        psp.answers()
    assert psp.circuit.closed
    psp.fails()
    assert psp.circuit.state == "open"


def test_a_row_of_nothing_leaves_only_the_rates() -> None:
    psp = Psp(consecutive=0)
    psp.fails(19)
    assert psp.circuit.closed
    psp.fails()
    assert psp.told[0][2].startswith("20 of 20 calls failed")


def test_slow_calls_open_it_where_slowness_is_looked_at() -> None:
    psp = Psp(slow_call="2s", slow_rate="80%")
    psp.takes = 2.5
    psp.answers(19)
    assert psp.circuit.closed
    psp.answers()
    assert psp.told == [("psp", "open", "20 of 20 calls took longer than 2 s; the next trial is in 5.0 s")]


def test_slow_calls_are_nothing_where_it_is_not() -> None:
    psp = Psp()
    psp.takes = 60.0
    psp.answers(50)
    assert psp.circuit.closed


def test_what_takes_exactly_its_limit_is_not_slow() -> None:
    psp = Psp(slow_call=2)
    psp.takes = 2.0
    psp.answers(50)
    assert psp.circuit.closed


def test_a_failure_that_took_long_is_slow_as_well() -> None:
    psp = Psp(slow_call=2, slow_rate=0.5, failure_rate=1.0, consecutive=0, window=20)
    psp.answers(10)
    psp.takes = 3.0
    psp.fails(9)
    assert psp.circuit.closed
    psp.fails()
    assert "10 of 20 calls took longer" in psp.told[0][2]


# --- how it closes again


def test_trials_close_it_after_its_time() -> None:
    psp = Psp()
    psp.fails(5)
    psp.clock.advance(4.9)
    assert psp.rejects().after == pytest.approx(0.1)
    psp.clock.advance(0.1)
    psp.answers(4)
    assert psp.circuit.state == "half-open"
    assert not psp.circuit.closed
    psp.answers()
    assert psp.circuit.closed
    assert psp.states == ["open", "half-open", "closed"]


def test_a_trial_that_fails_opens_it_for_twice_as_long_up_to_the_longest() -> None:
    psp = Psp(open_for=5, open_max=30)
    psp.fails(5)
    waits = []
    for _ in range(5):
        waits.append(psp.rejects().after)
        psp.clock.advance(waits[-1])
        psp.fails()
    assert waits == pytest.approx([5, 10, 20, 30, 30])
    assert psp.told[2] == ("psp", "open", "a trial call failed; the next trial is in 10.0 s")


def test_the_open_time_is_short_again_once_it_was_closed() -> None:
    psp = Psp()
    psp.fails(5)
    psp.clock.advance(5)
    psp.fails()
    psp.clock.advance(10)
    psp.answers(5)
    psp.fails(5)
    assert psp.rejects().after == pytest.approx(5)


def test_once_closed_it_remembers_nothing_of_before() -> None:
    psp = Psp()
    psp.fails(5)
    psp.clock.advance(5)
    psp.answers(5)
    psp.fails(4)
    assert psp.circuit.closed


@pytest.mark.parametrize(("draw", "after"), [(0.0, 7.5), (0.5, 8.75), (1.0, 10.0)])
def test_open_times_are_drawn_between_three_quarters_and_all(draw: float, after: float) -> None:
    psp = Psp(open_for=10)
    psp.circuit._draw = lambda: draw
    psp.fails(5)
    assert psp.rejects().after == pytest.approx(after)


def test_no_more_trials_at_once_than_it_permits() -> None:
    psp = Psp(half_open=2)
    psp.fails(5)
    psp.clock.advance(5)
    trials = [psp.circuit.enter(), psp.circuit.enter()]
    assert psp.rejects().after == pytest.approx(0.05)
    psp.clock.advance(0.4)
    assert psp.rejects().after == pytest.approx(0.4)
    psp.clock.advance(20)
    assert psp.rejects().after == pytest.approx(1.0)
    trials[0](0)
    assert psp.circuit.state == "half-open"
    trials[1](0)
    assert psp.circuit.closed


def test_trials_that_never_come_back_do_not_keep_it_half_open_for_ever() -> None:
    psp = Psp(half_open=2, open_max=60)
    psp.fails(5)
    psp.clock.advance(5)
    hung = [psp.circuit.enter(), psp.circuit.enter()]
    psp.clock.advance(59)
    psp.rejects()
    psp.clock.advance(1)
    psp.answers(2)
    assert psp.circuit.closed
    hung[0](1)  # and what they say at last is of no interest
    assert psp.circuit.closed


def test_slow_trials_open_it_again_only_at_the_rate_of_slow_calls() -> None:
    psp = Psp(slow_call=2, slow_rate=0.8)
    psp.fails(5)
    psp.clock.advance(5)
    psp.takes = 3.0
    psp.answers(3)
    psp.takes = 0.0
    psp.answers(2)
    assert psp.circuit.closed
    psp.fails(5)
    psp.clock.advance(5)
    psp.takes = 3.0
    psp.answers(5)
    assert psp.told[-1][2] == "5 of 5 trial calls took longer than 2 s; the next trial is in 10.0 s"


def test_a_call_of_an_earlier_time_closes_nothing_and_opens_nothing() -> None:
    psp = Psp(half_open=1)
    before = psp.circuit.record
    assert before is not None
    psp.fails(5)
    psp.clock.advance(5)
    trial = psp.circuit.enter()
    before(0)
    psp.circuit.failed(before, ConnectionError(), 0.0)
    assert psp.circuit.state == "half-open"
    trial(0)
    for _ in range(9):
        psp.circuit.failed(before, ConnectionError(), 0.0)
    assert psp.circuit.closed


# --- what counts


@pytest.mark.parametrize(
    "error",
    [
        TypeError(), KeyError("total"), json.JSONDecodeError("", "", 0), ZeroDivisionError(), AttributeError(),
        AssertionError(), NameError(), UndecodableError("no JSON"), Skip(), Retry(), CircuitOpenError("bank", 3),
        asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt(),
        ExceptionGroup("both", [ValueError(), KeyError()]), BatchFailed(3, ValueError()),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_mistakes_signals_and_ends_are_no_failures(error: BaseException) -> None:
    psp = Psp()
    psp.fails(30, error)
    assert psp.circuit.closed
    assert psp.circuit.failures == 0


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError(), TimeoutError(), OSError(), RuntimeError(), Exception(), ssl.SSLCertVerificationError(),
        ExceptionGroup("both", [ValueError(), TimeoutError()]), BatchFailed(3, TimeoutError()),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_everything_else_is_a_failure(error: Exception) -> None:
    psp = Psp()
    psp.fails(5, error)
    assert psp.circuit.state == "open"


def test_a_model_that_refuses_its_data_is_no_failure_though_nothing_imports_it() -> None:
    class ValidationError(Exception):
        __module__, __qualname__ = "msgspec", "ValidationError"

    class OtherError(Exception):
        __module__, __qualname__ = "msgspec", "OtherError"

    assert not Blame()(ValidationError())
    assert Blame()(OtherError())


def test_an_exception_raised_from_an_open_circuit_is_no_failure() -> None:
    error = RuntimeError("no payment now")
    assert Blame()(error)
    error.__cause__ = CircuitOpenError("bank", 3)
    assert not Blame()(error)


def test_both_lists_win_over_the_houses_and_the_nearest_class_decides() -> None:
    class Refused(ValueError):
        pass

    class ReadOnly(OSError):
        pass

    blame = Blame(failures=[Refused], ignore=[ReadOnly, "builtins.TimeoutError"])
    assert [blame(error) for error in (Refused(), ValueError(), ReadOnly(), OSError(), TimeoutError())] == [
        True, False, False, True, False,
    ]  # fmt: skip


def test_a_trial_that_is_passed_over_gives_its_permit_back() -> None:
    psp = Psp(half_open=1)
    psp.fails(5)
    psp.clock.advance(5)
    psp.fails(3, ValueError("no such card"))
    assert psp.circuit.state == "half-open"
    psp.answers()
    assert psp.circuit.closed


async def test_a_cancelled_trial_gives_its_permit_back() -> None:
    psp = Psp(half_open=1)
    psp.fails(5)
    psp.clock.advance(5)

    async def hang() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(around(hang, Holder("psp", psp.circuit))())
    await asyncio.sleep(0)
    psp.rejects()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    psp.answers()
    assert psp.circuit.closed


def test_a_failure_is_held_back_while_a_circuit_that_counted_it_is_not_closed() -> None:
    psp = Psp()
    error, mistake, batch = ConnectionError(), ValueError(), BatchFailed(3, TimeoutError())
    psp.fails(4, error)
    assert not held_back(error)
    psp.fails(1, error)
    assert held_back(error)
    psp.clock.advance(5)
    psp.fails(1, mistake)
    assert not held_back(mistake), "it would be bad whatever is behind the circuit"
    psp.fails(1, batch)
    assert held_back(batch.cause)
    outer = RuntimeError("not charged")
    outer.__cause__ = error
    assert held_back(outer)
    psp.clock.advance(10)
    psp.answers(5)
    assert not held_back(outer)


# --- threads and listeners


def test_threads_lose_no_failure_and_a_listener_hears_changes_in_their_order() -> None:
    psp = Psp(window=1000, minimum_calls=1000, consecutive=0, failure_rate=0.5)
    go = threading.Barrier(8)

    def call(n: int) -> None:
        error = ConnectionError() if n % 2 else None
        go.wait()
        for _ in range(125):
            record = psp.circuit.record
            assert record is not None
            record(0) if error is None else psp.circuit.failed(record, error, 0.0)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert psp.circuit.failures == 500
    if psp.circuit.closed:  # the thousandth call went well: it opens at the next failure
        psp.fails()
    assert psp.states == ["open"]


def test_a_listener_may_call_through_the_circuit_that_it_hears_of() -> None:
    psp = Psp()
    heard: list[str] = []

    def listen(_: str, state: str, reason: str) -> None:
        heard.append(state)
        if state == "half-open":
            psp.fails()

    psp.circuit._changed = listen
    psp.fails(5)
    psp.clock.advance(5)
    psp.answers()
    assert heard == ["open", "half-open", "open"]
    assert psp.circuit.state == "open"


# --- settings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"window": 10, "minimum-calls": 11}, "minimum-calls (11) must be at most the window (10)"),
        ({"window": 10, "consecutive": 11}, "consecutive (11) must be at most the window (10)"),
        ({"open-for": "10s", "open-max": "5s"}, "open-max (5 s) must be at least open-for (10 s)"),
        ({"failure-rate": "0%"}, "greater than 0"),
        ({"failure-rate": "150%"}, "a ratio is wanted: 50%, or a number from 0 to 1"),
        ({"open-for": "-5s"}, "a duration is wanted"),
        ({"half-open": 0}, "greater than or equal to 1"),
        ({"halfopen": 5}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        CircuitSettings.model_validate(settings)
    assert text in str(caught.value)


def test_a_small_window_and_a_long_open_time_bring_their_defaults_along() -> None:
    settings = CircuitSettings.model_validate({"window": 3, "open-for": "10m"})
    assert (settings.calls_needed, settings.row, settings.longest) == (3, 3, 600.0)
    assert (CircuitSettings().calls_needed, CircuitSettings().row, CircuitSettings().longest) == (20, 5, 120.0)
