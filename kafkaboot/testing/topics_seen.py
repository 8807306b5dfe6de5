"""What stands in the topics of a test's broker, decoded, and told in words where it is not what was waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from kafkaboot.declare import event_name, type_name
from kafkaboot.message import Record, decoder, event_type, explain, place, printable
from kafkaboot.producer.envelope import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafkaboot.client.confluent.reader import TopicReader

_CHUNK = 1000
_SHOWN = 10
_LONGEST = 200


class Published(NamedTuple):
    """A record of a topic with its payload."""

    payload: Any
    record: Record


class TopicsSeen:
    """Reads topics from their beginning, as far as somebody asks.

    Args:
        reader: The way to the broker; it is closed with this.
    """

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader
        self._seen: dict[str, list[Record]] = {}
        self._taken: set[tuple[str, int, int]] = set()
        self._turn = asyncio.Lock()

    async def look(self, topic: str, timeout: float) -> bool:
        """Read on for up to `timeout` seconds; answers whether the topic is there."""
        async with self._turn:
            return await asyncio.to_thread(self._look, topic, timeout)

    def _look(self, topic: str, timeout: float) -> bool:
        there = self._reader.add(topic, 10.0)
        for raw in self._reader.poll(_CHUNK, timeout):
            self._seen.setdefault(raw.topic(), []).append(Record.of(raw))
        return there

    def records(self, topic: str) -> list[Record]:
        """What was read so far."""
        return list(self._seen.get(topic, ()))

    def take(self, topic: str, kind: Any, where: Callable[[Any], bool] | None) -> Published | None:
        """The first record that fits and was not given out yet."""
        for record in self._seen.get(topic, ()):
            at = record.topic, record.partition, record.offset
            if at in self._taken:
                continue
            why_not, payload = _judged(record, kind, where)
            if not why_not:
                self._taken.add(at)
                return Published(payload, record)
        return None

    def all(self, topic: str, kind: Any) -> list[Any]:
        """The payloads of every record of that type, given out or not."""
        judged = (_judged(record, kind, None) for record in self._seen.get(topic, ()))
        return [payload for why_not, payload in judged if not why_not]

    def told(self, topic: str, kind: Any, where: Callable[[Any], bool] | None) -> Iterator[str]:
        """What is there instead of a record that fits, a line for each."""
        records = self._seen.get(topic, [])
        for record in records[:_SHOWN]:
            at = record.topic, record.partition, record.offset
            why = "given out before" if at in self._taken else _judged(record, kind, where)[0]
            shown = "null" if record.value is None else record.value.decode("utf-8", "backslashreplace")
            key = "" if record.key is None else f" key {printable(record.key.decode('utf-8', 'backslashreplace'))}"
            yield f"{place(*at)}{key} {event_type(record.headers) or '(no type)'} {printable(shown, _LONGEST)}: {why}"
        if len(records) > _SHOWN:
            yield f"and {len(records) - _SHOWN} more"
        if not records:
            yield f"nothing stands in {topic}"

    def close(self) -> None:
        """Drop the connection."""
        self._reader.close()


def _judged(record: Record, kind: Any, where: Callable[[Any], bool] | None) -> tuple[str, Any]:
    """Why the record does not fit, empty where it does; and its payload."""
    if kind is None:
        payload: Any = record.value
    else:
        named = event_type(record.headers)
        wanted = event_name(kind) or (name_of(kind) if isinstance(kind, type) else None)
        if named is not None and wanted is not None and named != wanted:
            return f"its type is {named}, not {wanted}", None
        try:
            payload = decoder(kind)(record.value)
        except Exception as error:
            return f"it is no {type_name(kind)}: {explain(error, kind, record.value).what}", None
    if where is not None and not where(payload):
        return "`where` says no", payload
    return "", payload
