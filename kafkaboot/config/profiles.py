"""Which profiles are active, and which documents belong to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kafkaboot.config.problem import invalid, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kafkaboot.config.origin import Origin

DEFAULT = "default"
MOST_BRACKETS = 32

_NAME = re.compile(r"[\w.-]+")
_TOKEN = re.compile(r"\s*([!&|,()]|[\w.-]+)")


class Expression:
    """`prod & !eu`, `dev | test`, `dev, test`: what `on-profile` says. `!` binds before `&`, `&` before `|` and comma.

    Raises:
        InvalidConfigurationError: It cannot be read.
    """

    def __init__(self, text: str, origin: Origin) -> None:
        self.shown, self.origin = text, origin
        self.tokens: list[str] = []
        at = 0
        text = text.rstrip()
        if text.count("(") > MOST_BRACKETS:
            raise self._error()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                raise self._error()
            self.tokens.append(found[1])
            at = found.end()
        self.names = {token for token in self.tokens if _NAME.fullmatch(token)}
        self.accepts(())

    def accepts(self, active: Collection[str]) -> bool:
        """Whether a document with this expression belongs to a start with these profiles."""
        rest = list(reversed(self.tokens))
        answer = self._either(rest, active)
        if rest:
            raise self._error()
        return answer

    def _either(self, rest: list[str], active: Collection[str]) -> bool:
        answer = self._both(rest, active)
        while rest and rest[-1] in {"|", ","}:
            rest.pop()
            answer = self._both(rest, active) or answer
        return answer

    def _both(self, rest: list[str], active: Collection[str]) -> bool:
        answer = self._one(rest, active)
        while rest and rest[-1] == "&":
            rest.pop()
            answer = self._one(rest, active) and answer
        return answer

    def _one(self, rest: list[str], active: Collection[str]) -> bool:
        word = rest.pop() if rest else ""
        negated = False
        while word == "!":
            negated, word = not negated, rest.pop() if rest else ""
        if word == "(":
            answer = self._either(rest, active)
            if not rest or rest.pop() != ")":
                raise self._error()
            return answer is not negated
        if not _NAME.fullmatch(word):
            raise self._error()
        return (word in active) is not negated

    def _error(self) -> Exception:
        return invalid(
            f"`on-profile: {self.shown}` cannot be read",
            self.origin,
            key="on-profile",
            todo="write names of profiles with `!`, `&`, `|` and brackets, as in `prod & !eu`",
        )


def split_names(texts: Sequence[str]) -> list[str]:
    """Names from texts that may hold several with commas, each once, in their order."""
    names = (name.strip() for text in texts for name in text.split(","))
    return list(dict.fromkeys(name for name in names if name))


def expand(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The profiles with the members of their groups, each behind the name that brought it; a circle does no harm."""
    active: dict[str, None] = {}
    waiting = list(reversed(names))
    while waiting:
        name = waiting.pop()
        if name not in active:
            active[name] = None
            waiting.extend(reversed(groups.get(name, ())))
    return tuple(active)


def check_exists(name: str, origin: Origin, looked_for: Sequence[str], file: str, existing: Collection[str]) -> None:
    """Refuse a profile that was asked for by name and to which nothing belongs; `file` is where it could begin.

    Raises:
        InvalidConfigurationError: Naming the files looked for and the profiles that exist.
    """
    if name in existing:
        return
    meant = nearest(name, existing)
    create = f"create {file}"
    raise invalid(
        f"nothing belongs to the profile `{name}`; looked for {', '.join(looked_for)}, for a document with"
        f" `on-profile` and for a group; profiles that exist: {', '.join(sorted(existing)) or 'none'}",
        origin,
        key="kafkaboot.profiles.active",
        todo=f"did you mean `{meant}`? Else {create}" if meant else create,
    )
