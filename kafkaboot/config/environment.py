r"""Placeholders, as `${KAFKA_URL:localhost:9092}`.

The name is a key of the configuration, else a variable; else the value is what stands behind the first colon. They
nest, both ways; `\${` is a dollar and a brace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafkaboot.config.masking import is_secret
from kafkaboot.config.problem import InvalidConfigurationError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.config.origin import Origin

MOST_CHARACTERS = 1 << 20
MOST_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Found:
    """What a name stands for.

    Attributes:
        text: As written, placeholders and all.
        origin: Where.
        literal: Placeholders in it mean nothing.
        secret: It is masked.
    """

    text: str
    origin: Origin
    literal: bool = False
    secret: bool = False


class Placeholders:
    """Resolves placeholders against `find`, which answers with what a name stands for, or `None`."""

    def __init__(self, find: Callable[[str], Found | None]) -> None:
        self.find = find

    def resolve(self, text: str, origin: Origin | None, key: str = "") -> tuple[str, bool]:
        """The text with every placeholder replaced, and whether a secret is now in it.

        Raises:
            InvalidConfigurationError: A placeholder has no value, is not closed, or leads back to itself.
        """
        walk = _Walk(self.find, origin, key)
        return walk.text(text, (key,) if key else ()), walk.secret


class _Walk:
    """One resolution, from one key."""

    def __init__(self, find: Callable[[str], Found | None], origin: Origin | None, key: str) -> None:
        self.find, self.origin, self.key = find, origin, key
        self.secret, self.characters = False, 0

    def error(self, text: str, todo: str) -> InvalidConfigurationError:
        return invalid(text, self.origin, key=self.key, todo=todo)

    def text(self, text: str, path: tuple[str, ...]) -> str:
        if len(path) > MOST_DEPTH:
            raise self.error(f"placeholders nested more than {MOST_DEPTH} deep", "write the value out")
        parts: list[str] = []
        at = 0
        while (dollar := text.find("${", at)) >= 0:
            if dollar and text[dollar - 1] == "\\":
                parts += [text[at : dollar - 1], "${"]
                at = dollar + 2
                continue
            end = self.closing(text, dollar + 2)
            parts += [text[at:dollar], self.value(text[dollar + 2 : end], path)]
            at = end + 1
        parts.append(text[at:])
        whole = "".join(parts)
        self.characters += len(whole)
        if self.characters > MOST_CHARACTERS:
            raise self.error(f"placeholders unfold to more than {MOST_CHARACTERS} characters", "write the value out")
        return whole

    def closing(self, text: str, at: int) -> int:
        depth = 1
        for index in range(at, len(text)):
            if text[index] == "{":
                depth += 1
            elif text[index] == "}":
                depth -= 1
                if not depth:
                    return index
        raise self.error("a placeholder is opened with `${` and not closed", "close it with `}`, or write `\\${`")

    def value(self, inside: str, path: tuple[str, ...]) -> str:
        before, colon, default = _split(inside)
        name = self.text(before, (*path, before)) if "${" in before else before.strip()
        if name in path:
            drawn = " -> ".join([*path[path.index(name) :], name])
            raise self.error(f"the placeholder `${{{name}}}` leads back to itself: {drawn}", "give one of them a value")
        found = self.find(name)
        if found is None:
            if not colon:
                todo = f"set the key or the variable `{name}`, or write `${{{name}:default}}`"
                raise self.error(f"the placeholder `${{{name}}}` has no value", todo)
            return self.text(default, (*path, name))
        self.secret |= found.secret or is_secret(name, found.text)
        return found.text if found.literal else self.text(found.text, (*path, name))


def _split(inside: str) -> tuple[str, bool, str]:
    """The name, whether a colon follows it, and the default; colons inside a nested placeholder don't count."""
    depth = 0
    for index, char in enumerate(inside):
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
        elif char == ":" and not depth:
            return inside[:index], True, inside[index + 1 :]
    return inside, False, ""
