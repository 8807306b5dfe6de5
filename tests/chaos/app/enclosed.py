"""A transactional copier that ends its process where it is told to, and says what it has done.

`ENCLOSED_DIE=point:number` kills it the numberth time that it comes to a point with records in the transaction;
`stopped:number` lets it stand still there, before the offsets are sent, which it tells, `pending:number` behind that.
`ENCLOSED_WITHOUT` takes away what exactly once rests on: for controls.
"""

import os
import signal
import threading
from collections import Counter

import msgspec

from kafkaboot import Context, Producer, Record, event_handler, publisher
from kafkaboot.client.confluent.consumer import ConfluentConsumer
from kafkaboot.client.confluent.transactional import ConfluentTransactional
from kafkaboot.consumer.settings import ConsumerSettings
from kafkaboot.transaction.door import Door

POINT, _, NUMBER = os.environ.get("ENCLOSED_DIE", "never:0").partition(":")
WITHOUT = os.environ.get("ENCLOSED_WITHOUT", "")
INSIDE = bool(os.environ.get("ENCLOSED_INSIDE"))
REACHED: Counter[str] = Counter()
OPEN = Counter({"records": 0})
SENT = []


class Entry(msgspec.Struct):
    id: int
    key: str
    seq: int
    fails: int = 0


class NotYetError(Exception):
    """What a handler raises that will succeed later, or never."""


@event_handler("${enclosed.source}", transactional=True)
@publisher("${enclosed.target}", key="key")
async def copy(entry: Entry, record: Record, context: Context, producer: Producer) -> Entry:
    if INSIDE:
        producer.send(TARGET, entry, key=entry.key)
    if entry.fails < 0 or context.attempt <= entry.fails:
        raise NotYetError(entry.id)
    return None if INSIDE else entry


TARGET = os.environ.get("ENCLOSED_TARGET", "")


def reached(point, *rest):
    if not OPEN["records"]:
        return
    REACHED[point] += 1
    if point == POINT and REACHED[point] == int(NUMBER):
        say(" ".join([f"dies {point} {OPEN['records']}", *rest]))
        # To this thread: one for the process is taken by another, and meanwhile this one would go on.
        freezes = point in {"stopped", "pending"}
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP if freezes else signal.SIGKILL)


def say(what):
    os.write(1, f"@{what}\n".encode())


def around(owner, name, before=None, after=None):
    call = getattr(owner, name)

    def made(self, *args, **kwargs):
        if before is not None:
            before(*args)
        result = call(self, *args, **kwargs)
        if after is not None:
            after()
        return result

    setattr(owner, name, made)


def produced():
    OPEN["records"] += 1
    reached("produced")


def sending(offsets, *_):
    SENT[:] = [f"{tp.partition}:{sent.offset}" for tp, sent in offsets.items()]
    reached("stopped", *SENT)


def sent():
    reached("sent")
    reached("pending", *SENT)


def committing(*_):
    if POINT == "committing":
        # In the midst of it: the broker has been asked, and the answer is on its way.
        threading.Timer(0.002, reached, ["committing"]).start()


def committed():
    reached("committed")
    if OPEN["records"]:
        say(f"committed {OPEN['records']}")
    OPEN["records"] = 0


around(Door, "produce", after=produced)
around(ConfluentTransactional, "send_offsets", before=sending, after=sent)
around(ConfluentTransactional, "commit", before=committing, after=committed)

if WITHOUT == "fencing":
    # What a client without a group would send: the broker takes it for somebody who manages offsets alone.
    real = ConfluentConsumer.membership

    def memberless(self):
        found = real(self)
        return None if found is None else b"CGMDv2:\xff\xff\xff\xff" + found[11:].split(b"\0")[0] + b"\0\0\x01"

    ConfluentConsumer.membership = memberless
if WITHOUT == "read_committed":
    properties = ConsumerSettings.client_properties

    def uncommitted(self, start, *, committed_only=False):
        return properties(self, start, committed_only=committed_only) | {"isolation.level": "read_uncommitted"}

    ConsumerSettings.client_properties = uncommitted
if WITHOUT == "offsets":
    # Offsets go their own way, behind the commit.
    LAST = {}
    consumers = []
    init = ConfluentConsumer.__init__

    def noted(self, config):
        init(self, config)
        consumers.append(self)

    ConfluentConsumer.__init__ = noted
    send, commit = ConfluentTransactional.send_offsets, ConfluentTransactional.commit

    def kept(self, offsets, membership, timeout):
        LAST[id(self)] = offsets

    def apart(self, timeout):
        commit(self, timeout)
        if offsets := LAST.pop(id(self), {}):
            # Not on this thread, which a rebalance may be waiting for.
            threading.Thread(target=consumers[0].commit, args=(offsets, lambda _: None), daemon=True).start()

    ConfluentTransactional.send_offsets, ConfluentTransactional.commit = kept, apart
