from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from kafkaboot.boot import analysis
from kafkaboot.boot.application import Application
from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.facts import Narrator

SHOP = """
import os, signal

class Order(BaseModel):
    order_id: str

class Invoice(BaseModel):
    order_id: str

SEEN = []

@component
class Tax:
    @on_start
    async def open(self):
        SEEN.append("open")

    @on_stop
    def shut(self):
        SEEN.append("shut")

@component
class Desk:
    def __init__(self, tax: Tax) -> None:
        self.tax = tax

    @event_handler("orders", id="bill")
    @publisher("invoices", key="order_id")
    async def bill(self, order: Order) -> Invoice:
        SEEN.append(order.order_id)
        await self.note(order)
        if order.order_id == "o-2":
            os.kill(os.getpid(), signal.SIGTERM)
        return Invoice(order_id=order.order_id)

    @publisher("audit", key="order_id")
    async def note(self, order: Order) -> Order:
        return order
"""


class Heard(Narrator):
    """Remembers what was told."""

    def __init__(self):
        self.told = []

    def configured(self, configuration):
        self.told.append("configured")

    def wired(self, wired):
        self.told.append("wired")
        self.facts = wired

    def ready(self, ready):
        self.told.append("ready")
        self.at = ready

    def stopping(self, reason):
        self.told.append(f"stopping: {reason}")

    def stopped(self, stopped):
        self.told.append("stopped")
        self.end = stopped

    def failed(self, found, error):
        self.told.append("failed")
        self.analysis = found


def run(shop, **options):
    heard = Heard()
    code = Application(directory=shop.folder, environ={}, narrator=heard, **options).run()
    return code, heard


def test_records_are_handled_until_sigterm_drains_and_everything_is_stopped_in_reverse(shop):
    shop.handlers(SHOP)

    code, heard = run(shop, overrides=["kafkaboot.kafka.topics=off"])

    assert code == analysis.DRAINED == 0, getattr(heard, "analysis", None)
    assert shop.module("handlers").SEEN == ["open", "o-1", "o-2", "shut"]
    assert heard.told == ["configured", "wired", "ready", "stopping: SIGTERM", "stopped"]
    assert (heard.at.broker, heard.at.created_topics) == ("nowhere:9092", [])
    assert heard.end.drained
    (tally,) = heard.end.tallies
    assert (tally.id, tally.handled, tally.failed) == ("bill", 2, 0)
    clients = shop.module("clients")
    assert list(clients.COMMITTED.values()) == [2]
    assert sorted(clients.PRODUCED) == [
        ("audit", b"o-1", b'{"order_id":"o-1"}'),
        ("audit", b"o-2", b'{"order_id":"o-2"}'),
        ("invoices", b"o-1", b'{"order_id":"o-1"}'),
        ("invoices", b"o-2", b'{"order_id":"o-2"}'),
    ]


def test_the_table_of_handlers_needs_no_broker_and_builds_nothing(shop):
    shop.handlers(SHOP)
    application = Application(directory=shop.folder, environ={})

    (row,) = application.describe_handlers()
    assert (row.id, row.topics, row.group, row.publishes) == ("bill", ("orders",), shop.name, ("invoices",))
    assert row.where.endswith("handlers.py:28")
    assert shop.module("handlers").SEEN == []


def test_a_missing_topic_fails_the_start_before_anything_of_the_application_starts(shop):
    shop.handlers(SHOP)

    code, heard = run(shop)

    assert code == analysis.FAILED == 1
    assert shop.module("handlers").SEEN == []
    assert heard.told[-1] == "failed"
    assert heard.analysis.title == "a topic is missing"
    assert "topic 'audit' does not exist\n  Desk.note publishes to it (" in heard.analysis.happened


def test_a_broker_that_does_not_answer_is_code_4(shop):
    shop.handlers(SHOP)
    (shop.package / "trouble.py").write_text(f"from {shop.name}.clients import TROUBLE\nTROUBLE['broker'] = True\n")

    code, heard = run(shop)
    assert code == analysis.UNREACHABLE == 4
    assert heard.analysis.title == "no broker answers"


def test_a_wrong_configuration_is_code_3(shop):
    shop.handlers(SHOP)
    shop.yaml("  consumer: {drain-timeuot: 10s}\n")

    code, heard = run(shop)
    assert code == analysis.CONFIGURATION == 3
    assert "application.yaml:3" in heard.analysis.happened
    assert "drain-timeout" in heard.analysis.todo


def test_an_excluded_feature_may_leave_its_section_behind_and_the_rest_runs(shop):
    shop.handlers(SHOP)
    shop.yaml(
        "  autoconfigure: {exclude: [topics, logging]}\n  topics: {audit: {partitions: 3}}\n  logging: {format: json}\n"
    )

    code, heard = run(shop)
    assert code == 0
    report = str(heard.facts.report)
    assert "topics (kafkaboot): excluded\n    no   kafkaboot.autoconfigure.exclude names it\n" in report
    assert "TopicCheck" not in report


def test_a_starter_that_cannot_be_loaded_fails_the_start_with_the_way_around_it(shop, monkeypatch):
    class Guest:
        name = "saga"
        dist = type("Distribution", (), {"name": "kafkaboot-saga", "version": "1.2"})

        def load(self):
            raise ImportError("No module named 'sqlmagic'")

    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [Guest()])
    shop.handlers(SHOP)

    code, heard = run(shop)
    assert code == 1
    assert str(heard.analysis) == (
        "The application did not start: starter\n"
        "\n"
        "What happened\n"
        "  the auto-configuration 'saga' of kafkaboot-saga 1.2 cannot be loaded: "
        "ImportError: No module named 'sqlmagic'\n"
        "\n"
        "What to do\n"
        "  repair or uninstall it, or leave it out: kafkaboot.autoconfigure.exclude: [saga]"
    )
    code, _ = run(shop, overrides=["kafkaboot.autoconfigure.exclude=saga", "kafkaboot.kafka.topics=off"])
    assert code == 0


def test_a_guests_component_starts_before_the_applications_own_and_hears_the_consumer(shop, monkeypatch):
    shop.handlers(SHOP)
    order, heard_of = [], []

    class Ear:
        def on_rebalance(self, group, kind, partitions):
            heard_of.append((kind, partitions))

    def ear() -> Ear:
        return Ear()

    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [Entry()])
    offers = (
        Offer(ear, provides=Ear, starts=(lambda _: order.append("ear"),), stops=(lambda _: order.append("deaf"),)),
    )

    class Entry:
        name, dist = "ears", None

        def load(self):
            return AutoConfiguration("ears", offers=offers)

    code, heard = run(shop, overrides=["kafkaboot.kafka.topics=off"])
    assert code == 0
    assert order == ["ear", "deaf"]
    assert heard_of[0] == ("assigned", [("orders", 0)])
    built = [one.name for one in heard.facts.report.components]
    assert built.index("ear") < built.index("Tax") < built.index("Desk")


def test_a_dead_subscription_is_code_6(shop):
    shop.handlers(SHOP.replace("os.kill(os.getpid(), signal.SIGTERM)", "from shop.clients import TROUBLE; TROUBLE['poll'] = True").replace("shop.clients", f"{shop.name}.clients"))  # fmt: skip # noqa: E501

    code, heard = run(shop, overrides=["kafkaboot.kafka.topics=off"])
    assert code == analysis.DIED == 6
    assert heard.told[-2].startswith(f"stopping: group {shop.name} died: ")


def test_a_group_that_cannot_start_stops_those_that_have(shop):
    shop.handlers(
        """
        @event_handler("orders", group="first")
        async def first(order: dict) -> None: ...

        @event_handler("orders", group="refused")
        async def later(order: dict) -> None: ...
        """
    )
    (shop.package / "trouble.py").write_text(f"from {shop.name}.clients import TROUBLE\nTROUBLE['refused'] = True\n")

    code, heard = run(shop, overrides=["kafkaboot.kafka.topics=off"])
    assert (code, heard.analysis.happened) == (1, "group refused is refused")
    assert shop.module("clients").CLOSED == ["first"]


def test_records_undrained_at_the_deadline_are_code_5(shop):
    shop.handlers(
        """
        import os, signal, threading

        RELEASE = threading.Event()

        class Order(BaseModel):
            order_id: str

        @event_handler("orders")
        def bill(order: Order) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            RELEASE.wait(30)
        """
    )

    code, heard = run(shop, overrides=["kafkaboot.consumer.drain-timeout=100ms"])
    shop.module("handlers").RELEASE.set()
    assert code == analysis.UNDRAINED == 5
    assert not heard.end.drained
    assert set(shop.module("clients").COMMITTED.values()) <= {0}


def test_a_signal_before_the_start_is_over_ends_it(shop):
    shop.handlers(
        """
        import asyncio, os, signal

        SEEN = []

        @component
        class Slow:
            @on_start
            async def open(self):
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(30)

            @on_stop
            async def shut(self):
                SEEN.append("shut")
        """
    )

    code, heard = run(shop)
    assert code == 0
    assert shop.module("handlers").SEEN == ["shut"]
    assert "ready" not in heard.told


def test_nothing_to_run_says_how_to_name_a_package(tmp_path):
    heard = Heard()
    code = Application(directory=tmp_path, environ={}, narrator=heard).run()

    assert code == 3
    assert heard.analysis.happened == f"{tmp_path}: there is nothing to run: no package is named"
    assert heard.analysis.todo == (
        "name one: kafkaboot.application.packages: [shop] in application.yaml, or `kafkaboot run shop`"
    )


def test_a_yaml_file_that_is_not_there_is_told_as_a_file_and_not_as_a_package(tmp_path):
    heard = Heard()
    code = Application("nosuch.yaml", directory=tmp_path, environ={}, narrator=heard).run()

    assert code == 3
    assert f"{tmp_path / 'nosuch.yaml'} does not exist" in heard.analysis.happened


@pytest.mark.parametrize("app", ["package", "folder", "file", "config folder"])
def test_the_application_may_be_a_package_a_folder_or_a_file(shop, app, tmp_path, monkeypatch):
    shop.handlers(SHOP)
    monkeypatch.chdir(tmp_path)
    named = {
        "package": shop.name,
        "folder": ".",
        "file": "application.yaml",
        "config folder": "config/application.yaml",
    }
    if app == "config folder":
        (tmp_path / "config").mkdir()
        (tmp_path / "application.yaml").rename(tmp_path / "config" / "application.yaml")
    elif app == "package":
        (tmp_path / "application.yaml").unlink()

    application = Application(named[app], environ={})
    assert [row.id for row in application.describe_handlers()] == ["bill"]
    assert application.blueprint.application.name == shop.name


def test_two_runs_in_one_process_do_not_share_anything(shop):
    shop.handlers(SHOP)

    for _ in range(2):
        shop_clients = sys.modules.get(f"{shop.name}.clients")
        if shop_clients is not None:
            shop_clients.COMMITTED.clear()
        code, heard = run(shop, overrides=["kafkaboot.kafka.topics=off"])
        assert (code, heard.end.tallies[0].handled) == (0, 2)
    assert threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_at_once_even_while_a_handler_blocks_the_loop(shop, number, code):
    shop.handlers(
        f"""
        import os, time

        class Order(BaseModel):
            order_id: str

        @event_handler("orders")
        async def bill(order: Order) -> None:
            print("handling", flush=True)
            os.kill(os.getpid(), {int(number)})
            os.kill(os.getpid(), {int(number)})
            time.sleep(60)
        """
    )
    program = textwrap.dedent(
        f"""
        import sys
        from kafkaboot.boot.application import Application
        sys.exit(Application(directory={str(shop.folder)!r}, environ={{}}).run())
        """
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.stdout, ended.returncode) == ("handling\n", code)
