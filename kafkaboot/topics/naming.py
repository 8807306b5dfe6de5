"""The names of the topics that the house makes: the only place that knows them."""

from __future__ import annotations

DEAD_LETTER = "{topic}.{group}.dlt"
RETRY = "{topic}.{group}.retry.{delay}"
PARKING = "{topic}.parked"
"""Where a dead letter goes that came back too often; `{topic}` is the dead letters' own topic."""
INDEX = "{topic}.index"
"""The compacted topic with the index of a dead letters' topic."""


REPLIES = "{application}.replies"
"""Where answers to an application's requests go."""


def replies(application: str) -> str:
    """The reply topic of an application."""
    return REPLIES.format(application=application)


def dead_letter(topic: str, group: str, pattern: str = DEAD_LETTER) -> str:
    """The dead letters of one group for one topic."""
    return pattern.format(topic=topic, group=group)


def retry(topic: str, group: str, delay: float, pattern: str = RETRY) -> str:
    """The topic in which records wait `delay` seconds for their next attempt; for example `orders.shop.retry.5s`."""
    return pattern.format(topic=topic, group=group, delay=written(delay))


def is_retry(name: str, topic: str, group: str, pattern: str = RETRY) -> bool:
    """Whether `name` is one of the retry topics of that group for that topic."""
    before, _, after = pattern.partition("{delay}")
    start, end = before.format(topic=topic, group=group), after.format(topic=topic, group=group)
    return len(name) > len(start) + len(end) and name.startswith(start) and name.endswith(end)


def parking(letters: str) -> str:
    """Where letters of that topic are parked."""
    return PARKING.format(topic=letters)


def is_parking(name: str) -> bool:
    """Whether letters are parked in a topic of that name."""
    return name.endswith(PARKING.format(topic=""))


def index(letters: str) -> str:
    """The index of that topic of letters."""
    return INDEX.format(topic=letters)


def written(seconds: float) -> str:
    """A delay as it stands in a topic's name: the largest unit that holds it whole, `90s` but `2m`, `1h`, `250ms`."""
    milliseconds = round(seconds * 1000)
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
