"""The order desk on a real Apache Kafka, fed and read by Kafka's own Java tools; and on a desk without one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kafkaboot.client import TP
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev import NotInstalledError, artefacts
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.dev.local import LocalKafka
from kafkaboot.observe import Metrics
from kafkaboot.producer import Producer
from kafkaboot.testing import TestApp, eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent
ORDERS = 200


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The sample application, alone in a folder."""
    for name in ("sample_app", "config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture
def start(desk: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    """Starts `kafkaboot run` in it; answers the process and the file that it writes to."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        output = desk / f"run-{len(started)}.out"
        with output.open("wb") as file:
            command = [sys.executable, "-m", "kafkaboot", "run", *arguments]
            process = subprocess.Popen(command, cwd=desk, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        started.append(process)
        eventually(
            lambda: "ready in " in output.read_text() or process.poll() is not None,
            90,
            lambda: f"it is ready:\n{output.read_text()}",
        )
        assert process.poll() is None, output.read_text()
        return process, output

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(40)


def order(number: int) -> str:
    lines = [{"item": "apples", "quantity": 2, "price": "1.20"}, {"item": "bread", "quantity": 1, "price": "3.80"}]
    return json.dumps({"order_id": f"o-{number}", "customer": f"c-{number % 7}", "lines": lines})


@pytest.mark.real_kafka
def test_orders_written_by_kafkas_own_producer_are_billed_by_the_sample_application(desk, start):
    try:
        artefacts.java(), artefacts.class_path()
    except NotInstalledError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must test against a real Kafka: {error}")
        pytest.skip(f"no real Kafka on this machine: {error}")
    process, output = start("--profile", "local")
    address = json.loads((desk / ".kafkaboot" / "broker.json").read_text())["address"]
    assert "local: Apache Kafka on the JVM" in output.read_text()
    tools = LocalKafka()  # not started: only its tools are used
    written = "".join(f"c-{number % 7}\t{order(number)}\n" for number in range(ORDERS))
    tools.tools(
        "org.apache.kafka.tools.ConsoleProducer",
        "--bootstrap-server",
        address,
        "--topic",
        "orders",
        "--property",
        "parse.key=true",
        stdin=written,
    )
    read = tools.tools(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "--bootstrap-server",
        address,
        "--topic",
        "invoices",
        "--from-beginning",
        "--max-messages",
        str(ORDERS),
        "--timeout-ms",
        "30000",
        "--property",
        "print.key=true",
        "--property",
        "print.headers=true",
    )
    invoices = {}
    for line in read.splitlines():
        headers, key, value = line.split("\t")
        assert "ce_type:invoice.issued" in headers
        invoice = json.loads(value)
        assert invoice["order_id"] == key
        invoices[key] = invoice
    assert set(invoices) == {f"o-{number}" for number in range(ORDERS)}
    assert {Decimal(invoice["net"]) for invoice in invoices.values()} == {Decimal("6.20")}
    assert {Decimal(invoice["amount"]) for invoice in invoices.values()} == {Decimal("7.38")}
    admin = ConfluentClients(KafkaSettings(bootstrap_servers=[address])).admin()
    stock = [TP("orders", at) for at in range(admin.topics(20)["orders"].partitions)]
    eventually(
        lambda: sum(one.offset or 0 for one in admin.group_offsets("stock", 10, stock).values()) == ORDERS,
        60,
        "the other group has reserved all of them as well",
    )
    admin.close()
    assert stop(process) == 0, output.read_text()
    text = output.read_text()
    assert f"bill     handled {ORDERS}  retried 0  failed 0\n" in text
    assert f"reserve  handled {ORDERS}  retried 0  failed 0\n" in text
    assert text.endswith("drained and stopped\n")


def test_make_run_needs_no_other_step_to_show_records_that_flow(desk, start):
    process, output = start("--profile", "dev", "--set", "shop.generator.rate=200", "--set", "shop.shelf-size=60")

    def tail(topic: str, count: int = 3) -> list[dict[str, object]]:
        done = subprocess.run(
            [sys.executable, "-m", "kafkaboot", "tail", topic, "--from", "beginning", "--count", str(count), "--json"],
            cwd=desk,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    invoice = tail("invoices")[0]["value"]
    assert Decimal(invoice["net"]) + Decimal(invoice["tax"]) == Decimal(invoice["amount"])
    assert tail("stock-alerts")[0]["value"]["left"] < 50
    entries = [line["value"] for line in tail("ledger", 400)]
    assert {entry["account"] for entry in entries} == {"receivables", "revenue"}
    sums: Counter[str] = Counter()
    for entry in entries:
        sums[entry["order_id"]] += Decimal(entry["amount"])
    assert sum(not left for left in sums.values()) > 100, "both entries of a booking are there"
    assert stop(process) == 0, output.read_text()
    (bill,) = [line for line in output.read_text().splitlines() if line.startswith("bill ") and "handled" in line]
    assert int(bill.split()[2]) > 3


def test_every_profile_of_the_sample_can_be_used(desk):
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9093", "KAFKA_USERNAME": "desk", "KAFKA_PASSWORD": "hunter2"}
    for profile in ("dev", "test", "local", "prod"):
        done = subprocess.run(
            [sys.executable, "-m", "kafkaboot", "config", "check", "--profile", profile],
            cwd=desk,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{profile}: {done.stderr}"
        assert "hunter2" not in done.stdout + done.stderr


def scraped(app: TestApp) -> str:
    """Its metrics as Prometheus gets them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{app.get(Metrics).exposition.port}/metrics", timeout=10) as answer:
        return answer.read().decode()


async def test_the_sample_answers_a_question_and_books_both_sides(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from sample_app.events import Entry, InvoiceIssued, Line, Quote, QuoteWanted

    with EmbeddedKafka() as broker:
        async with TestApp(broker, directory=ROOT, overrides={"kafkaboot.metrics.port": 0}) as app:
            wanted = QuoteWanted(lines=[Line(item="eggs", quantity=3, price=Decimal("0.35"))])
            quoted = await app.get(Producer).request("quotes", wanted, reply_type=Quote, timeout=60.0)
            assert quoted == Quote(net=Decimal("1.05"), amount=Decimal("1.25"))
            invoice = InvoiceIssued(order_id="o-1", net=Decimal("1.05"), tax=Decimal("0.20"), amount=Decimal("1.25"))
            await app.publish("invoices", invoice, key="o-1")
            await app.published("ledger", Entry, where=lambda entry: entry.account == "revenue")
            booked = {(entry.account, entry.amount) for entry in await app.all_published("ledger", Entry)}
            assert booked == {("receivables", Decimal("1.25")), ("revenue", Decimal("-1.25"))}
            told = 'kafkaboot_transactions_total{outcome="committed"}'
            await eventually_async(lambda: told in scraped(app), 30, "its metrics say so")


async def test_a_handler_of_the_sample_is_a_plain_function(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from sample_app.billing import bill
    from sample_app.events import Line, OrderPlaced
    from sample_app.settings import ShopSettings
    from sample_app.tax import Tax

    placed = OrderPlaced(order_id="o-1", customer="c-1", lines=[Line(item="eggs", quantity=3, price=Decimal("0.35"))])
    invoice = await bill(placed, Tax(ShopSettings(tax_rate=Decimal("0.19"))))
    assert (invoice.net, invoice.tax, invoice.amount) == (Decimal("1.05"), Decimal("0.20"), Decimal("1.25"))
