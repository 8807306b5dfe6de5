"""Waiting with a deadline."""

from __future__ import annotations

import pytest

from kafkaboot.testing import eventually, eventually_async


def test_it_answers_what_the_condition_gave_at_last():
    answers = iter([0, None, "", "there"])
    assert eventually(lambda: next(answers)) == "there"


def test_a_failed_assertion_inside_means_not_yet():
    answers = iter([1, 2, 3])

    def condition() -> bool:
        assert next(answers) == 3
        return True

    assert eventually(condition)


def test_another_exception_is_raised_at_once():
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0, 60)


def test_at_the_deadline_it_says_what_was_waited_for_and_what_was_seen():
    with pytest.raises(AssertionError, match=r"not within 0.05 s: three orders\n  last seen: \[\]"):
        eventually(list, 0.05, "three orders")
    with pytest.raises(AssertionError, match="seen 7"):
        eventually(lambda: False, 0.05, lambda: "seen 7")


async def test_the_event_loop_runs_on_meanwhile_and_coroutines_are_awaited():
    import asyncio

    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, event.set)
    assert await eventually_async(event.is_set)

    async def condition() -> str:
        return "there"

    assert await eventually_async(condition) == "there"
    with pytest.raises(AssertionError, match="never"):
        await eventually_async(lambda: False, 0.05, "never")
