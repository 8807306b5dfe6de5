"""The configuration of one start: every value, where it came from, and what it overrode."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from kafkaboot.config.binding import ABSENT, Feed, construct, explain_invalid
from kafkaboot.config.entries import Entry, Listing
from kafkaboot.config.environment import Found, Placeholders
from kafkaboot.config.lookup import find
from kafkaboot.config.node import Branch, Items, Leaf, Node, merge
from kafkaboot.config.placement import Placement
from kafkaboot.config.problem import InvalidConfigurationError, Problem, advise, invalid
from kafkaboot.config.shape import Sections, Shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.config.origin import Origin

T = TypeVar("T")

_SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)")


@dataclass(frozen=True, slots=True)
class Source:
    """One place that values come from.

    Attributes:
        kind: What it is.
        name: How the reader knows it: a file's path, `environment`, `--set`.
        root: Its values.
        note: What else there is to say: the profile of a document, how many variables.
    """

    kind: Literal["defaults", "file", "tree", "env-file", "environment", "flags"]
    name: str
    root: Branch
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name


class Configuration:
    """All sources of one start, the lowest first. Made by `load`; reads nothing any more.

    Attributes:
        sources: Where values come from, for the banner.
        profiles: The active profiles; `("default",)` where none was asked for.
    """

    def __init__(self, sources: Sequence[Source], profiles: tuple[str, ...] = ("default",)) -> None:
        self.sources: tuple[Source, ...] = tuple(sources)
        self.profiles = profiles
        self._roots = [_without_service_links(source.root) for source in self.sources]
        self._placeholders = Placeholders(self._find_text)
        self._sections: dict[str, Any] = {}

    def bind(self, prefix: str, model: type[T]) -> T:
        """The section as an object of `model`: a pydantic model or settings class, or a `dict` or `list` of them.

        Raises:
            InvalidConfigurationError: All that is wrong with the section.
        """
        self._sections[prefix] = model
        problems, bound = self._bind(prefix, model)
        if problems:
            raise InvalidConfigurationError(problems)
        settings: T = bound
        return settings

    def check(self, sections: Mapping[str, Any]) -> None:
        """Check every section, and that nothing below `kafkaboot` belongs to none. They are known from now on.

        A section of kafkaboot's own that nobody mentions is not asked for required values: its feature is not in use.

        Raises:
            InvalidConfigurationError: All that is wrong, in all sections.
        """
        from kafkaboot.config.settings import ConfigSettings, ProfilesSettings

        own = {"kafkaboot.config": ConfigSettings, "kafkaboot.profiles": ProfilesSettings}
        self._sections.update({**own, **sections})
        shape = Sections(self._sections).shape(complete=True)
        _, problems = self._place(shape, strict=False)
        for prefix, model in self._sections.items():
            if not prefix.startswith("kafkaboot.") or self.mentions(prefix):
                problems += self._bind(prefix, model)[0]
        if problems:
            raise InvalidConfigurationError(list(dict.fromkeys(problems)))

    def mentions(self, prefix: str) -> bool:
        """Whether any source has a value at or below the prefix."""
        return self._node(prefix) is not None

    @overload
    def get(self, key: str) -> Any: ...
    @overload
    def get(self, key: str, default: T) -> Any | T: ...
    def get(self, key: str, default: Any = None) -> Any:
        """The value under a key, placeholders resolved: a scalar, a list, or a dict. Secrets are not masked.

        Raises:
            InvalidConfigurationError: A placeholder in it cannot be resolved.
        """
        node = self._node(key)
        return default if node is None else self._plain(node, key)

    def resolve(self, text: str, *, origin: Origin | None = None) -> str:
        """The text with every `${placeholder}` replaced.

        Raises:
            InvalidConfigurationError: One has no value, is not closed, or leads back to itself.
        """
        return self._placeholders.resolve(text, origin)[0]

    def entries(self, *, defaults: bool = False) -> list[Entry]:
        """Every value that counts, by key, secrets masked; with `defaults` also those of the known sections' models."""
        return self._listing().winners(defaults=defaults)

    def explain(self, key: str) -> list[Entry]:
        """The value that counts with its origin, then those that it overrode, the default last; secrets masked.

        For a map: so for every key below it.

        Raises:
            InvalidConfigurationError: Nothing has such a key.
        """
        listing = self._listing()
        explained = listing.explain(key)
        if not explained:
            names = {entry.key for entry in listing.winners(defaults=True)}
            raise invalid(f"there is no key `{key}`", key=key, todo=advise(key, names))
        return explained

    def _listing(self) -> Listing:
        shape = Sections(self._sections).shape(complete=False)
        layers, _ = self._place(shape, strict=False)
        return Listing(layers, self._variables_unplaced(shape), shape, Feed(self._placeholders))

    def _variables_unplaced(self, shape: Shape) -> list[tuple[int, str, Leaf]]:
        """Variables for `kafkaboot` that no known section takes: shown as they are, so that nothing hides."""
        unplaced = []
        for at, root in enumerate(self._roots):
            for name, leaf in root.children.items() if root.loose else ():
                placed = Placement(strict=False).place(shape, Branch({name: leaf}, leaf.origin, loose=True), None, ())
                if name.startswith("KAFKABOOT_") and isinstance(leaf, Leaf) and not _holds(placed):
                    unplaced.append((at, name, leaf))
        return unplaced

    def _place(self, shape: Shape, *, strict: bool) -> tuple[list[Branch], list[Problem]]:
        placement = Placement(strict=strict)
        layers: list[Branch] = []
        known: Node | None = None
        for root in self._roots:
            placed = placement.place(shape, root, known, ())
            assert isinstance(placed, Branch)
            layers.append(placed)
            known = merge(known, placed)
        return layers, placement.problems

    def _bind(self, prefix: str, model: Any) -> tuple[list[Problem], Any]:
        from pydantic import ValidationError

        shape: Shape = Sections({prefix: model}).shape(complete=False)
        layers, problems = self._place(shape, strict=prefix.startswith("kafkaboot."))
        node: Node | None = None
        for layer in layers:
            node = merge(node, layer)
        for step in prefix.split("."):
            node = node.children.get(step) if isinstance(node, Branch) else None
        path, section = tuple(prefix.split(".")), shape_of(model)
        empty = Items(origin=self._nowhere) if section.fields is None and section.items else Branch({}, self._nowhere)
        node = node or empty
        feed = Feed(self._placeholders)
        data = feed.feed(section, node, path)
        problems += feed.problems
        if data is ABSENT or data is None:
            data = {}
        try:
            bound = construct(model, data)
        except ValidationError as error:
            problems += explain_invalid(error, section, node, path, feed)
            return problems, None
        return problems, bound

    @property
    def _nowhere(self) -> Origin:
        from kafkaboot.config.origin import Origin

        return Origin("default", "")

    def _node(self, key: str) -> Node | None:
        node: Node | None = None
        for root in self._roots:
            found = find(root, key)
            if found is not None:
                node = merge(node, found)
        return node

    def _find_text(self, name: str) -> Found | None:
        node = self._node(name)
        if isinstance(node, Leaf):
            return Found(node.text, node.origin, node.literal, node.secret)
        if isinstance(node, Items) and all(isinstance(each, Leaf) for each in node.children):
            texts = [each for each in node.children if isinstance(each, Leaf)]
            return Found(",".join(each.text for each in texts), node.origin, secret=any(each.secret for each in texts))
        for root in reversed(self._roots):
            leaf = root.children.get(name) if root.loose else None
            if isinstance(leaf, Leaf):
                return Found(leaf.text, leaf.origin, leaf.literal)
        return None

    def _plain(self, node: Node, key: str) -> Any:
        if isinstance(node, Leaf):
            return Feed(self._placeholders).resolved(node, key)[0].value
        if isinstance(node, Items):
            return [self._plain(each, f"{key}.{at}") for at, each in enumerate(node.children)]
        return {name: self._plain(each, f"{key}.{name}") for name, each in node.children.items()}


def _holds(node: Node) -> bool:
    return not isinstance(node, Branch) or any(_holds(each) for each in node.children.values())


def _without_service_links(root: Branch) -> Branch:
    """Kubernetes sets variables for every service; one of a service named `kafkaboot-...` means no key of ours."""
    if not root.loose:
        return root
    kept: dict[str, Node] = {}
    for name, leaf in root.children.items():
        text = leaf.text if isinstance(leaf, Leaf) else ""
        linked = name.endswith("_PORT") and text.startswith(("tcp://", "udp://", "sctp://"))
        if not (name.startswith("KAFKABOOT_") and (linked or _SERVICE_LINK.fullmatch(name))):
            kept[name] = leaf
    return Branch(kept, root.origin, loose=True)
