"""One handler of a running application, as a test looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.testing.probes import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.consumer import Route

_SHOWN = 5
_RARE = ("filtered", "failed", "retried", "skipped", "retried_later", "dead_lettered")


class Raised(NamedTuple):
    """An exception of a handler: `where` is `topic[partition]@offset`, `attempt` counts from 1."""

    where: str
    error: BaseException
    attempt: int


class HandlerProbe:
    """What became of one handler's records in this test.

    Args:
        route: The handler.
        raised: What it raised; grows.
        within: Seconds that waiting takes at most when not told otherwise.
        dead: Raises when the application can go no further.
    """

    def __init__(self, route: Route, raised: list[Raised], within: float, dead: Callable[[], None]) -> None:
        self._route, self._within, self._dead = route, within, dead
        self.raised = raised

    @property
    def settled(self) -> int:
        """Records that it is done with: handled, kept out by its filter, skipped, or gone to another topic."""
        return self._route.counters.settled

    @property
    def handled(self) -> int:
        """Records that the function took and returned from."""
        return self._route.counters.handled

    @property
    def filtered(self) -> int:
        """Records that its filter kept out."""
        return self._route.counters.filtered

    @property
    def failed(self) -> int:
        """Records whose last attempt raised: they are kept and tried again."""
        return self._route.counters.failed

    @property
    def skipped(self) -> int:
        """Records that it settled without handling them, by `Skip` or `on_exhausted: skip`."""
        return self._route.counters.skipped

    @property
    def dead_lettered(self) -> int:
        """Records that went to the dead letters."""
        return self._route.counters.dead_lettered

    @property
    def retried_later(self) -> int:
        """Records that went to a retry topic."""
        return self._route.counters.retried_later

    @property
    def retried(self) -> int:
        """Attempts after a first one."""
        return self._route.counters.retried

    def assert_settled(self, count: int) -> None:
        """Exactly so many records are settled now.

        Raises:
            AssertionError: With what became of them instead.
        """
        if self.settled != count:
            raise AssertionError(f"{count} settled records were expected of {self}")

    def assert_failed(self, count: int) -> None:
        """Exactly so many records have failed and wait for another attempt.

        Raises:
            AssertionError: With what became of them instead.
        """
        if self.failed != count:
            raise AssertionError(f"{count} failed records were expected of {self}")

    async def settled_within(self, count: int, within: float | None = None) -> None:
        """Wait until so many records are settled.

        Args:
            count: Records, since the application was started.
            within: Seconds.

        Raises:
            AssertionError: There are fewer at the deadline, or more than that at once.
        """
        await self._until(lambda: self.settled >= count, within, f"{count} settled records")
        self.assert_settled(count)

    async def raised_within(self, kind: type[BaseException] = Exception, within: float | None = None) -> Raised:
        """Wait until the handler has raised an exception of a kind; answers the first one.

        Raises:
            AssertionError: It has not, at the deadline.
        """
        await self._until(lambda: self._first(kind) is not None, within, f"{kind.__name__}")
        found = self._first(kind)
        assert found is not None
        return found

    def _first(self, kind: type[BaseException]) -> Raised | None:
        return next((one for one in self.raised if isinstance(one.error, kind)), None)

    async def _until(self, condition: Callable[[], bool], within: float | None, what: str) -> None:
        def alive() -> bool:
            if condition():
                return True
            self._dead()
            return False

        await eventually_async(alive, within or self._within, lambda: f"{what} of {self}")

    def __str__(self) -> str:
        counts = [f"settled {self.settled}"]
        counts += [f"{name.replace('_', ' ')} {getattr(self, name)}" for name in _RARE if getattr(self, name)]
        lines = [f"handler {self._route.id}: {', '.join(counts)}"]
        for where, error, attempt in self.raised[-_SHOWN:]:
            lines.append(f"  attempt {attempt} at {where} raised {type(error).__name__}: {error}{_line(error)}")
        return "\n".join(lines)


class Overheard:
    """Hears every exception of every handler of an application; injected into it."""

    def __init__(self) -> None:
        self.raised: dict[str, list[Raised]] = {}

    def of(self, handler: str) -> list[Raised]:
        """What one handler raised; grows."""
        return self.raised.setdefault(handler, [])

    def on_failure(self, handler: str, where: str, error: BaseException, attempt: int, delay: float) -> None:
        """See `kafkaboot.hooks.OnFailure`."""
        del delay
        self.of(handler).append(Raised(where, error, attempt))


def _line(error: BaseException) -> str:
    """Where the exception came from: the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
