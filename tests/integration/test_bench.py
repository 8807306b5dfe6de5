"""`kafkaboot bench` on brokers: what it says, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid

import pytest
from click.testing import CliRunner

from kafkaboot.cli.program import kafkaboot
from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.consumer import ConsumerSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import BrokerUnreachableError, ClientError
from kafkaboot.producer import ProducerSettings
from kafkaboot.testing import bench, eventually
from kafkaboot.testing.bench import PREFIX

CODE = """
from pydantic import BaseModel
from kafkaboot import Letter, Producer, RetryPolicy
from kafkaboot import component, event, event_handler, on_dead_letter, on_start, publisher

@event("order.placed")
class Order(BaseModel):
    order_id: str
    number: int = 0

@component
class Audit:
    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.started = False

    @on_start
    def begin(self) -> None:
        self.started = True

@component
class Unwanted:
    @on_start
    def begin(self) -> None:
        raise RuntimeError("nobody asked for this one")

calls = []
told = []

@event_handler("${orders}")
@publisher("${invoices}", key="order_id")
async def bill(order: Order, audit: Audit) -> Order:
    assert audit.started
    calls.append(order)
    if order.number % 10 == 1:
        audit.producer.send("${audit}", order)
    return order

attempts = {}

@event_handler("${orders}", group="picky", retry=RetryPolicy(attempts=2, initial=0.001, max=0.002, fatal=[TypeError]))
def picky(order: Order) -> None:
    tries = attempts[order.number] = attempts.get(order.number, 0) + 1
    if order.number % 100 == 7:
        raise ValueError("always")
    if order.number % 100 == 8 and tries == 1:
        raise KeyError("once")
    if order.number % 100 == 9:
        raise TypeError("fatal")

@event_handler("${orders}", group="once", transactional=True)
@publisher("${invoices}", key="order_id")
async def once(order: Order) -> Order:
    return order

@event_handler("${orders}", group="asked", reply=True)
async def quote(order: Order) -> Order:
    return order

@event_handler("${orders}", group="many", batch=50)
async def many(orders: list[Order]) -> None:
    calls.extend(orders)

@event_handler("${orders}", group="hopeless", retry=RetryPolicy(attempts=1000, initial=0.001, max=0.002))
async def hopeless(order: Order) -> None:
    raise RuntimeError("never")

@on_dead_letter
def page(letter: Letter) -> None:
    told.append(letter)
"""


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def broker(request):
    return request.getfixturevalue(request.param)


class Shop:
    """An application in a folder of its own, with topics of its own that stand on the broker."""

    def __init__(self, folder, broker):
        self.address, self.folder = broker.bootstrap_servers, folder
        mark = uuid.uuid4().hex[:8]
        self.package = f"benched_{mark}"
        self.topics = {name: f"{name}-{mark}" for name in ("orders", "invoices", "audit")}
        self.clients = ConfluentClients(KafkaSettings(), bootstrap_servers=self.address)
        code = CODE
        for name, topic in self.topics.items():
            code = code.replace(f"${{{name}}}", topic)
        (folder / self.package).mkdir()
        (folder / self.package / "__init__.py").write_text(code)
        (folder / "application.yaml").write_text(
            f"kafkaboot:\n  application: {{name: {self.package}, packages: [{self.package}]}}\n"
            f"  kafka: {{bootstrap-servers: '{self.address}'}}\n"
            "  consumer: {preset: low-latency, instance-id: pod-1}\n"
        )
        self.ask(lambda admin: admin.create_topics([TopicSpec(name, 2, 1) for name in self.topics.values()], 30))
        eventually(self.led, 20, "the new topics have leaders")
        self.before = self.everything()

    def led(self):
        """Whether the brokers answer for the topics; a controller knows of a leader before that one does."""
        try:
            return bool(self.everything())
        except ClientError as error:
            if not error.retriable:
                raise
            return False

    def ask(self, question):
        admin = self.clients.admin()
        try:
            return question(admin)
        finally:
            admin.close()

    def left(self):
        """Topics and groups of measurements that are on the broker."""
        return {
            name for name in self.ask(lambda admin: {*admin.topics(20), *admin.groups(20)}) if name.startswith(PREFIX)
        }

    def everything(self):
        """The application's topics with their ends, and its groups."""
        places = [TP(topic, n) for topic in self.topics.values() for n in range(2)]
        groups = {name for name in self.ask(lambda admin: admin.groups(20)) if not name.startswith(PREFIX)}
        return self.ask(lambda admin: admin.end_offsets(places, 20)), groups

    def bench(self, *arguments, code=0):
        done = CliRunner().invoke(kafkaboot, ["bench", *arguments, "--yes", "--json"], prog_name="kafkaboot")
        assert done.exit_code == code, done.output
        found = json.loads(done.stdout)
        assert found["left_behind"] == []
        assert self.left() == set()
        assert self.everything() == self.before
        return found

    @property
    def module(self):
        return sys.modules[self.package]


@pytest.fixture
def shop(tmp_path, monkeypatch, broker):
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    made = Shop(tmp_path, broker)
    yield made
    sys.path[:] = path
    sys.modules.pop(made.package, None)


@pytest.fixture
def desk(tmp_path, monkeypatch, embedded):
    monkeypatch.chdir(tmp_path)
    return Shop(tmp_path, embedded)


def test_all_measurements_are_made_and_nothing_of_them_stays(shop):
    found = shop.bench("--records", "60", "--rounds", "2", "--size", "100B", "--batches", "1,10", "--rate", "500")
    lines = found["measurements"]
    assert [(one["measurement"], one["batch"]) for one in lines] == [
        ("produce", None),
        ("consume", None),
        ("latency", None),
        ("transactions", 1),
        ("transactions", 10),
    ]
    assert (found["failed"], found["interrupted"], found["schema"]) == ([], False, 1)
    assert found["broker"] == shop.address
    assert found["settings"] == {
        "producer_preset": "safe",
        "compression": "none",
        "consumer_preset": "low-latency",
        "partitions": 4,
        "records": 60,
        "seconds": 6.0,
        "rounds": 2,
    }
    for one in lines:
        for side in filter(None, (one["kafkaboot"], one["bare"])):
            assert side["records"] == 60
            assert side["records_per_second"] > 0
            assert side["megabytes_per_second"] == pytest.approx(side["records_per_second"] * 100 / 1e6)
            if one["measurement"] != "consume":
                spread = side["ms"]
                assert 0 < spread["p50"] <= spread["p95"] <= spread["p99"] <= spread["max"]
        assert (one["vs_bare"] is None) == (one["measurement"] == "latency")
    tens = lines[4]["kafkaboot"]
    assert tens["records_per_second"] == pytest.approx(10 * tens["transactions_per_second"])


def test_time_ends_a_measurement_that_has_no_end(desk):
    [one] = desk.bench("consume", "--records", "400000", "--seconds", "0.3", "--rounds", "1")["measurements"]
    assert 0 < one["kafkaboot"]["records"] < 400_000


def test_a_measurement_that_fails_is_told_and_the_others_go_on(desk):
    found = desk.bench("latency", "--size", "10B,100B", "--records", "20", code=1)
    [failed] = found["failed"]
    assert failed["measurement"] == "latency 10 B"
    assert "16 bytes at least" in failed["error"]
    assert [one["size"] for one in found["measurements"]] == [100]


def test_a_record_that_the_broker_refuses_fails_its_measurement_only(desk):
    found = desk.bench("produce", "--size", "2MB,1KB", "--records", "6", "--rounds", "1", code=1)
    assert [one["measurement"] for one in found["failed"]] == ["produce 2 MB"]
    assert "MSG_SIZE_TOO_LARGE" in found["failed"][0]["error"] or "too large" in found["failed"][0]["error"].lower()
    assert [one["size"] for one in found["measurements"]] == [1024]


def test_both_sides_commit_what_they_have_read(desk):
    plan = bench.Plan(ProducerSettings(), ConsumerSettings(), records=200, rounds=2, partitions=2)
    with bench.Ground(desk.clients) as ground:
        ground.drop = lambda *_: None  # with the topic its offsets would go
        bench.consume(ground, plan, 100, lambda *_: None)
        assert len(ground._groups) == 4
        for group in ground._groups:
            committed = desk.ask(lambda admin, group=group: admin.group_offsets(group, 20))
            assert sum(one.offset for one in committed.values()) == 100, group
    assert desk.left() == set()


def test_a_broker_that_goes_away_ends_it_and_says_what_was_not_measured(desk, monkeypatch):
    def gone(*_):
        raise BrokerUnreachableError("nobody there")

    monkeypatch.setattr(bench, "produce", gone)
    found = desk.bench("--records", "10", "--size", "100B", "--batches", "1", code=4)
    assert found["measurements"] == []
    assert [one["measurement"] for one in found["failed"]] == [
        "produce 100 B",
        "consume 100 B",
        "latency 100 B",
        "transactions of 1 x 100 B",
    ]
    assert ["nobody there" in one["error"] for one in found["failed"]] == [True, False, False, False]


@pytest.mark.parametrize("becomes", [SystemError("poll returned NULL"), None])
def test_an_interrupt_that_a_client_made_something_else_of_ends_it_all_the_same(desk, monkeypatch, becomes):
    def swallowing(ground, *_):
        ground.topic("made")
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if becomes is not None:
                raise becomes from None

    monkeypatch.setattr(bench, "produce", swallowing)
    found = desk.bench("--records", "10", "--size", "100B", code=130)
    assert (found["interrupted"], found["measurements"], found["failed"]) == (True, [], [])


def test_a_missing_permission_says_which_are_needed(desk, monkeypatch):
    def denied(*_):
        raise ClientError("no", code="GROUP_AUTHORIZATION_FAILED")

    monkeypatch.setattr(bench, "consume", denied)
    done = CliRunner().invoke(kafkaboot, ["bench", "consume", "--yes"], prog_name="kafkaboot")
    assert done.exit_code == 1, done.output
    assert "Read and Delete on groups kafkaboot-bench-*" in done.output


def test_a_producer_that_buffers_little_is_measured_as_well(desk):
    asked = ("--size", "1KB", "--records", "300", "--rounds", "1", "--set", "kafkaboot.producer.max-buffered=20")
    [one] = desk.bench("produce", *asked)["measurements"]
    assert one["kafkaboot"]["records"] == one["bare"]["records"] == 300


def test_no_application_is_needed(embedded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address = f"kafkaboot.kafka.bootstrap-servers={embedded.bootstrap_servers}"
    asked = ["bench", "latency", "--records", "20", "--set", address, "--yes", "--json"]
    done = CliRunner().invoke(kafkaboot, asked, prog_name="kafkaboot")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["measurements"][0]["kafkaboot"]["records"] == 20
    done = CliRunner().invoke(kafkaboot, ["bench", "handler", "bill", "--set", address, "--yes"], prog_name="kafkaboot")
    assert done.exit_code != 0
    assert "no package is named" in done.output


def test_preset_and_compression_are_those_that_are_asked_for(desk):
    asked = ("--preset", "high-throughput", "--compression", "zstd", "--partitions", "2", "--records", "30")
    settings = desk.bench("produce", "--size", "1KB", "--rounds", "1", *asked)["settings"]
    assert (settings["producer_preset"], settings["compression"], settings["partitions"]) == (
        "high-throughput",
        "zstd",
        2,
    )
    assert (
        desk.bench("produce", "--size", "1KB", "--rounds", "1", "--records", "9")["settings"]["compression"] == "none"
    )


def test_a_handler_runs_in_the_engine_and_publishes_to_no_topic_of_the_application(shop):
    found = shop.bench("handler", "bill", "--records", "400")
    [one] = found["measurements"]
    assert (one["records"], one["calls"], one["batch"], one["source"]) == (400, 400, None, "samples of Order")
    assert len(shop.module.calls) == 400
    assert len({order.order_id for order in shop.module.calls}) == 400
    audits = sum(order.number % 10 == 1 for order in shop.module.calls)
    assert one["published"] == {shop.topics["invoices"]: 400, **({shop.topics["audit"]: audits} if audits else {})}
    assert (one["failures"], one["became"]) == ({}, {})
    assert 0 < one["handler_cpu_us_per_record"] <= one["cpu_us_per_record"]
    assert 0 < one["ms"]["p50"] <= one["ms"]["max"]
    assert one["where"].endswith(f"{one['where'].rpartition(':')[2]}")
    assert f"{shop.package}/__init__.py:" in one["where"]


def test_failures_are_counted_by_kind_and_dead_letters_wake_nobody(shop, tmp_path):
    lines = [json.dumps({"order_id": f"o-{n}", "number": n}) for n in range(300)]
    (tmp_path / "orders.jsonl").write_text("\n".join(lines) + "\n\n")
    found = shop.bench("handler", "picky", "--from", "orders.jsonl", "--records", "300")
    [one] = found["measurements"]
    assert one["source"] == "orders.jsonl"
    assert one["failures"] == {"ValueError": 6, "KeyError": 3, "TypeError": 3}  # two attempts, one, and a fatal one
    assert one["became"] == {"dead_lettered": 6}
    assert (one["records"], one["calls"]) == (300, 306)
    assert one["published"] == {}
    assert shop.module.told == []


def test_a_handler_whose_producer_could_ask_for_answers_is_measured_too(desk):
    answers = ("--set", f"kafkaboot.requests.topic={desk.topics['audit']}")
    [one] = desk.bench("handler", "bill", "--records", "20", *answers)["measurements"]
    assert (one["records"], one["failures"]) == (20, {})


def test_a_transactional_handler_is_measured_in_transactions_of_its_own(shop):
    [one] = shop.bench("handler", "once", "--records", "200")["measurements"]
    assert (one["records"], one["failures"], one["became"]) == (200, {}, {})
    assert one["published"][shop.topics["invoices"]] > 200  # with the markers of its transactions


def test_nobody_asked_for_the_answers_of_a_handler_that_is_measured(desk):
    found = desk.bench("handler", "quote", "--records", "20")
    [one] = found["measurements"]
    assert (one["records"], one["failures"], one["published"]) == (20, {}, {})
    assert one["notes"] == ["its answers are dropped: nobody asked"]
    assert (found["settings"]["seconds"], found["settings"]["rounds"]) == (30.0, 1)


def test_a_handler_of_batches_takes_batches(desk):
    [one] = desk.bench("handler", "many", "--records", "500")["measurements"]
    assert (one["records"], one["batch"]) == (500, 50)
    assert 10 <= one["calls"] < 500


def test_a_handler_that_never_succeeds_is_ended_by_the_time(desk):
    [one] = desk.bench("handler", "hopeless", "--records", "50", "--seconds", "0.5")["measurements"]
    assert one["became"] == {"unsettled": 50}
    assert one["failures"]["RuntimeError"] > 4
    assert (one["records_per_second"], one["cpu_us_per_record"]) == (0, 0)
    assert "no record was settled" in one["notes"][0]


def test_the_last_records_of_the_topic_are_read_without_a_group(shop):
    def write(admin):
        producer = shop.clients.producer({"linger.ms": 0})
        for n in range(90):
            value = json.dumps({"order_id": f"real-{n}", "number": n}).encode()
            producer.produce(shop.topics["orders"], value, b"k%d" % n, [("ce_type", b"order.placed")], -1, None)
        assert producer.close(20) == 0

    shop.ask(write)
    shop.before = shop.everything()
    [one] = shop.bench("handler", "bill", "--last", "30", "--records", "60")["measurements"]
    assert one["source"] == f"the last 30 of {shop.topics['orders']}: 30 records, repeated"
    seen = [order.order_id for order in shop.module.calls]
    assert len(seen) == 60
    assert len(set(seen)) == 30
    assert set(seen) <= {f"real-{n}" for n in range(90)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "absent.jsonl"], "absent.jsonl cannot be read"),
        (["--from", "empty.jsonl"], "empty.jsonl holds no records"),
        (["--from", "bad.jsonl"], "bad.jsonl:2: "),
        (["--last", "5"], "there is no record in orders-"),
    ],
)
def test_records_that_cannot_be_had_are_told_with_their_place(desk, tmp_path, arguments, said):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "bad.jsonl").write_text('{"order_id": "o"}\n{"key": 5, "value": "x"}\n')
    done = CliRunner().invoke(kafkaboot, ["bench", "handler", "bill", *arguments, "--yes"], prog_name="kafkaboot")
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())
    assert desk.left() == set()


def test_an_external_broker_is_asked_for_and_a_no_leaves_it_alone(desk):
    def answer(*arguments, text=None):
        return CliRunner().invoke(kafkaboot, ["bench", *arguments], prog_name="kafkaboot", input=text)

    done = answer("latency", "--records", "5", text="n\n")
    assert done.exit_code == 1
    assert "is an external broker" in done.output
    assert "kafkaboot-bench-" in done.output
    done = answer("handler", "bill", text="n\n")
    assert "really happens" in done.output
    assert done.exit_code == 1
    assert not getattr(sys.modules.get(desk.package), "calls", [])
    done = answer("latency", "--records", "5", text="y\n")
    assert done.exit_code == 0, done.output
    assert "p99 ms" in done.output
    assert answer("latency", "--json").exit_code == 2
    assert desk.left() == set()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", [["produce"], ["consume"], ["latency"], ["transactions"], ["handler", "hopeless"]])
def test_a_signal_leaves_nothing_behind(desk, what, signum):
    records = "5000000" if "handler" not in what else "2000"
    command = [sys.executable, "-m", "kafkaboot", "bench", *what, "--records", records, "--seconds", "600", "--yes"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    try:
        eventually(lambda: desk.left() or process.poll() is not None, 60, lambda: "topics of the measurement")
        assert desk.left(), process.communicate()[0]  # the control
        process.send_signal(signum)
        written, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, written
    assert "interrupted: its topics are being deleted" in written
    assert desk.left() == set()
    assert desk.everything() == desk.before
