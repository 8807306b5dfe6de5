"""A folder with an application in it that needs no broker: its client factory is a component of its own."""

from __future__ import annotations

import itertools
import logging
import sys
import textwrap

import pytest

NUMBERS = itertools.count(1)

CLIENTS = """
import threading
import time

from kafkaboot import component
from kafkaboot.client import TP, TopicInfo
from kafkaboot.errors import BrokerUnreachableError, ClientError

TOPICS = {"orders": TopicInfo("orders", 1), "invoices": TopicInfo("invoices", 1)}
COMMITTED = {}
RECORDS = [b'{"order_id": "o-1"}', b'{"order_id": "o-2"}']
PRODUCED = []
TROUBLE = {}
CLOSED = []


class Raw:
    def __init__(self, offset, value):
        self._offset, self._value = offset, value

    def topic(self): return "orders"
    def partition(self): return 0
    def offset(self): return self._offset
    def key(self): return b"k"
    def value(self): return self._value
    def headers(self): return None
    def timestamp(self): return (1, 1_700_000_000_000)
    def error(self): return None
    def __len__(self): return len(self._value)


class Consumer:
    def __init__(self, group):
        self.group = group
        self.records = [Raw(at, value) for at, value in enumerate(RECORDS)]
        self.answers = []

    def subscribe(self, topics, listener):
        self.listener, self.fresh = listener, True

    def poll_chunk(self, limit, timeout):
        for answer in self.answers:
            answer(None)
        self.answers = []
        if TROUBLE.get("poll"):
            raise ClientError("the subscription is lost", code="_FATAL", fatal=True)
        if self.fresh:
            self.fresh = False
            self.listener.assigned([TP("orders", 0)])
        chunk, self.records = self.records[:limit], self.records[limit:]
        if not chunk:
            time.sleep(min(timeout, 0.005))
        return chunk

    def commit(self, offsets, done):
        COMMITTED.update({partition: committed.offset for partition, committed in offsets.items()})
        if done is not None:
            self.answers.append(done)

    def committed(self, partitions, timeout):
        from kafkaboot.client import Committed
        return {partition: Committed(COMMITTED.get(partition)) for partition in partitions}

    def seek(self, partition, offset): pass
    def pause(self, partitions): pass
    def resume(self, partitions): pass
    def high_watermarks(self): return {TP("orders", 0): len(RECORDS)}

    def close(self, timeout):
        CLOSED.append(self.group)
        if not self.fresh:
            self.listener.revoked([TP("orders", 0)])


class Producer:
    lost = None

    def produce(self, topic, value, key, headers, partition, on_delivery, timestamp=0):
        PRODUCED.append((topic, key, value))
        threading.Thread(target=on_delivery, args=(None, Raw(len(PRODUCED), value))).start()

    def translate(self, error): return ClientError(str(error))
    def flush(self, timeout): return 0
    def close(self, timeout): return 0
    def poll(self, timeout=0): return 0


class Admin:
    def topics(self, timeout):
        if TROUBLE.get("broker"):
            raise BrokerUnreachableError("no broker answers at nowhere:9092", code="_TRANSPORT")
        return dict(TOPICS)

    def create_topics(self, specs, timeout):
        TOPICS.update((spec.name, TopicInfo(spec.name, max(spec.partitions, 1))) for spec in specs)

    def permissions(self, topics, timeout): return dict.fromkeys(topics)
    def close(self): pass


@component
class Clients:
    bootstrap_servers = "nowhere:9092"

    def consumer(self, group, overrides):
        if group == "refused" and TROUBLE.get("refused"):
            raise ClientError("group refused is refused")
        return Consumer(group)

    def producer(self, overrides): return Producer()
    def transactional(self, transactional_id, overrides): raise ClientError("there are no transactions here")
    def admin(self): return Admin()
    def reader(self): raise ClientError("nothing is read here")
"""


class Shop:
    """Writes the application's files; `name` is its package, unlike that of every other test."""

    def __init__(self, folder):
        self.folder = folder
        self.name = f"shop{next(NUMBERS)}"
        self.package = folder / self.name
        self.package.mkdir()
        (self.package / "__init__.py").touch()
        (self.package / "clients.py").write_text(CLIENTS)

    def handlers(self, text):
        head = "from kafkaboot import *\nfrom pydantic import BaseModel\n"
        (self.package / "handlers.py").write_text(head + textwrap.dedent(text).lstrip())

    def yaml(self, text=""):
        head = f"kafkaboot:\n  application: {{name: {self.name}, packages: [{self.name}]}}\n"
        (self.folder / "application.yaml").write_text(head + text)

    def module(self, name):
        return sys.modules[f"{self.name}.{name}"]


@pytest.fixture
def shop(tmp_path):
    root = logging.getLogger()
    before = list(root.handlers), root.level, list(sys.path)
    made = Shop(tmp_path)
    made.yaml()
    yield made
    root.handlers[:], root.level, sys.path[:] = before
    for name in [name for name in sys.modules if name == made.name or name.startswith(f"{made.name}.")]:
        del sys.modules[name]
