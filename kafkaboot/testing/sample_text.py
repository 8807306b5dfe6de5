"""Texts for samples: what a field's name promises, within what its type allows."""

from __future__ import annotations

import re
import string
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from kafkaboot.testing.sample_values import Place

_FIRST = (
    "Ada",
    "Alan",
    "Barbara",
    "Donald",
    "Edsger",
    "Grace",
    "Hedy",
    "Ken",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Radia",
)
_LAST = ("Hopper", "Lovelace", "Turing", "Liskov", "Knuth", "Dijkstra", "Lamarr", "Lamport", "Hamilton", "Perlman")
_CITIES = ("Berlin", "Lisbon", "Nairobi", "Oslo", "Osaka", "Quito", "Tallinn", "Wellington")
_STREETS = ("Harbour Road", "Mill Lane", "Station Street", "Linden Avenue", "Market Square")
_COUNTRIES = ("BR", "DE", "EE", "JP", "KE", "NO", "NZ", "PT")
_CURRENCIES = ("CHF", "EUR", "GBP", "JPY", "NOK", "USD")
_THINGS = ("lamp", "kettle", "atlas", "bicycle", "notebook", "teapot", "chair", "umbrella")
_WORDS = ("late", "blue", "quiet", "second", "paper", "window", "river", "early", "stone", "open", "garden", "seven")
_LETTERS = string.ascii_lowercase + string.digits
_PRINTABLE = string.ascii_letters + string.digits + "_-., "
_MOST_REPEATS = 4


def is_identity(name: str) -> bool:
    """Whether a field of that name identifies its record: no two samples share a value."""
    return name in {"id", "key", "uuid", "sku", "reference"} or name.endswith(("_id", "_key", "_uuid"))


def text_for(place: Place, random: Random) -> str:
    """A text that a reader would expect in a field of that name."""
    name, number = place.name, place.number
    if is_identity(name):
        stem = name.rpartition("_")[0] or place.owner.lower()
        return f"{stem}-{place.seed}-{number + 1}{f'.{place.again}' if place.again else ''}"
    first, last = random.choice(_FIRST), random.choice(_LAST)
    last_word = name.rpartition("_")[2]
    if name in {"name", "full_name", "customer", "author", "user"}:
        return f"{first} {last}"
    found = {
        "first_name": first,
        "last_name": last,
        "surname": last,
        "username": f"{first.lower()}{number + 1}",
        "email": f"{first.lower()}.{last.lower()}.{number + 1}@example.org",
        "phone": f"+1 555 {random.randrange(10_000):04d}",
        "city": random.choice(_CITIES),
        "street": f"{random.randrange(1, 200)} {random.choice(_STREETS)}",
        "country": random.choice(_COUNTRIES),
        "currency": random.choice(_CURRENCIES),
        "url": f"https://example.org/{number + 1}",
        "product": random.choice(_THINGS),
        "item": random.choice(_THINGS),
    }
    return found.get(name) or found.get(last_word) or " ".join(random.choices(_WORDS, k=random.randint(2, 5)))


def fitted(text: str, least: int, most: int | None, random: Random) -> str:
    """The text made longer or shorter. What identifies stands at its end, which is kept."""
    if most is not None and len(text) > most:
        text = text[len(text) - most :].strip("- ").rjust(most, "x") if most else ""
    if len(text) < least:
        text += "".join(random.choices(_LETTERS, k=least - len(text)))
    return text


def matching(pattern: str, random: Random) -> str:
    """A text that a regular expression finds: literals, classes, groups, alternatives and repetitions.

    Raises:
        ValueError: The expression has something else in it, so that no text was found.
    """
    text = "".join(_piece(operation, value, random) for operation, value in parser.parse(pattern))
    if re.search(pattern, text) is None:
        raise ValueError(f"no text was found for the pattern {pattern!r}")
    return text


def _piece(operation: Any, value: Any, random: Random) -> str:
    if operation is sre.LITERAL:
        return chr(value)
    if operation is sre.NOT_LITERAL:
        return random.choice([one for one in _PRINTABLE if ord(one) != value])
    if operation is sre.ANY:
        return random.choice(_LETTERS)
    if operation is sre.IN:
        negated = value[0][0] is sre.NEGATE
        members = [one for one in map(chr, range(32, 127)) if _is_in(one, value) is not negated]
        tidy = [one for one in members if one in _PRINTABLE] or members
        return random.choice(tidy)
    if operation in {sre.MAX_REPEAT, sre.MIN_REPEAT}:
        least, most, inner = value
        times = random.randint(least, min(int(most), least + _MOST_REPEATS))
        return "".join(_piece(one[0], one[1], random) for _ in range(times) for one in inner)
    if operation is sre.SUBPATTERN:
        return "".join(_piece(one[0], one[1], random) for one in value[-1])
    if operation is sre.BRANCH:
        return "".join(_piece(one[0], one[1], random) for one in random.choice(value[1]))
    return ""  # an anchor, or what `matching` finds out to have mattered


def _is_in(character: str, members: list[tuple[Any, Any]]) -> bool:
    code = ord(character)
    for operation, value in members:
        if operation is sre.LITERAL and code == value:
            return True
        if operation is sre.RANGE and value[0] <= code <= value[1]:
            return True
        if operation is sre.CATEGORY and _CATEGORIES[value](character):
            return True
    return False


_CATEGORIES: dict[Any, Any] = {
    sre.CATEGORY_DIGIT: str.isdigit,
    sre.CATEGORY_NOT_DIGIT: lambda one: not one.isdigit(),
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
    sre.CATEGORY_WORD: lambda one: one.isalnum() or one == "_",
    sre.CATEGORY_NOT_WORD: lambda one: not (one.isalnum() or one == "_"),
}
