"""The dead letters' workbench on a real Kafka and on the embedded broker: figures, deletion, takeover."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time

import pytest

from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.failure.replay import Errand, Place, Selection, Workbench, refresh
from kafkaboot.failure.replay.reading import chunks

pytestmark = pytest.mark.timeout(240)

MANY = 100_000
EXCEPTIONS = (
    "shop.CardRefused",
    "builtins.ValueError",
    "pydantic.ValidationError",
    "kafkaboot.errors.UndecodableError",
)


class Cluster:
    def __init__(self, address, prefix):
        self.address = address
        self.clients = ConfluentClients(KafkaSettings(), bootstrap_servers=address)
        self.admin = self.clients.admin()
        self.orders, self.letters = f"{prefix}.orders", f"{prefix}.orders.shop.dlt"
        self.admin.create_topics([TopicSpec(self.orders, 4, 1), TopicSpec(self.letters, 4, 1)], 60)

    def write(self, several, partition):
        producer = self.clients.producer({"linger.ms": 5})
        for number, headers in several:
            while True:
                try:
                    value = b'{"order_id": "o-%d"}' % number
                    producer.produce(self.letters, value, b"k%d" % number, headers, partition(number), None)
                    break
                except BufferError:
                    producer.serve(0.1)
        assert producer.close(60) == 0

    def fill(self, count, first=0):
        def headers(number):
            kind = number * 7919 % 4
            return [
                ("ce_type", b"order.placed"),
                ("kb-original-topic", self.orders.encode()),
                ("kb-original-partition", b"%d" % (number % 4)),
                ("kb-original-offset", b"%d" % number),
                ("kb-group", b"shop"),
                ("kb-handler", b"bill"),
                ("kb-exception", EXCEPTIONS[kind].encode()),
                ("kb-message", b"order %d" % number),
                ("kb-traceback", b"Traceback (most recent call last):\n" * 20),
                ("kb-fingerprint", b"cause-%d" % kind),
            ]

        self.write(((number, headers(number)) for number in range(first, first + count)), lambda number: number % 4)

    def sent(self):
        partitions = [TP(self.orders, at) for at in range(4)]
        reader = self.clients.reader()
        try:
            ends = self.admin.end_offsets(partitions, 10)
            return [record for chunk in chunks(reader, dict.fromkeys(partitions, 0), ends) for record in chunk]
        finally:
            reader.close()

    def bench(self):
        return Workbench(self.clients, self.letters, by="ada@desk")

    def call(self, folder, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "kafkaboot", "dlq", *arguments],
            cwd=folder,
            env={**os.environ, "KAFKABOOT_KAFKA_BROKER": "external", "KAFKABOOT_KAFKA_BOOTSTRAP_SERVERS": self.address},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout


@pytest.fixture(params=["embedded", "kafka"])
def cluster(request):
    if request.param == "kafka":
        made = Cluster(request.getfixturevalue("kafka").bootstrap_servers, f"dlq-{time.time_ns()}")
        yield made
        made.admin.delete_topics({name for name in made.admin.topics(20) if name.startswith(made.orders)}, 60)
        made.admin.close()
    else:
        with EmbeddedKafka() as broker:
            made = Cluster(broker.bootstrap_servers, "dlq")
            yield made
            made.admin.close()


def test_a_hundred_thousand_letters_are_listed_by_cause(cluster, tmp_path, capsys, request):
    """The figures are printed; a machine's load is no test's business."""
    cluster.fill(MANY)
    refresh(cluster.clients, cluster.letters)
    cluster.fill(500, MANY)
    with cluster.bench() as bench:
        began = time.perf_counter()
        found = bench.catalogue()
        groups = found.groups()
        inside = time.perf_counter() - began
        assert found.read <= 4 * 1000, "the tail, and no more"
        assert sum(one.cause.count for one in groups) == MANY + 500
        assert {one.states["new"] for one in groups} == {(MANY + 500) // 4}
    began = time.perf_counter()
    listed = json.loads(cluster.call(tmp_path, "list", cluster.letters, "--json"))
    whole = time.perf_counter() - began
    assert (listed["letters"], listed["indexed"]) == (MANY + 500, True)
    with capsys.disabled():
        print(
            f"\n  {MANY + 500} letters listed in {inside:.3f} s, by the command in {whole:.2f} s ({request.node.name})"
        )


def test_springs_letter_is_read_shown_and_replayed(cluster, tmp_path):
    headers = [
        ("own", b"java"),
        ("kafka_dlt-original-topic", cluster.orders.encode()),
        ("kafka_dlt-original-partition", struct.pack(">i", 3)),
        ("kafka_dlt-original-offset", struct.pack(">q", 4711)),
        ("kafka_dlt-original-timestamp", struct.pack(">q", 1_764_000_000_000)),
        ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"billing"),
        ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
        ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_dlt-exception-message", b"Listener failed"),
        ("kafka_dlt-exception-stacktrace", b"java.lang.IllegalStateException: refused\n\tat shop.Bill.on(Bill.java:7)"),
    ]
    cluster.write([(1, headers)], lambda _: 2)
    shown = json.loads(cluster.call(tmp_path, "show", cluster.letters, "2@0", "--json"))
    assert (shown["dialect"], shown["exception"], shown["group"]) == (
        "spring",
        "java.lang.IllegalStateException",
        "billing",
    )
    assert (shown["original"]["partition"], shown["original"]["offset"]) == (3, 4711)
    assert "Bill.java:7" in shown["traceback"]
    assert "1 retried" in cluster.call(tmp_path, "replay", cluster.letters, "--all", "--yes")
    (record,) = cluster.sent()
    assert (record.partition(), record.key(), record.value()) == (3, b"k1", b'{"order_id": "o-1"}')
    assert [name for name, _ in record.headers()] == ["own", "kb-redrives", "kb-redriven-from"]


def test_letters_are_sent_parked_edited_and_deleted(cluster):
    cluster.fill(2000)
    with cluster.bench() as bench:
        found = bench.catalogue()
        plan = bench.plan(Errand("redrive", Selection(exception="CardRefused")), found)
        assert (plan.selected, bench.absent(plan.groups)) == (500, ["shop"])
        assert bench.work(bench.begin(plan, found)).counts == {"retried": 500}
        assert len(cluster.sent()) == 500

        letter = bench.letter(Place(1, 5))
        where = bench.send_edited(letter, b'{"order_id": "mended"}')
        assert where.startswith(f"{cluster.orders}[1]@")

        found = bench.catalogue()
        job = bench.begin(bench.plan(Errand("park", Selection()), found), found)
        assert bench.work(job).counts == {"parked": 1499}
        counted = bench.purgeable(Selection(states=("retried", "edited", "parked")), bench.catalogue())
        assert (counted.letters, counted.kept) == (2000, 0)
        bench.purge(bench.catalogue(), counted)
        found = bench.catalogue()
    assert found.groups() == []
    assert found.begins == found.ends == dict.fromkeys(range(4), 500)
    with Workbench(cluster.clients, f"{cluster.letters}.parked") as bench:
        assert sum(one.cause.count for one in bench.catalogue().groups()) == 1499


def test_letters_of_a_transaction_that_was_aborted_are_none(cluster):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": cluster.address, "transactional.id": cluster.letters})
    producer.init_transactions(30)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(cluster.letters, b"1", b"k", 0, headers=[("kb-original-topic", cluster.orders.encode())])
        producer.flush(30)
        end(30)
    with cluster.bench() as bench:
        found = bench.catalogue()
        assert sum(one.cause.count for one in found.groups()) == 1
        job = bench.begin(bench.plan(Errand("redrive", Selection()), found), found)
        assert bench.work(job).counts == {"retried": 1}


def test_who_takes_a_job_over_goes_on_and_the_other_is_told(cluster):
    """Two processes with one job: the second goes on at once, and the first is fenced by its next commit."""
    from kafkaboot.errors import ClientError

    cluster.fill(3000)
    errand = Errand("redrive", Selection())
    with cluster.bench() as first, cluster.bench() as second:
        found = first.catalogue()
        job = first.begin(first.plan(errand, found), found)
        done = []

        def take_over(_):
            if not done:
                done.append(second.work(job))

        with pytest.raises(ClientError, match="another process does job"):
            first.work(job, heard=take_over)
    assert done[0].state == "finished"
    values = [record.value() for record in cluster.sent()]
    assert len(set(values)) == 3000
    assert len(values) <= 3500
