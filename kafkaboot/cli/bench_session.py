"""One `kafkaboot bench`: connected, agreed to, measured one by one, and cleaned up whatever happens."""

from __future__ import annotations

import gc
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kafkaboot.cli.bench_shown import SCHEMA, plain
from kafkaboot.cli.output import on_terminal, say, write_json
from kafkaboot.errors import BrokerUnreachableError, KafkabootError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafkaboot.cli.bench_line import BenchLine
    from kafkaboot.cli.bench_options import Wish
    from kafkaboot.cli.connection import Connection
    from kafkaboot.testing.bench import Ground, HandlerMeasured, Measured, Plan, Progress

M = TypeVar("M", bound="Measured | HandlerMeasured")
INTERRUPTED = 130


class Session:
    """Measurements on one broker.

    Args:
        wish: What was asked for.
        rounds: See `Plan`.
        rate: See `Plan`.
        seconds: See `Plan`; where nobody says.

    Attributes:
        connection: The broker.
        plan: How it is measured.
        found: What was measured; grows.
    """

    def __init__(self, wish: Wish, *, rounds: int = 3, rate: float = 1000.0, seconds: float = 6.0) -> None:
        from kafkaboot.cli.connection import connect

        self.wish = wish
        self.connection: Connection = connect(wish.choice)
        self.plan: Plan = self._planned(rounds, rate, wish.seconds or seconds)
        self.found: list[Any] = []
        self._failed: list[dict[str, str]] = []
        self._ground: Ground | None = None
        self._line: BenchLine | None = None
        self._interrupted = self._signalled = self._gone = False

    @property
    def ground(self) -> Ground:
        """Where it is measured."""
        assert self._ground is not None
        return self._ground

    def run(self, measure: Callable[[], None], megabytes: float, warning: str = "") -> None:
        """Measure, and end the command with its exit code.

        Args:
            measure: Calls `one` for each measurement.
            megabytes: What is written at most.
            warning: What else is to be known before it is agreed to.

        Raises:
            BrokerUnreachableError: No broker answers.
        """
        from kafkaboot.cli.bench_line import BenchLine
        from kafkaboot.testing.bench import Ground

        self.connection.reach()
        self._agreed(megabytes, warning)
        self._line = BenchLine()
        shown = on_terminal() and not self.wish.as_json
        if shown:
            self._line.start()
        try:
            with self._signals(), Ground(self.connection.clients, self._told) as self._ground:
                try:
                    with _heap_at_rest():
                        measure()
                except KeyboardInterrupt:
                    self._interrupted = True
                    self._line("deleting its topics")
                    self._told("interrupted: its topics are being deleted")
        except KeyboardInterrupt:
            self._interrupted = True
        finally:
            if shown:
                self._line.stop()
        if self.wish.as_json:
            write_json(self._plain())
        click.get_current_context().exit(self._code())

    def one(self, name: str, call: Callable[[Ground, Plan, Progress], M]) -> list[M]:
        """One measurement; nothing where it failed, which is told, and the next one may go on."""
        from kafkaboot.testing import bench

        assert self._line is not None
        if self._gone:
            self._failed.append({"measurement": name, "error": "not measured: no broker answers any more"})
            return []
        self._line(name)
        try:
            found = call(self.ground, self.plan, self._progress)
            self._end_if_signalled()
        except click.ClickException:
            raise
        except Exception as error:
            self._end_if_signalled()
            text = error.line if isinstance(error, KafkabootError) else f"{type(error).__name__}: {error}"
            self._failed.append({"measurement": name, "error": text})
            self._told(f"{name} failed: {error if isinstance(error, KafkabootError) else text}", fg="red")
            if "AUTHORIZATION_FAILED" in getattr(error, "code", ""):
                self._told(bench.NEEDS)
            self._gone = isinstance(error, BrokerUnreachableError)
            if self._gone:
                self._told("no broker answers any more: what is left is not measured", fg="red")
            return []
        self.found.append(found)
        return [found]

    def _progress(self, what: str, count: Callable[[], int] | None = None, of: int = 0) -> None:
        self._end_if_signalled()
        assert self._line is not None
        self._line(what, count, of)

    def _end_if_signalled(self) -> None:
        """A client's C code that was just calling back makes something else of a KeyboardInterrupt, or nothing."""
        if self._signalled:
            raise KeyboardInterrupt

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM cleans up as Ctrl-C does."""

        def interrupt(*_: object) -> None:
            self._signalled = True
            raise KeyboardInterrupt

        before = {one: signal.signal(one, interrupt) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    # --- before

    def _planned(self, rounds: int, rate: float, seconds: float) -> Plan:
        from kafkaboot.consumer import ConsumerSettings
        from kafkaboot.producer import ProducerSettings
        from kafkaboot.testing.bench import Plan

        wish, configuration = self.wish, self.connection.application.configure()
        producer = configuration.bind("kafkaboot.producer", ProducerSettings)
        consumer = configuration.bind("kafkaboot.consumer", ConsumerSettings)
        changed = {"preset": wish.preset} if wish.preset is not None else {}
        compressed = {"compression": wish.compression} if wish.compression is not None else {}
        return Plan(
            producer.model_copy(update={**changed, **compressed}),
            # Static membership is of the application's own groups.
            consumer.model_copy(update={**changed, "instance_id": None}),
            wish.records,
            seconds,
            rounds,
            wish.partitions or 4,
            rate,
        )

    def _agreed(self, megabytes: float, warning: str) -> None:
        wish, where = self.wish, self.connection.clients.bootstrap_servers
        external = not self.connection.single_broker
        if wish.as_json and not wish.yes and (external or warning):
            raise click.UsageError("With --json nobody is asked: add --yes")
        if not wish.as_json:
            say(self._settings_told(), dim=True)
        if warning:
            say(warning, fg="yellow")
        if external:
            say(
                f"{where} is an external broker: it gets up to {megabytes:,.0f} MB, as fast as it takes them, on "
                "topics named kafkaboot-bench-..., which are deleted in the end. Whoever else uses it will notice.",
                fg="yellow",
            )
        if (external or warning) and not wish.yes:
            click.confirm("Go on?", abort=True, err=True)

    def _settings_told(self) -> str:
        settings = self._settings()
        return (
            f"{settings['bootstrap_servers']}: producer {settings['producer_preset']}, compression "
            f"{settings['compression']}, consumer {settings['consumer_preset']}"
        )

    def _settings(self) -> dict[str, Any]:
        plan = self.plan
        properties = plan.producer.client_properties()
        return {
            "bootstrap_servers": self.connection.clients.bootstrap_servers,
            "producer_preset": plan.producer.preset,
            "compression": str(properties.get("compression.type", properties.get("compression.codec", "none"))),
            "consumer_preset": plan.consumer.preset,
        }

    # --- after

    def _told(self, text: str, **style: Any) -> None:
        say(text, **(style or {"fg": "yellow"}))

    def _plain(self) -> dict[str, Any]:
        import kafkaboot

        plan, settings = self.plan, self._settings()
        return {
            "schema": SCHEMA,
            "version": kafkaboot.__version__,
            "broker": settings.pop("bootstrap_servers"),
            "settings": {
                **settings,
                "partitions": plan.partitions,
                "records": plan.records,
                "seconds": plan.seconds,
                "rounds": plan.rounds,
            },
            "measurements": [plain(one) for one in self.found],
            "failed": self._failed,
            "left_behind": self.ground.left,
            "interrupted": self._interrupted,
        }

    def _code(self) -> int:
        from kafkaboot.boot.analysis import UNREACHABLE

        if self._interrupted:
            return INTERRUPTED
        if self._gone:
            return UNREACHABLE
        return 1 if self._failed or self.ground.left else 0


@contextmanager
def _heap_at_rest() -> Iterator[None]:
    """The collector set up as an application's process sets it up."""
    from kafkaboot.boot import heap

    before = gc.get_threshold()
    heap.settle()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
