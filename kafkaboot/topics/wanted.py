"""The topics that an application wants: those that its decorators name, and what `kafkaboot.topics` says of each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafkaboot.topics.settings import TopicSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.topics.uses import TopicUse


@dataclass(frozen=True, slots=True)
class Wanted:
    """One topic.

    Attributes:
        name: Its name.
        settings: What is said of it; what is left out is the broker's choice.
        declared: It stands in `kafkaboot.topics`.
        uses: Who needs it.
        places: File and line by setting: `partitions`, `replication`, `config.retention.ms`.
        near: For one that nobody needs: topics that are needed and are called nearly so.
    """

    name: str
    settings: TopicSettings
    declared: bool
    uses: tuple[TopicUse, ...]
    places: Mapping[str, str]
    near: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """For a topic of the house's own: those whose records go there."""
        return tuple(dict.fromkeys(use.source for use in self.uses if use.source))

    @property
    def aligned(self) -> tuple[str, ...]:
        """The sources whose records keep their partition's number there."""
        return tuple(dict.fromkeys(use.source for use in self.uses if use.source and use.aligned))

    @property
    def where(self) -> str:
        """Where it is declared, or else used."""
        return next(iter(self.places.values()), "") or next((use.where for use in self.uses if use.where), "")

    @property
    def why(self) -> str:
        """Who wants it, in one line."""
        said = [f"kafkaboot.topics.{self.name}"] if self.declared else []
        said += dict.fromkeys(use.by for use in self.uses)
        if not self.uses:
            near = f"; near to it: {', '.join(self.near)}" if self.near else ""
            said.append(f"nobody in this application uses it{near}")
        return "; ".join(said)

    def place(self, setting: str) -> str:
        """Where a setting was written."""
        return self.places.get(setting, self.where)


def wanted_topics(
    uses: Sequence[TopicUse], declared: Mapping[str, TopicSettings], places: Mapping[str, str] | None = None
) -> list[Wanted]:
    """All topics, each source before the house's own topics that follow it.

    Args:
        uses: Who needs which; patterns name no topic and are passed over.
        declared: `kafkaboot.topics`.
        places: File and line by key below `kafkaboot.topics`, for example of `orders.config.retention.ms`.
    """
    by_name: dict[str, list[TopicUse]] = {}
    for use in uses:
        if not use.pattern:
            by_name.setdefault(use.topic, []).append(use)
    found: dict[str, Wanted] = {}

    def add(name: str) -> None:
        if name in found:
            return
        one = Wanted(
            name,
            declared.get(name, TopicSettings()),
            name in declared,
            tuple(by_name.get(name, ())),
            _below(name, places or {}),
            () if name in by_name else tuple(difflib.get_close_matches(name, by_name, n=3, cutoff=0.8)),
        )
        found[name] = one  # before its sources, so that a circle of them ends
        for source in one.sources:
            add(source)
        found[name] = found.pop(name)

    for name in sorted({**by_name, **dict.fromkeys(declared)}, key=lambda one: _own(by_name.get(one, ()))):
        add(name)
    return list(found.values())


def _own(uses: Sequence[TopicUse]) -> bool:
    return any(use.own for use in uses)


def _below(name: str, places: Mapping[str, str]) -> dict[str, str]:
    """The places of one topic. `a.b` may be another topic than `a`, and then its settings are none of `a`'s."""
    start = f"{name}."
    known = ("partitions", "replication", "config.")
    return {
        key.removeprefix(start): where
        for key, where in places.items()
        if key.startswith(start) and key.removeprefix(start).startswith(known)
    }
