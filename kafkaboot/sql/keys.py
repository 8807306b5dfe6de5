"""De-duplication keys: a record whose key was seen within the window was handled before, whatever its offset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete

from kafkaboot.message import Record
from kafkaboot.sql.tables import KEY, insert_into

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from kafkaboot.message import RawRecord

PRUNE = delete(KEY).where(
    KEY.c.consumer_group == bindparam("g"), KEY.c.handler == bindparam("h"), KEY.c.seen_at < bindparam("before")
)


class Keys:
    """The keys of one handler.

    Args:
        group: Its consumer group.
        handler: Its id.
        of: A header's name, or a function that gets the `Record` and answers the key, or `None` where it has none.
        window: Seconds for which a key is remembered.
    """

    def __init__(self, group: str, handler: str, of: str | Callable[[Record], Any], window: float) -> None:
        self._group, self._handler, self._of = group, handler, of
        self.window = window

    def of(self, raw: RawRecord) -> bytes | None:
        """A record's key; `None` where it has none: then its offset alone says whether it was handled."""
        if callable(self._of):
            found = self._of(Record.of(raw))
            return None if found is None else found if isinstance(found, bytes) else str(found).encode()
        for name, value in raw.headers() or ():
            if name == self._of:
                return value
        return None

    def claim(self, connection: Connection, raws: Sequence[RawRecord], now: float) -> list[int]:
        """Write the keys down in the transaction; answers the places of the records that are no repetitions.

        Of two with one key among them the first counts. A transaction that has claimed one of them and is not over is
        waited for.
        """
        first: dict[bytes, int] = {}
        fresh = []
        for place, raw in enumerate(raws):
            key = self.of(raw)
            if key is None:
                fresh.append(place)
            else:
                first.setdefault(key, place)
        if first:
            # In one order everywhere: two transactions that claim the same keys would otherwise wait for each other.
            rows = [self._row(key, now) for key in sorted(first)]
            statement = insert_into(connection, KEY).values(rows)
            statement = statement.on_conflict_do_update(
                index_elements=[KEY.c.consumer_group, KEY.c.handler, KEY.c.dedup_key],
                set_={"seen_at": statement.excluded.seen_at},
                where=KEY.c.seen_at < now - self.window,
            ).returning(KEY.c.dedup_key)
            fresh += [first[bytes(key)] for (key,) in connection.execute(statement)]
        return sorted(fresh)

    def prune(self, connection: Connection, now: float) -> None:
        """Forget what is older than the window."""
        connection.execute(PRUNE, {"g": self._group, "h": self._handler, "before": now - self.window})

    def _row(self, key: bytes, now: float) -> dict[str, Any]:
        return {"consumer_group": self._group, "handler": self._handler, "dedup_key": key, "seen_at": now}
