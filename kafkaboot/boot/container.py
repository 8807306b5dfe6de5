"""The container: what `boot.graph` decided, held and built once by dependency-injector.

Only its store is used. Its `wiring` injects nothing, and says nothing, under `from __future__ import annotations`
with `Annotated`; its `Singleton` built eight instances from eight threads, hence `ThreadSafeSingleton`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from dependency_injector import containers, providers

from kafkaboot.boot.component import Component, Dependency
from kafkaboot.boot.graph import Demand, Given, Graph, failed
from kafkaboot.declare import type_name
from kafkaboot.errors import KafkabootError, WiringError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")


class Container:
    """Components by type.

    Args:
        components: Everything that may be injected.
        built: Called with each component and its fresh instance, before anybody else gets it.
    """

    def __init__(
        self, components: Sequence[Component], built: Callable[[Component, Any], None] = lambda *_: None
    ) -> None:
        self._graph = Graph(components)
        self._built = built
        self._store: Any = containers.DynamicContainer()
        self._slots = {component: f"component_{number}" for number, component in enumerate(components)}

    @property
    def components(self) -> Sequence[Component]:
        """All of them, in the order of their declaration."""
        return self._graph.components

    def order(self, roots: Iterable[Component | Demand] | None = None) -> list[Component]:
        """The roots and all that they need, each behind what it needs; all components without roots. After `check`."""
        return self._graph.closure(self.components if roots is None else roots)

    def check(self, demands: Sequence[Demand] = ()) -> None:
        """Decide who fills what, for all components and all `demands`. Nothing is built.

        Raises:
            WiringError: Something is missing, ambiguous or cyclic; all problems are told, each with its path drawn.
        """
        self._graph.check(demands)
        for component in self._graph.order:
            beside = {wish.parameter for wish in component.beside}
            filled = self._graph.filled[component]
            arguments = {name: self._provider(found) for name, found in filled.items() if name not in beside}
            provider = providers.ThreadSafeSingleton(self._builder(component), **arguments)
            self._store.set_provider(self._slots[component], provider)

    def instance(self, component: Component) -> Any:
        """The one instance of a component; it is built if it is not yet."""
        return self._store.providers[self._slots[component]]()

    def get(self, wanted: type[T], name: str = "") -> T:
        """The instance of a type that is known as such: exactly, by a subclass or by a Protocol.

        Raises:
            WiringError: None or several fit.
        """
        fitting = self._graph.fitting(Dependency("", wanted, name))
        if len(fitting) != 1:
            choices = ", ".join(map(str, fitting)) or "none"
            raise WiringError(f"one {type_name(wanted)} is asked for, and these fit: {choices}")
        return cast("T", self.instance(fitting[0]))

    def all(self, wanted: type[T]) -> list[T]:
        """The instances of everything that fits a type."""
        fitting = self._graph.fitting(Dependency("", wanted, many=True))
        return [cast("T", self.instance(component)) for component in fitting]

    def arguments(self, demand: Demand) -> dict[str, Any]:
        """What fills a checked demand, by parameter."""
        return {name: self._provider(found)() for name, found in self._graph.filled[demand].items()}

    def providing(self, wanted: Any) -> list[Component]:
        """The components that fit a type, in the order of their declaration."""
        return self._graph.fitting(Dependency("", wanted, many=True))

    def _provider(self, found: Component | list[Component] | Given) -> Any:
        if isinstance(found, Given):
            return providers.Object(found.value)
        if isinstance(found, list):  # `providers.List` answers an empty tuple where there is nothing
            return providers.Callable(lambda *all_: list(all_), *map(self._provider, found))
        return self._store.providers[self._slots[found]]

    def _builder(self, component: Component) -> Callable[..., Any]:
        def build(**arguments: Any) -> Any:
            try:
                instance = component.factory(**arguments)
            except KafkabootError:
                raise
            except Exception as error:
                raise failed(component, error) from error
            self._built(component, instance)
            return instance

        return build
