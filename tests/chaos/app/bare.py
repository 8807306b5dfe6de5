"""Bare confluent-kafka loops: one that is right, and one for each way of being wrong that a check must see.

Started as `bare.py MODE BOOTSTRAP TOPIC GROUP SESSION_MS POLL_MS`. The modes:

right         commits what it has handled, every half second, on revoke and on SIGTERM; handles while it polls
commit-first  commits what it has polled, then handles it
newest-done   handles keys in threads, and commits the newest record done, whatever is not done below it
prefix-only   handles keys in threads, commits the contiguous prefix and nothing about what is done beyond it
unordered     the same without regard to keys
no-drain      as right, and leaves on SIGTERM without a commit
blocking      as right, and does not poll while a handler is at work
hoarding      as right, and keeps something for every record that it has seen
"""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaException, TopicPartition

from kafkaboot.testing.history import ENDED, STARTED, History

MODE, BOOTSTRAP, TOPIC, GROUP, SESSION, POLL = sys.argv[1:]
COMMIT_EVERY = 0.5
THREADED = ("newest-done", "prefix-only", "unordered")
HISTORY = History(os.environ["CHAOS_HISTORY"])
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))


HOARD = []


def handle(message):
    if MODE == "hoarding":
        HOARD.append(bytearray(os.urandom(1000) * 100))
    entry = json.loads(message.value())
    where = message.topic(), message.partition(), message.offset(), entry["id"], entry["key"], entry["seq"]
    HISTORY.write(STARTED, *where)
    time.sleep(entry["work"])
    HISTORY.write(ENDED, *where)


class Prefix:
    """What may be committed on one partition."""

    def __init__(self):
        self.open, self.next = {}, None

    def took(self, offset):
        self.open[offset] = False

    def did(self, offset):
        self.open[offset] = True
        if MODE == "newest-done":
            self.next = max(self.next or 0, offset + 1)
        for known in list(self.open):
            if not self.open[known]:
                return
            del self.open[known]
            self.next = max(self.next or 0, known + 1)


class Loop:
    def __init__(self):
        self.consumer = Consumer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "group.id": GROUP,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(SESSION),
                "heartbeat.interval.ms": 300,
                "max.poll.interval.ms": int(POLL),
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "fetch.queue.backoff.ms": 5,
            }
        )
        self.prefixes, self.queue, self.committed_at = {}, [], time.monotonic()
        self.threads = ThreadPoolExecutor(8)
        self.lanes, self.waiting = {}, {}

    def commit(self):
        self.commit_at({p: known.next for p, known in self.prefixes.items() if known.next is not None})
        self.committed_at = time.monotonic()

    def commit_at(self, offsets):
        due = [TopicPartition(TOPIC, partition, offset) for partition, offset in offsets.items()]
        if due:
            try:
                self.consumer.commit(offsets=due, asynchronous=False)
            except KafkaException as error:  # in the middle of a rebalance; the next commit says it again
                print(error, flush=True)

    def revoked(self, consumer, partitions):
        if MODE in THREADED:
            self.drain()
        if MODE != "commit-first":
            self.commit()
        gone = {each.partition for each in partitions}
        self.queue = [message for message in self.queue if message.partition() not in gone]
        for partition in gone:
            self.prefixes.pop(partition, None)

    def lost(self, consumer, partitions):
        for each in partitions:
            self.prefixes.pop(each.partition, None)
        gone = {each.partition for each in partitions}
        self.queue = [message for message in self.queue if message.partition() not in gone]

    def drain(self):
        while any(self.lanes.values()):
            self.step_lanes()
            time.sleep(0.001)

    def run(self):
        self.consumer.subscribe([TOPIC], on_revoke=self.revoked, on_lost=self.lost)
        while not stopping:
            room = 20 - len(self.queue) if MODE != "blocking" else 20 * (not self.queue)
            polled = self.consumer.consume(
                max(room, 1), 0 if self.queue else 0.05
            )  # which may revoke, and empty the queue
            self.queue.extend(message for message in polled if not message.error())
            if MODE == "commit-first" and self.queue:
                top = {m.partition(): m.offset() + 1 for m in self.queue}
                self.commit_at(top)
            self.work()
            if MODE != "commit-first" and time.monotonic() - self.committed_at > COMMIT_EVERY:
                self.commit()
        if MODE == "no-drain":
            os._exit(0)
        self.drain()
        if MODE != "commit-first":
            self.commit()
        self.consumer.close()
        self.threads.shutdown()

    def work(self):
        if MODE in THREADED:
            for message in self.queue:
                self.prefixes.setdefault(message.partition(), Prefix()).took(message.offset())
                lane = (message.partition(), message.offset()) if MODE == "unordered" else message.key()
                self.lanes.setdefault(lane, []).append(message)
            self.queue = []
            self.step_lanes()
            while sum(map(len, self.lanes.values())) > 40:
                self.step_lanes()
                time.sleep(0.001)
            return
        whole = len(self.queue) if MODE in ("commit-first", "blocking") else 1
        for _ in range(min(whole, len(self.queue))):
            message = self.queue.pop(0)
            prefix = self.prefixes.setdefault(message.partition(), Prefix())
            prefix.took(message.offset())
            handle(message)
            prefix.did(message.offset())

    def step_lanes(self):
        for lane, messages in list(self.lanes.items()):
            running = self.waiting.get(lane)
            if running is not None and running.done():
                done = messages.pop(0)
                self.prefixes[done.partition()].did(done.offset())
                del self.waiting[lane]
                running = None
            if not messages:
                del self.lanes[lane]
            elif running is None:
                self.waiting[lane] = self.threads.submit(handle, messages[0])


Loop().run()
