"""Single values for samples: numbers, times, texts, within the limits that an annotation sets."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kafkaboot.testing.sample_text import fitted, is_identity, matching, text_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

BEGIN = dt.datetime(2024, 1, 1, 9, tzinfo=dt.UTC)
"""Samples' times begin here and go on with their numbers, whatever the time is now."""
_COUNTING = frozenset({"seq", "sequence", "number", "version", "index", "position", "offset"})
_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "max_digits", "decimal_places")


@dataclasses.dataclass
class Limits:
    """What `annotated_types`, pydantic's `Field` or msgspec's `Meta` allow."""

    gt: Any = None
    ge: Any = None
    lt: Any = None
    le: Any = None
    multiple_of: Any = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    max_digits: int | None = None
    decimal_places: int | None = None

    @classmethod
    def of(cls, marks: Iterable[Any]) -> Limits:
        """The limits among an annotation's marks; others are passed over."""
        limits = cls()
        for mark in marks:
            inner = getattr(mark, "metadata", None)  # a pydantic Field inside Annotated
            if isinstance(inner, list | tuple):
                limits = limits.with_(cls.of(inner))
            limits = limits.with_(mark)
        return limits

    def with_(self, mark: Any) -> Limits:
        """With those of one more mark."""
        told = {name: getattr(mark, name) for name in _LIMITS if getattr(mark, name, None) is not None}
        if "pattern" in told and not isinstance(told["pattern"], str):
            told["pattern"] = told["pattern"].pattern
        return dataclasses.replace(self, **told)

    def lengths(self, least: int, most: int) -> tuple[int, int]:
        """How long a container may be, as near to `least` and `most` as is allowed."""
        low = least if self.min_length is None else max(least, self.min_length)
        low = low if self.max_length is None else min(low, self.max_length)
        high = max(low, most)
        return low, high if self.max_length is None else min(high, self.max_length)


@dataclasses.dataclass
class Place:
    """The field that a value is for.

    Attributes:
        name: The field's.
        owner: The name of the class that has it.
        number: The sample's, from 0.
        path: How errors name it.
        again: How many such fields were filled in this sample before: nested objects.
    """

    name: str
    owner: str
    number: int
    seed: int
    path: str
    again: int = 0


def integer(place: Place, limits: Limits, random: Random) -> int:
    """One that counts where its name says so, else any."""
    step = int(limits.multiple_of or 1)
    low = limits.ge if limits.ge is not None else math.floor(limits.gt) + 1 if limits.gt is not None else None
    high = limits.le if limits.le is not None else math.ceil(limits.lt) - 1 if limits.lt is not None else None
    if low is None:
        low = 1 if high is None or high >= 1 else high - 1000
    if high is None:
        high = low + 1000 * step
    first, last = math.ceil(low / step), math.floor(high / step)
    if first > last:
        raise ValueError(f"{place.path}: no number is between {low} and {high}")
    if is_identity(place.name) or place.name.rpartition("_")[2] in _COUNTING:
        capped = limits.le is not None or limits.lt is not None
        return (first + (place.number % (last - first + 1) if capped else place.number)) * step
    return random.randint(first, last) * step


def decimal(limits: Limits, random: Random, path: str) -> Decimal:
    """With two places, unless the limits want it otherwise."""
    places = 2 if limits.decimal_places is None else limits.decimal_places
    if limits.multiple_of is not None:
        exponent = Decimal(str(limits.multiple_of)).as_tuple().exponent
        places = min(places, -int(exponent)) if limits.decimal_places is not None else max(0, -int(exponent))
    unit = Decimal(1).scaleb(-places)
    step = Decimal(str(limits.multiple_of)) if limits.multiple_of is not None else unit
    low = _decimal(limits.ge) if limits.ge is not None else None
    if low is None:
        low = _decimal(limits.gt) + step if limits.gt is not None else None
    high = _decimal(limits.le) if limits.le is not None else None
    if high is None:
        high = _decimal(limits.lt) - step if limits.lt is not None else None
    if low is None:
        low = unit if high is None or high >= unit else high - 1000
    if high is None:
        high = low + 1000
    if limits.max_digits is not None:
        high = min(high, Decimal(10) ** (limits.max_digits - places) - unit)
    first, last = math.ceil(low / step), math.floor(high / step)
    if first > last:
        raise ValueError(f"{path}: no number is between {low} and {high}")
    return random.randint(first, last) * step


def real(limits: Limits, random: Random) -> float:
    """Between its limits."""
    if limits.multiple_of is not None:
        return float(decimal(limits, random, ""))
    low = limits.ge if limits.ge is not None else limits.gt
    high = limits.le if limits.le is not None else limits.lt
    if low is None:
        low = 0.0 if high is None or high > 0 else high - 1000
    if high is None:
        high = low + 1000
    return low + (high - low) * random.uniform(0.001, 0.999)  # type: ignore[no-any-return]


def text(place: Place, limits: Limits, random: Random) -> str:
    """By pattern where there is one, else by the field's name."""
    if limits.pattern is not None:
        return matching(limits.pattern, random)
    plain = text_for(place, random)
    return fitted(plain, limits.min_length or 0, limits.max_length, random)


def raw(limits: Limits, random: Random) -> bytes:
    """Bytes of any kind."""
    low, high = limits.lengths(1, 16)
    return random.randbytes(random.randint(low, high))


def moment(place: Place, random: Random) -> dt.datetime:
    """Later for each sample, in UTC."""
    return BEGIN + dt.timedelta(seconds=place.number * 60 + random.randrange(60), milliseconds=random.randrange(1000))


def identity(random: Random) -> uuid.UUID:
    """A UUID of version 4."""
    return uuid.UUID(int=random.getrandbits(128), version=4)


def _decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))
