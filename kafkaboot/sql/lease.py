"""Which relay of a database is at work: one row, that its holder raises while it lives.

No clock is compared with another machine's: whoever waits takes over when the number has stood still for the lease, by
its own clock. A killed holder's place is thus free after that time, a stopped one's at once.
"""

from __future__ import annotations

import os
import secrets
import socket
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from kafkaboot.sql.tables import LEASE, insert_new

if TYPE_CHECKING:
    from sqlalchemy import Connection

NAME = "relay"
FREE = ""
_READ = select(LEASE.c.owner, LEASE.c.beat).where(LEASE.c.name == NAME)
_TAKE = (
    update(LEASE)
    .where(LEASE.c.name == NAME, LEASE.c.owner == bindparam("was"), LEASE.c.beat == bindparam("stood"))
    .values(owner=bindparam("me"), beat=LEASE.c.beat + 1)
)
_BEAT = update(LEASE).where(LEASE.c.name == NAME, LEASE.c.owner == bindparam("me")).values(beat=LEASE.c.beat + 1)


class Lease:
    """One relay's view of the lease.

    Args:
        seconds: After so long without a sign its holder has lost it.

    Attributes:
        held: Whether this relay had it when it looked last.
    """

    def __init__(self, seconds: float) -> None:
        self.me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.held = False
        self.holder = FREE
        self._seconds = seconds
        self._seen: tuple[str, int] | None = None
        self._since = 0.0
        self._beaten = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to raise the number, or to look at it."""
        return monotonic() - self._beaten > self._seconds / 3

    def tend(self, connection: Connection) -> bool:
        """Raise the number, or try to take the lease; answers whether it is held. In a transaction of the caller's."""
        began = monotonic()
        if self.held:
            self.held = connection.execute(_BEAT, {"me": self.me}).rowcount == 1
        if not self.held:
            self.held = self._take(connection)
        self._beaten = began
        return self.held

    def give_back(self, connection: Connection) -> None:
        """Let the next one begin at once."""
        self.held = False
        connection.execute(_BEAT.values(owner=FREE), {"me": self.me})

    def _take(self, connection: Connection) -> bool:
        row = connection.execute(_READ).one_or_none()
        if row is None:
            insert_new(connection, LEASE, [{"name": NAME, "owner": FREE, "beat": 0}])
            row = connection.execute(_READ).one()
        seen = (str(row.owner), int(row.beat))
        self.holder = seen[0]
        if seen != self._seen:
            self._seen, self._since = seen, monotonic()
        if seen[0] not in {FREE, self.me} and monotonic() - self._since < self._seconds:
            return False
        took = connection.execute(_TAKE, {"was": seen[0], "stood": seen[1], "me": self.me}).rowcount == 1
        if took:
            self.holder = self.me
        return took
