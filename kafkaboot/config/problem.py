"""What is wrong with a configuration: all of it at once, each with its place and what to do."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafkaboot.config.names import relaxed
from kafkaboot.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kafkaboot.config.origin import Origin


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        key: The key in question; empty where a file as a whole is wrong.
        origin: Where it was written; `None` where the trouble is that nothing was written.
        text: What is wrong. Never holds a secret.
        todo: What the reader can do about it.
        exact: The column matters as well as the line.
    """

    key: str
    origin: Origin | None
    text: str
    todo: str = ""
    exact: bool = False

    @property
    def where(self) -> str:
        """The origin as text; empty where there is none."""
        return "" if self.origin is None else self.origin.exact if self.exact else str(self.origin)

    def __str__(self) -> str:
        head = f"{self.where}: {self.text}" if self.where else self.text
        return f"{head}\n    To do: {self.todo}" if self.todo else head


class InvalidConfigurationError(ConfigurationError):
    """The configuration cannot be used, for each of the reasons in `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        first = self.problems[0]
        if len(self.problems) == 1:
            super().__init__(first.text, where=first.where, todo=first.todo)
        else:
            listed = "".join(f"\n  {problem}" for problem in self.problems)
            super().__init__(f"the configuration has {len(self.problems)} problems:{listed}")


def invalid(
    text: str, origin: Origin | None = None, *, key: str = "", todo: str = "", exact: bool = False
) -> InvalidConfigurationError:
    """The error for a single problem."""
    return InvalidConfigurationError([Problem(key, origin, text, todo, exact)])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that the reader most likely meant, compared as relaxed names; `None` if none is near."""
    by_relaxed = {relaxed(each): each for each in known}
    matches = difflib.get_close_matches(relaxed(name), by_relaxed, n=1, cutoff=0.6)
    return by_relaxed[matches[0]] if matches else None


def advise(name: str, known: Iterable[str], *, what: str = "keys") -> str:
    """`did you mean ...?`, or else what there is to choose from."""
    names = sorted(known)
    meant = nearest(name, names)
    if meant:
        return f"did you mean `{meant}`?"
    return f"{what} that exist: {', '.join(names)}" if names else f"there are no {what} here"
