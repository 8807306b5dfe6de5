"""Code that cannot be ended from inside: the simulation ends all the same, and names the line."""

import sys
import textwrap
import threading
import time

import pytest

from kafkaboot.testing import effect, eventually, simulate
from kafkaboot.testing.simulation import watch

HEAD = """
    import asyncio
    from kafkaboot import *
    from kafkaboot.testing import effect

    @event_handler("orders")
    async def bill(order: dict):
"""


def simulated(tmp_path, monkeypatch, body):
    name = f"stuck_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(HEAD) + textwrap.indent(textwrap.dedent(body), "    "))
    monkeypatch.syspath_prepend(str(tmp_path))
    return simulate(name, {"orders": [{"id": 1}, {"id": 2}]}, directory=tmp_path, schedules=20)


@pytest.mark.timeout(60)
def test_a_handler_that_goes_on_after_its_process_has_died_is_told_by_its_line(tmp_path, monkeypatch):
    body = """
        while True:
            try:
                effect("charge", order["id"], deduplicated=True)
                return
            except BaseException:
                continue
    """
    sleep = time.sleep
    with pytest.raises(watch.StuckHandlerError, match=r"stuck_\S+\.py:\d+ in bill goes on after its process has died"):
        simulated(tmp_path, monkeypatch, body)
    assert time.sleep is sleep
    with pytest.raises(RuntimeError, match="none is running"):
        effect("charge", 1)


@pytest.mark.timeout(60)
def test_a_handler_that_swallows_its_cancellation_is_left_behind(tmp_path, monkeypatch):
    body = """
        for _ in range(10**9):
            try:
                effect("charge", order["id"], deduplicated=True)
                await asyncio.sleep(0.01)
                return
            except BaseException:
                await asyncio.sleep(0)
    """
    assert simulated(tmp_path, monkeypatch, body).runs > 20


@pytest.mark.timeout(60)
def test_a_handler_that_never_comes_back_is_told_by_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE", 1.0)
    body = """
        import time
        until = time.process_time() + 3
        while time.process_time() < until:
            pass
    """
    before = threading.enumerate()
    with pytest.raises(watch.StuckHandlerError, match=r"in bill does not come back"):
        simulated(tmp_path, monkeypatch, body)
    (left,) = (one for one in threading.enumerate() if one.name == watch.THREAD and one not in before)
    # The handler does come back, after all: its simulation must not go on beside the next one.
    eventually(lambda: sys._current_frames()[left.ident].f_code.co_name == "wait", 30, "it stands still")
