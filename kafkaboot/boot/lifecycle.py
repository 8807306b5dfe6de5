"""Starting and stopping: each component behind what it needs, and back in reverse. Every hook has a deadline."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafkaboot.declare import hooks, type_name
from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.boot.component import Component

log = logging.getLogger("kafkaboot.boot")


class StartError(KafkabootError):
    """A component did not start."""


@dataclass(frozen=True, slots=True)
class _Started:
    component: Component
    stops: list[Callable[[], Any]]


class Lifecycle:
    """What has been started, so that it can be stopped.

    Args:
        start_timeout: Seconds that one start hook may take.
        stop_timeout: Seconds that one stop hook may take.
    """

    def __init__(self, start_timeout: float, stop_timeout: float) -> None:
        self._start_timeout, self._stop_timeout = start_timeout, stop_timeout
        self._started: list[_Started] = []

    async def start(self, component: Component, instance: object) -> None:
        """Run the start hooks of a component that was just built.

        Raises:
            StartError: A hook raised, or took longer than it may. Errors of the house's own tree pass as they are.
        """
        starts, stops = hooks(type(instance))
        self._started.append(
            _Started(component, [*_bound(component.stops, instance), *(getattr(instance, name) for name in stops)])
        )  # before it starts: what has started by half is stopped as well
        title = f"starting {type_name(component.provides)}"
        timeout = component.timeout or self._start_timeout
        for hook in [*_bound(component.starts, instance), *(getattr(instance, name) for name in starts)]:
            try:
                await _run(hook, timeout)
            except KafkabootError:
                raise
            except _OutOfTimeError as error:
                raise StartError(
                    f"{title} took longer than {timeout:g} s",
                    where=component.where,
                    todo="see what it waits for, or give it more time: kafkaboot.application.start-timeout",
                ) from error
            except Exception as error:
                raise StartError(f"{title} failed: {type(error).__name__}: {error}", where=component.where) from error

    async def stop(self) -> None:
        """Run the stop hooks, last started first. One that fails or takes too long is logged; the rest goes on."""
        while self._started:
            last = self._started.pop()
            title = f"stopping {type_name(last.component.provides)} ({last.component.where})"
            timeout = last.component.timeout or self._stop_timeout
            for hook in last.stops:
                try:
                    await _run(hook, timeout)
                except _OutOfTimeError:
                    log.error(  # noqa: TRY400 - there are no frames worth showing
                        "%s took longer than %g s; going on without it", title, timeout
                    )
                except Exception:
                    log.exception("%s failed; going on without it", title)


class _OutOfTimeError(Exception):
    """Tells our deadline from a `TimeoutError` that the hook itself raised."""


def _bound(hooks_: tuple[Callable[[Any], Any], ...], instance: object) -> list[Callable[[], Any]]:
    return [lambda hook=hook: hook(instance) for hook in hooks_]  # type: ignore[misc]


async def _run(hook: Callable[[], Any], timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout) as limit:
            result = hook() if inspect.iscoroutinefunction(hook) else await in_thread(hook)
            if inspect.isawaitable(result):
                await result
    except TimeoutError as error:
        if limit.expired():
            raise _OutOfTimeError from error
        raise


async def in_thread(hook: Callable[[], Any]) -> Any:
    """Call a plain function in a thread, so that it can neither stop the event loop nor outstay its deadline.

    A daemon thread of its own: the loop's executor is waited for at the end, and one that hangs would never end.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def answer(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = hook()
        except BaseException as error:
            failure = RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
        if not loop.is_closed():
            loop.call_soon_threadsafe(answer, result, failure)

    threading.Thread(target=run, name="kafkaboot-hook", daemon=True).start()
    return await future
