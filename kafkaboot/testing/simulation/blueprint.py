"""The application of a simulation: wired once, and built afresh for each of its processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from kafkaboot.boot import Application, Component
from kafkaboot.boot.component import APPLICATION
from kafkaboot.boot.container import Container
from kafkaboot.boot.outputs import producers_among
from kafkaboot.boot.pipeline import CIRCUIT, SELF, route
from kafkaboot.boot.running import HAPPENINGS, publish_from, topic_uses, wanted
from kafkaboot.client import ClientFactory
from kafkaboot.clock import Clock
from kafkaboot.consumer import Backoff, ConsumerSettings
from kafkaboot.declare import hooks, type_name
from kafkaboot.errors import DeclarationError, KafkabootError
from kafkaboot.failure import Circuits, forget
from kafkaboot.producer import Requests
from kafkaboot.testing.quiet import LogLeftAlone
from kafkaboot.testing.simulation.module_state import ModuleState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from kafkaboot.client.memory import MemoryClients
    from kafkaboot.consumer import Route


@dataclass(slots=True)
class Built:
    """What one process consists of.

    Attributes:
        routes: Its handlers by group.
        settings: Of its groups; what takes time is short.
        listeners: Components that overhear the consumer.
        starts: Hooks to call before the first record.
        stops: Hooks to call at the end, last started first.
    """

    routes: dict[str, list[Route]]
    settings: ConsumerSettings
    listeners: list[object]
    starts: list[Callable[[], Any]]
    stops: list[Callable[[], Any]]


class SimulatedApplication:
    """An application, wired as `kafkaboot run` would.

    Args:
        app: A package, a folder or a YAML file; `None`: what the configuration names.
        doubles: Makes of the world outside what is injected in place of the application's own, by type.
        overrides: Values by key, above every other source.
        directory: Where configuration and packages are looked for.

    Raises:
        KafkabootError: The application cannot be wired.
    """

    def __init__(
        self,
        app: str | None,
        doubles: Mapping[type[Any], Callable[[], object]],
        overrides: Sequence[str],
        directory: str | Path | None,
    ) -> None:
        self._doubles = doubles
        self._given: Mapping[Any, object] = {}
        outside = [self._outside(kind) for kind in (ClientFactory, Clock, Requests, *doubles)]
        application = Application(app, overrides=overrides, directory=directory, components=outside)
        with LogLeftAlone():
            application.wire()
        drawn = application.blueprint
        assert drawn is not None
        for handler in drawn.handlers:
            if handler.spec.inbox:
                raise DeclarationError(
                    f"handler {handler.spec.id} has an inbox, and a simulation knows no databases: what it breaks off "
                    "would stay in yours",
                    where=handler.spec.where,
                    todo="leave its module out of the simulated application; its transaction is what holds together",
                )
        self.memory = ModuleState(drawn.declarations.modules)
        self.topics = {use.topic for use in topic_uses(drawn) if not use.pattern}
        self._container = _Renewable(drawn.container.components, self._built)
        self._blueprint = replace(drawn, container=self._container)
        self._container.check([handler.demand for handler in drawn.handlers])
        # The house's own would open ports and ask a broker; what is injected of it is built all the same.
        self._wanted = [one for one in wanted(self._blueprint) if one.source == APPLICATION]
        self._hooks: dict[type[Any], tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def world(self) -> dict[type[Any], object]:
        """The doubles of one run: they outlive its processes."""
        return {kind: make() for kind, make in self._doubles.items()}

    def build(self, clients: MemoryClients, world: Mapping[type[Any], object]) -> Built:
        """A process's handlers and components, all new."""
        container = self._container
        container.reset()
        alone = NobodyAnswers(clients, "")
        self._given = {ClientFactory: clients, Clock: clients.kafka.clock, Requests: alone, **world}
        listeners, starts, stops = list[object](), list[Any](), list[Any]()
        for component in self._wanted:
            instance = container.instance(component)
            begin, end = self._hooks.get(type(instance)) or self._hooks.setdefault(
                type(instance), hooks(type(instance))
            )
            starts += [getattr(instance, name) for name in begin]
            stops += [getattr(instance, name) for name in end]
            if any(hasattr(type(instance), happening) for happening in HAPPENINGS):
                listeners.append(instance)
        circuits = container.providing(Circuits)
        forget(container.instance(circuits[0]) if circuits else None)  # a new process remembers nothing
        routes: dict[str, list[Route]] = {}
        for handler in self._blueprint.handlers:
            filled = container.arguments(handler.demand)
            producers = producers_among(filled)
            owner, circuit = filled.pop(SELF, None), filled.pop(CIRCUIT, None)
            made = route(handler, owner, filled, producers, circuit)
            retry = handler.retry
            made.failing = Backoff(retry.initial, retry.max, retry.multiplier, jitter=False)
            routes.setdefault(handler.group, []).append(made)
        settings = container.get(ConsumerSettings).model_copy(
            update={
                "commit_interval": 0.01,
                "poll_records": 3,
                "max_buffered": 9,
                "session_timeout": 2.0,
                "revoke_timeout": 1.0,
                "drain_timeout": 1.0,
            }
        )
        return Built(routes, settings, listeners, starts, stops[::-1])

    def _outside(self, kind: Any) -> Component:
        where = "the simulation"
        return Component(kind, lambda: self._given[kind], where, type_name(kind), primary=True, source=where)

    def _built(self, component: Component, instance: Any) -> None:
        if component.beside:
            publish_from(component, instance, self._blueprint)


class NobodyAnswers(Requests):
    """In a simulation nobody else is there who could answer, and its reader would be a thread of its own."""

    async def ask(self, *_: Any) -> NoReturn:
        """Refused.

        Raises:
            KafkabootError: Always.
        """
        raise _refused()

    def ask_blocking(self, *_: Any) -> NoReturn:
        """See `ask`."""
        raise _refused()


def _refused() -> KafkabootError:
    return KafkabootError(
        "a request was made in a simulation, where nobody answers",
        todo="give whatever asks a double: simulate(..., components={Prices: FakePrices})",
    )


class _Renewable(Container):
    """Decided once, built for each process."""

    def reset(self) -> None:
        """Forget all instances."""
        self._store.reset_singletons()
