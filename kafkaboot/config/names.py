"""Names of keys: `bootstrap-servers`, `bootstrap_servers`, `bootstrapServers` and `BOOTSTRAP_SERVERS` are one name."""

from __future__ import annotations

import re
from functools import lru_cache

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")


@lru_cache(maxsize=4096)
def relaxed(name: str) -> str:
    """The form in which names are compared: lower case, letters and digits only."""
    return "".join(char for char in name if char.isalnum()).lower()


@lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a name, lower case: `sslKeyPassword` and `ssl.key-password` are `ssl`, `key`, `password`."""
    return tuple(word.lower() for word in _WORDS.findall(name))


def kebab(name: str) -> str:
    """A field's name as it is written in YAML: `bootstrap_servers` is `bootstrap-servers`."""
    return name.strip("_").replace("_", "-")
