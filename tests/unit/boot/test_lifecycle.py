from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from kafkaboot.boot.component import Component
from kafkaboot.boot.lifecycle import Lifecycle, StartError
from kafkaboot.declare import on_start, on_stop
from kafkaboot.errors import ConfigurationError


def component_of(instance, **options):
    return Component(type(instance), type(instance), f"shop/{type(instance).__name__.lower()}.py:4", "x", **options)


class Told:
    """Remembers the order of what happened."""

    def __init__(self):
        self.events: list[str] = []


class Store:
    def __init__(self, told):
        self.told = told

    @on_start
    def open(self):
        self.told.events.append(
            f"open in {'main' if threading.current_thread() is threading.main_thread() else 'thread'}"
        )

    @on_stop
    def shut(self):
        self.told.events.append("shut")


class Cache:
    def __init__(self, told):
        self.told = told

    @on_start
    async def warm(self):
        await asyncio.sleep(0)
        self.told.events.append("warm")

    @on_stop
    async def cool(self):
        self.told.events.append("cool")


async def started(lifecycle, *instances):
    for instance in instances:
        await lifecycle.start(component_of(instance), instance)


async def test_hooks_run_in_order_and_back_in_reverse_plain_ones_in_a_thread():
    told, lifecycle = Told(), Lifecycle(5, 5)

    await started(lifecycle, Store(told), Cache(told))
    await lifecycle.stop()

    assert told.events == ["open in thread", "warm", "cool", "shut"]


async def test_what_an_auto_configuration_gives_is_called_with_the_instance():
    events, lifecycle = [], Lifecycle(5, 5)
    offered = component_of(
        "clients", starts=(lambda it: events.append(f"start {it}"),), stops=(lambda it: events.append(f"stop {it}"),)
    )

    await lifecycle.start(offered, "clients")
    await lifecycle.stop()
    await lifecycle.stop()

    assert events == ["start clients", "stop clients"]


async def test_a_start_that_fails_says_which_and_what_had_started_is_stopped_it_too():
    class Broken(Store):
        @on_start
        async def open(self):
            raise OSError("disk full")

    told, lifecycle = Told(), Lifecycle(5, 5)
    with pytest.raises(StartError) as raised:
        await started(lifecycle, Cache(told), Broken(told))
    await lifecycle.stop()

    assert str(raised.value) == "shop/broken.py:4: starting Broken failed: OSError: disk full"
    assert told.events == ["warm", "shut", "cool"]


async def test_an_error_of_the_houses_own_tree_passes_as_it_is():
    class Broken:
        @on_start
        def open(self):
            raise ConfigurationError("shop.url: wrong")

    with pytest.raises(ConfigurationError):
        await started(Lifecycle(5, 5), Broken())


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_start_hook_has_a_deadline(kind):
    release = threading.Event()

    class Plain:
        @on_start
        def open(self):
            release.wait(20)

    class Async:
        @on_start
        async def open(self):
            await asyncio.sleep(20)

    began = time.monotonic()
    with pytest.raises(StartError) as raised:
        await started(Lifecycle(0.05, 5), Plain() if kind == "plain" else Async())
    release.set()
    assert time.monotonic() - began < 5
    assert raised.value.what.endswith(" took longer than 0.05 s")
    assert raised.value.todo == ("see what it waits for, or give it more time: kafkaboot.application.start-timeout")


async def test_a_time_out_inside_a_hook_is_not_taken_for_the_deadline():
    class Broken:
        @on_start
        async def open(self):
            raise TimeoutError("the database did not answer")

    with pytest.raises(StartError) as raised:
        await started(Lifecycle(5, 5), Broken())
    assert raised.value.what == "starting Broken failed: TimeoutError: the database did not answer"


async def test_a_stop_that_fails_or_hangs_does_not_keep_the_others_from_stopping(caplog):
    release = threading.Event()

    class Failing:
        @on_stop
        def shut(self):
            raise OSError("gone")

    class Hanging:
        @on_stop
        def shut(self):
            release.wait(20)

    told, lifecycle = Told(), Lifecycle(5, 0.5)
    await started(lifecycle, Store(told), Failing(), Hanging())
    with caplog.at_level(logging.ERROR, "kafkaboot.boot"):
        await lifecycle.stop()
    release.set()

    assert told.events[-1] == "shut"
    assert [record.message for record in caplog.records] == [
        "stopping Hanging (shop/hanging.py:4) took longer than 0.5 s; going on without it",
        "stopping Failing (shop/failing.py:4) failed; going on without it",
    ]
