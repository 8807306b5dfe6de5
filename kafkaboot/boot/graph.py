"""Who fills what: every parameter of every component and handler is decided here, before anything is built.

The order of preference is the exact type, then a subclass (an ABC's registered ones too), then whatever has the
shape of a Protocol; where several fit, `primary` decides. A component is never its own dependency while another one
fits, so a wrapper may take the type that it provides.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from kafkaboot.boot.component import APPLICATION, Component, Dependency, dependencies
from kafkaboot.declare import NOTHING as ABSENT
from kafkaboot.declare import type_name
from kafkaboot.errors import KafkabootError, WiringError

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Something that is not a component and wants components: a handler with its parameters."""

    title: str
    where: str
    dependencies: tuple[Dependency, ...]

    def __str__(self) -> str:
        return f"{self.title} ({self.where})"


Node = Component | Demand


@dataclass(frozen=True, slots=True)
class Given:
    """A default that stands where no component does."""

    value: Any


Filled = dict[str, Component | list[Component] | Given]
"""By parameter: the component that fills it, or all of them, or its default."""


@dataclass(slots=True)
class Graph:
    """Components, and what is wrong with them.

    Attributes:
        components: All of them, in the order of their declaration.
        filled: By node, who fills which parameter; complete after `check`.
        order: The components such that each stands behind all that it needs; complete after `check`.
    """

    components: Sequence[Component]
    filled: dict[Node, Filled] = field(default_factory=dict)
    order: list[Component] = field(default_factory=list)

    def check(self, demands: Sequence[Demand]) -> None:
        """Decide every parameter.

        Raises:
            WiringError: One or several are missing, ambiguous or cyclic; all are told at once.
        """
        problems: list[KafkabootError] = []
        parents: dict[Node, tuple[Node, Dependency] | None] = {}
        waiting: deque[Node] = deque()
        roots: list[Node] = [*demands, *self.components]
        for root in roots:
            if root in parents:
                continue
            parents[root] = None
            waiting.append(root)
            while waiting:  # breadth first: the path that is drawn is the shortest from a handler
                node = waiting.popleft()
                for found, wish in self._fill(node, parents, problems):
                    if found not in parents:
                        parents[found] = (node, wish)
                        waiting.append(found)
        # What auto-configurations offer comes first, so that it starts before what the application declares, and
        # stops after it: a component of the application may count on the broker of the desk without asking for it.
        problems.extend(self._sort(sorted(self.components, key=lambda one: one.source == APPLICATION)))
        if len(problems) == 1:
            raise problems[0]
        if problems:
            texts = "\n\n".join(f"{number}) {problem}" for number, problem in enumerate(problems, 1))
            raise WiringError(f"{len(problems)} problems with the components\n\n{texts}")

    def _fill(
        self, node: Node, parents: dict[Node, tuple[Node, Dependency] | None], problems: list[KafkabootError]
    ) -> Iterable[tuple[Component, Dependency]]:
        filled = self.filled[node] = {}
        try:
            wishes = node.dependencies if isinstance(node, Demand) else _wishes(node)
        except KafkabootError as error:
            problems.append(error)
            return
        for wish in wishes:
            fitting = self.fitting(wish, beside=node)
            if wish.many:
                filled[wish.parameter] = fitting
                for one in fitting:
                    yield one, wish
            elif len(fitting) == 1:
                filled[wish.parameter] = fitting[0]
                yield fitting[0], wish
            elif fitting:
                problems.append(self._ambiguous(wish, fitting, _path(node, parents)))
            elif wish.default is not ABSENT:
                filled[wish.parameter] = Given(wish.default)
            else:
                problems.append(self._missing(wish, _path(node, parents)))

    def fitting(self, wish: Dependency, beside: Node | None = None) -> list[Component]:
        """The components that fit a wish, best kind of fit only; more than one means that it is ambiguous."""
        known = [one for one in self.components if _asked_for(one, wish)]
        if wish.many:
            return [one for one in known if one is not beside and _fit(one.provides, wish.wanted)]
        fits = [(_fit(one.provides, wish.wanted), one) for one in known]
        fits = [(fit, one) for fit, one in fits if fit]
        if len(fits) > 1:
            fits = [(fit, one) for fit, one in fits if one is not beside]
        best = min((fit for fit, _ in fits), default=0)
        found = [one for fit, one in fits if fit == best]
        primary = [one for one in found if one.primary]
        return primary if len(primary) == 1 else found

    def _missing(self, wish: Dependency, path: list[str]) -> WiringError:
        wanted = type_name(wish.wanted)
        near = self._nearest(wish)
        known = f"; near to it: {', '.join(map(str, near))}" if near else ""
        what = f"nothing provides {wanted}"
        if wish.name:
            what = f"nothing named {wish.name!r} provides {wanted}"
        advice = f"decorate a class, or a function that returns {wanted}, with @component in a scanned package{known}"
        names = [one.name for one in self.fitting(Dependency("", wish.wanted, many=True))]
        if wish.name and names:
            close = difflib.get_close_matches(wish.name, names, n=1)
            advice = f"did you mean {close[0]!r}?{known}" if close else f"its names: {', '.join(names)}{known}"
        return WiringError(_drawn(what, path, f"{wish.parameter}: {wanted}   <- missing"), todo=advice)

    def _ambiguous(self, wish: Dependency, fitting: list[Component], path: list[str]) -> WiringError:
        wanted = type_name(wish.wanted)
        drawn = _drawn(
            f"{len(fitting)} components provide {wanted}, and one is asked for",
            path,
            f"{wish.parameter}: {wanted}   <- which one?",
        )
        depth = "  " + "   " * (len(path) + 1)
        choices = "".join(f"\n{depth}{one}" for one in fitting)
        return WiringError(
            drawn + choices,
            todo="mark one with @component(primary=True), or ask for one by name: "
            f'Annotated[{wanted}, Named("{fitting[0].name}")]',
        )

    def _nearest(self, wish: Dependency) -> list[Component]:
        """Those of the right type under another name, else those whose type is spelled alike."""
        if wish.name:
            return self.fitting(Dependency(wish.parameter, wish.wanted, many=True))[:3]
        names = {type_name(one.provides): one for one in self.components}
        wanted = type_name(wish.wanted)
        return [names[name] for name in difflib.get_close_matches(wanted, names, n=3, cutoff=0.6) if name != wanted]

    def _sort(self, roots: Sequence[Component]) -> list[WiringError]:
        """Order the components by need; answers the circles found on the way."""
        circles: list[WiringError] = []
        done: set[Component] = set()
        for root in roots:
            open_nodes: dict[Component, str] = {}
            stack: list[tuple[Component, Iterator[tuple[str, Component]]]] = []
            if root not in done:
                open_nodes[root] = ""
                stack.append((root, iter(self._edges(root))))
            while stack:
                node, edges = stack[-1]
                step = next(edges, None)
                if step is None:
                    stack.pop()
                    open_nodes.pop(node)
                    done.add(node)
                    self.order.append(node)
                elif step[1] in open_nodes:
                    circles.append(_circle(open_nodes, *step))
                elif step[1] not in done:
                    open_nodes[step[1]] = step[0]
                    stack.append((step[1], iter(self._edges(step[1]))))
        return circles

    def closure(self, roots: Iterable[Node]) -> list[Component]:
        """The components among the roots and all that they need, each behind what it needs. After `check`."""
        seen: set[Node] = set()
        waiting = list(roots)
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting.extend(one for _, one in self._edges(node))
        return [component for component in self.order if component in seen]

    def _edges(self, node: Node) -> list[tuple[str, Component]]:
        return [
            (parameter, one)
            for parameter, found in self.filled.get(node, {}).items()
            if not isinstance(found, Given)
            for one in (found if isinstance(found, list) else [found])
        ]


def _wishes(component: Component) -> tuple[Dependency, ...]:
    return (*dependencies(component.factory, component.where), *component.beside)


def _path(node: Node, parents: dict[Node, tuple[Node, Dependency] | None]) -> list[str]:
    """The lines of the drawing from a root down to `node`."""
    step = parents[node]
    if step is None:
        return [str(node)]
    parent, wish = step
    return [*_path(parent, parents), f"{wish.parameter}: {node}"]


def _circle(open_nodes: dict[Component, str], parameter: str, back: Component) -> WiringError:
    nodes = list(open_nodes)
    circle = nodes[nodes.index(back) :]
    path = [str(back), *(f"{open_nodes[node]}: {node}" for node in circle[1:])]
    return WiringError(
        _drawn("components need each other in a circle", path, f"{parameter}: {type_name(back.provides)}   <- circle"),
        todo="let one of them take what both need as a component of its own, or hand it over in an @on_start method",
    )


def _drawn(what: str, path: list[str], last: str) -> str:
    lines = [f"  {path[0]}"]
    lines += [f"  {'   ' * depth}└─ {line}" for depth, line in enumerate([*path[1:], last])]
    return "\n".join([what, *lines])


def _asked_for(component: Component, wish: Dependency) -> bool:
    if wish.name:
        return component.name == wish.name
    return wish.many or not component.named_only


_EXACT, _SUBCLASS, _SHAPE = 1, 2, 3


def _fit(provided: Any, wanted: Any) -> int:
    """How well a provided type fits: 0 for not at all, else the smaller the better."""
    if provided == wanted:
        return _EXACT
    if not isinstance(provided, type):
        origin = typing.get_origin(provided)
        if not isinstance(origin, type) or not isinstance(wanted, type) or origin.__module__ == "builtins":
            return 0  # who asks for a plain `dict` means a payload, not a section of the configuration
        return _SUBCLASS if wanted in origin.__mro__[:-1] else 0
    if typing.get_origin(wanted) is not None:
        parametrised = (base for one in provided.__mro__ for base in one.__dict__.get("__orig_bases__", ()))
        return _SUBCLASS if wanted in parametrised else 0
    if not isinstance(wanted, type):
        return 0
    if wanted in provided.__mro__:
        return _SUBCLASS if wanted is not object else 0
    if getattr(wanted, "_is_protocol", False):
        return _SHAPE if _has_shape(provided, wanted) else 0
    try:
        return _SUBCLASS if issubclass(provided, wanted) else 0
    except TypeError:  # a metaclass that refuses the question has no subclasses
        return 0


def _has_shape(provided: type, protocol: type) -> bool:
    """Whether every member of the Protocol is there by name; a Protocol without members fits nothing."""
    members: set[str] = set()
    for one in protocol.__mro__:
        if getattr(one, "_is_protocol", False) and one is not typing.Protocol:
            members |= set(inspect.get_annotations(one))
            members |= {name for name in one.__dict__ if not name.startswith("_") or callable(one.__dict__[name])}
    members -= _PROTOCOL_OWN
    annotated = {name for one in provided.__mro__ for name in inspect.get_annotations(one)}
    return bool(members) and all(name in annotated or hasattr(provided, name) for name in members)


class _Empty(typing.Protocol):
    """Its attributes are those that every Protocol has."""


_PROTOCOL_OWN = set(_Empty.__dict__) | {"__orig_bases__", "__parameters__", "__slots__", "__class_getitem__"}


def failed(component: Component, error: BaseException) -> KafkabootError:
    """What to say when a component's constructor raised."""
    title = type_name(component.provides)
    return WiringError(
        f"building {title} failed: {type(error).__name__}: {error}",
        where=component.where,
        todo=f"see what {component.name} does with its arguments; `--traceback` shows the frames",
    )
