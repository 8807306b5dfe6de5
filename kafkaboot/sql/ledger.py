"""Which records of a partition are settled, as the database knows it: read at its assignment, written with each record.

Two ways of writing it down. While records are handled in their order, one row moves: `position = offset + 1 where
position <= offset`. Where they are not (by key, several handlers of a topic, a record on its way to the dead letters),
each record has a row of its own, and the position follows the settled prefix now and then. Either way a second owner of
the partition, who does not know that it lost it, cannot commit a record that is settled: the condition fails, or its
row is there already.

All of it runs inside the transaction of the handler and as its last step, so that locks are held for a moment only.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from kafkaboot.sql.tables import POSITION, RECORD, insert_new

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from kafkaboot.client import TP

UNKNOWN = -1
"""The position of a partition of which nothing is settled yet."""
MOVES = 256
"""Records that have rows of their own before the position moves and their rows are deleted."""
MOVES_AFTER = 1.0
"""Seconds after which it moves anyhow."""

_OF_PARTITION = (
    POSITION.c.consumer_group == bindparam("g"),
    POSITION.c.topic == bindparam("t"),
    POSITION.c.partition == bindparam("p"),
)
_ROWS = (
    RECORD.c.consumer_group == bindparam("g"),
    RECORD.c.topic == bindparam("t"),
    RECORD.c.partition == bindparam("p"),
)
MOVE = (
    update(POSITION).where(*_OF_PARTITION, POSITION.c.position <= bindparam("least")).values(position=bindparam("to"))
)
PRUNE = delete(RECORD).where(*_ROWS, RECORD.c.record_offset < bindparam("below"))
WHERE = select(POSITION.c.position).where(*_OF_PARTITION)
HELD = WHERE.with_for_update(read=True)
"""With a lock that others may share: a move of the position waits for it, and a snapshot that is too old fails."""
BEYOND = select(RECORD.c.record_offset).where(*_ROWS)


class Epoch(Protocol):
    """What of an assignment is looked at here (`consumer.Assignment` fulfils it)."""

    tp: TP
    in_order: bool
    position: int | None


class FencedError(Exception):
    """A record of the transaction is settled already, by another owner of the partition: roll back, and look."""


class Ledger:
    """One partition under one assignment.

    Attributes:
        start: The position that stood in the database when the partition was assigned; `None` where it could not be
            read, or nothing was known.
        position: The same as it is known now.
        beyond: Offsets from there on that were settled when it was read.
        away: Offsets of records on their way to another topic: the position does not pass them.
        doubtful: Whether a commit was not answered, so that the table is to be looked into first.
    """

    def __init__(self, group: str, epoch: Epoch) -> None:
        self.tp, self._epoch = epoch.tp, epoch
        self._key = {"g": group, "t": epoch.tp.topic, "p": epoch.tp.partition}
        self._in_order = epoch.in_order
        self.start: int | None = None
        self.loaded = False
        self.position = UNKNOWN
        self.beyond: set[int] = set()
        self.away: set[int] = set()
        self.doubtful = False
        self._has_rows = False
        self._moved_at = monotonic()

    def settled(self, offset: int) -> bool:
        """Whether the database is known to have this record settled."""
        return offset < self.position or offset in self.beyond

    # --- on a connection; each runs in a transaction of its caller's

    def read(self, connection: Connection) -> None:
        """Look where the partition stands; a row is made for one that has none."""
        found = connection.execute(WHERE, self._key).scalar()
        if found is None:
            named = {"consumer_group": self._key["g"], "topic": self.tp.topic, "partition": self.tp.partition}
            insert_new(connection, POSITION, [{**named, "position": UNKNOWN}])
            found = connection.execute(WHERE, self._key).scalar_one()
        self.position = found
        rows = [offset for (offset,) in connection.execute(BEYOND, self._key)]
        self.beyond = {offset for offset in rows if offset >= found}
        self._has_rows = self._has_rows or bool(rows)
        if not self.loaded:
            self.loaded = True
            self.start = None if found == UNKNOWN else found

    def claim(self, connection: Connection, offsets: Sequence[int]) -> int | None:
        """Write down that these records, in ascending order, are settled with this transaction.

        Answers the position after it, `None` where that stays as it is; `committed` is to be told.

        Raises:
            FencedError: One of them is settled already.
        """
        first = offsets[0]
        if self._in_order and not self.away:
            self._move(connection, to=offsets[-1] + 1, least=first)
            return offsets[-1] + 1
        self._has_rows = True
        try:
            connection.execute(insert(RECORD), self._rows(offsets))
        except IntegrityError:
            raise FencedError from None
        safe = self._epoch.position
        if safe is not None and self._is_due(safe):
            self._moved_at = monotonic()
            self._move(connection, to=safe, least=safe)
            return safe
        # Behind the insert: what another owner has settled and pruned in between is seen now, and waits for this.
        position = connection.execute(HELD, self._key).scalar()
        if position is None or position > first:
            raise FencedError
        return None

    def committed(self, position: int | None) -> None:
        """The transaction of a claim is committed."""
        if position is not None and position > self.position:
            self.position = position
            self.beyond = {offset for offset in self.beyond if offset >= position}
            self._has_rows = self._has_rows and (not self._in_order or bool(self.away or self.beyond))

    def settle(self, connection: Connection, offset: int) -> None:
        """A record is settled in another way than by its handler: it is among the dead letters now."""
        self._has_rows = True
        insert_new(connection, RECORD, self._rows([offset]))

    def leave(self, connection: Connection, position: int) -> None:
        """The partition is given back with everything before `position` settled."""
        if connection.execute(MOVE, {**self._key, "to": position, "least": position}).rowcount == 1:
            connection.execute(PRUNE, {**self._key, "below": position})

    def _move(self, connection: Connection, *, to: int, least: int) -> None:
        if connection.execute(MOVE, {**self._key, "to": to, "least": least}).rowcount != 1:
            raise FencedError
        if self._has_rows:
            connection.execute(PRUNE, {**self._key, "below": to})

    def _is_due(self, safe: int) -> bool:
        beyond = safe - self.position
        return beyond >= MOVES or (beyond > 0 and monotonic() - self._moved_at > MOVES_AFTER)

    def _rows(self, offsets: Iterable[int]) -> list[dict[str, Any]]:
        named = {"consumer_group": self._key["g"], "topic": self.tp.topic, "partition": self.tp.partition}
        return [{**named, "record_offset": offset} for offset in offsets]
