"""Who is told of dead letters, and that nobody who is told can harm one."""

from __future__ import annotations

import asyncio
import logging
import threading

from kafkaboot.client.memory import MemoryRecord
from kafkaboot.failure.announcements import Announcements, LetterFunction, Written
from kafkaboot.failure.letter import read
from kafkaboot.testing import eventually


def written(offset=0):
    return Written("bill", "orders[0]@7", ValueError("no total"), read(MemoryRecord("orders.dlt", 0, offset, b"v")))


def told(call, *, is_async=False, limit=1000):
    made = Announcements(limit)
    made.functions = [LetterFunction("tell", "x.py:1", call, is_async)]
    return made


def test_listeners_and_functions_are_told_in_order():
    class Hears:
        def __init__(self):
            self.heard = []

        def on_dead_letter(self, handler, where, error, letter):
            self.heard.append((handler, where, str(error), letter))

    hears, seen = Hears(), []
    made = told(seen.append)
    made.listeners = [object(), hears]
    for offset in range(50):
        made.tell(written(offset))
    made.close(10)
    assert [letter.offset for letter in seen] == list(range(50))
    assert hears.heard[3] == ("bill", "orders[0]@7", "no total", "orders.dlt[0]@3")


def test_nobody_is_asked_for_a_letter_where_nobody_listens():
    assert not Announcements().wanted
    assert told(print).wanted


async def test_coroutines_run_on_the_applications_loop():
    seen = []

    async def tell(letter):
        await asyncio.sleep(0)
        seen.append((letter.offset, asyncio.get_running_loop()))

    made = told(tell, is_async=True)
    made.loop = asyncio.get_running_loop()
    made.tell(written(4))
    await asyncio.to_thread(made.close, 10)
    assert seen == [(4, asyncio.get_running_loop())]


def test_without_a_loop_a_coroutine_is_run_all_the_same():
    seen = []

    async def tell(letter):
        seen.append(letter.offset)

    made = told(tell, is_async=True)
    made.tell(written(4))
    made.close(10)
    assert seen == [4]


def test_what_one_raises_is_logged_and_the_next_is_told(caplog):
    seen = []

    def tell(letter):
        seen.append(letter.offset)
        raise RuntimeError("mail server")

    class Breaks:
        def on_dead_letter(self, handler, where, error, letter):
            raise RuntimeError("pager")

    made = told(tell)
    made.listeners = [Breaks()]
    made.tell(written(1))
    made.tell(written(2))
    made.close(10)
    assert seen == [1, 2]
    assert "tell (x.py:1) failed on the dead letter orders.dlt[0]@1" in caplog.text
    assert "Breaks failed on the dead letter orders.dlt[0]@2" in caplog.text


def test_a_slow_listener_costs_the_oldest_letters_and_no_memory(caplog):
    gate, seen = threading.Event(), []

    def tell(letter):
        seen.append(letter.offset)
        gate.wait(20)

    made = told(tell, limit=5)
    made.tell(written(0))
    eventually(lambda: seen)
    for offset in range(1, 21):
        made.tell(written(offset))
    gate.set()
    made.close(10)
    assert seen == [0, 16, 17, 18, 19, 20]
    assert made.left_out == 15
    notices = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(notices) == 1
    assert "slower than the letters come" in notices[0].getMessage()


def test_one_that_hangs_does_not_keep_the_application_from_stopping(caplog):
    gate = threading.Event()
    made = told(lambda letter: gate.wait(30))
    made.tell(written())
    made.tell(written())
    made.close(0.05)
    gate.set()
    assert "not done with" in caplog.text
    made.tell(written())


async def test_a_coroutine_that_hangs_is_cancelled_at_the_end():
    cancelled = []

    async def tell(letter):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(letter.offset)
            raise

    made = told(tell, is_async=True)
    made.loop = asyncio.get_running_loop()
    made.tell(written(3))
    await asyncio.to_thread(made.close, 0.2)
    async with asyncio.timeout(10):
        while not cancelled:
            await asyncio.sleep(0.01)
    assert cancelled == [3]
