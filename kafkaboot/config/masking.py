"""What nobody may see: which keys and values are secrets, and how they are shown."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from kafkaboot.config.names import words

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "******"

_ANYWHERE = {
    "password", "passwords", "passwd", "pwd", "passphrase", "secret", "secrets", "credential", "credentials",
    "apikey", "jaas", "pem",
}  # fmt: skip
_LAST = {"token", "tokens", "pass"}
_NO_SECRET_KEYS = {
    "partition", "routing", "message", "record", "ordering", "order", "primary", "foreign", "public", "sort", "group",
    "keep", "dedup", "business", "partitioning",
}  # fmt: skip
_ABOUT_A_SECRET = {"location", "url", "uri", "endpoint", "file", "path", "type", "timeout", "ttl", "ms", "interval"}
_USER_INFO = re.compile(r"(?<=://)(?:[^\s/@:]*:[^\s@]*(?:@[^\s@/?#]*)*?|[^\s/@]+)(?=@[^\s@]*(?:\s|$))")
_ASSIGNED = re.compile(
    r"((?:password|passwd|pwd|secret|token|credential|api[-_.]?key|access[-_.]?key)[\w.-]*\s*[=:]\s*)"
    r"(\"[^\"]*\"|'[^']*'|[^\s&;,\"'}]+)",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Whether a secret stands under this key, by its name: `sasl.password`, `api-key`, `db.credentials.user`."""
    every = words(key)
    if not every or every[-1] in _ABOUT_A_SECRET:
        return False
    if _ANYWHERE.intersection(every) or every[-1] in _LAST:
        return True
    if every[-2:] in {("oauthbearer", "config"), ("user", "info")}:
        return True
    last_segment = words(key.rpartition(".")[2])
    before = last_segment[:-1] or (every[-2:-1] if every[-2:-1] in {("api",), ("private",), ("ssl",)} else ())
    return every[-1] in {"key", "keys"} and bool(before) and before[-1] not in _NO_SECRET_KEYS


def is_secret(key: str, text: str) -> bool:
    """Whether the key's name or the value's form says that this is a secret."""
    return is_secret_key(key) or mask_within(text) != text


def mask_within(text: str) -> str:
    """The text without the secrets that its form gives away: `amqp://******@host`, `password=******`."""
    if "://" in text and "@" in text:
        text = _USER_INFO.sub(MASK, text)
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
    return text


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text, which somebody else wrote, without these secrets; the longest first, since one may hold another."""
    for secret in sorted({each for each in secrets if each}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
