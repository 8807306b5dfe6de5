"""An application that publishes the rows of an outbox, and takes what was published into an inbox.

`OUTBOXED` names what is left out for a control: `early`: rows go away before the broker has them; `keyless`: the inbox
knows no repetitions. `OUTBOXED_DIES=n`: a process kills itself in the n-th round of its relay, between the two.
"""

import os
import signal
from itertools import count

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from kafkaboot import event_handler
from kafkaboot.sql.relay import Relay

MODE, DIES, ROUNDS = os.environ.get("OUTBOXED", ""), int(os.environ.get("OUTBOXED_DIES", "0")), count(1)
ADD = text("INSERT INTO effects (entry, record_key, seq) VALUES (:entry, :key, :seq)")


class Entry(msgspec.Struct):
    id: str
    key: str
    seq: int


@event_handler("${ledger.topic}", inbox=True, inbox_key=None if MODE == "keyless" else "ce_id")
def take(entry: Entry, session: Session) -> None:
    session.execute(ADD, {"entry": entry.id, "key": entry.key, "seq": entry.seq})


def perhaps_die() -> None:
    if DIES and next(ROUNDS) == DIES:
        os.kill(os.getpid(), signal.SIGKILL)


take_away, publish = Relay._take_away, Relay._publish


def late(self, ids):
    perhaps_die()
    take_away(self, ids)


def early(self, rows):
    take_away(self, [row.id for row in rows])
    perhaps_die()
    return publish(self, rows)


if MODE == "early":
    Relay._publish, Relay._take_away = early, lambda *_: None
else:
    Relay._take_away = late
