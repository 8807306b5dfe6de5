"""What is overheard becomes figures with the promised names, and is served where the settings say."""

from __future__ import annotations

import socket
import urllib.request
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kafkaboot import hooks
from kafkaboot.errors import ConfigurationError
from kafkaboot.observe import FAMILIES, Metrics, MetricsSettings
from kafkaboot.observe.prometheus import Exposition


@pytest.fixture
def metrics():
    made = Metrics(Exposition(MetricsSettings(port=0)))
    yield made
    made.exposition.stop()


def figures(text):
    """By name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_each_happening_has_its_figure(metrics):
    where, error = "orders[3]@7", ValueError("no")
    metrics.on_failure("bill", where, error, 1, 0.2)
    metrics.on_failure("bill", where, error, 2, None)
    metrics.on_dead_letter("bill", where, error, "orders.shop.dlt[0]@0")
    metrics.on_commit("shop", [("orders", 3, 8)], None)
    metrics.on_commit("shop", [("orders", 3, 8)], error)
    metrics.on_rebalance("shop", "assigned", [("orders", 3)])
    metrics.on_rebalance("shop", "revoked", [])
    metrics.on_circuit("psp", "open", "5 failures in a row")
    metrics.on_transaction("committed", 0.02)
    metrics.on_transaction("committed", 0.0)
    metrics.on_transaction("aborted", 3.0)
    found = figures(metrics.exposition.text())
    assert found["kafkaboot_retries_total", ("exception", "ValueError"), ("handler", "bill")] == 1
    assert found["kafkaboot_dead_letters_total", ("exception", "ValueError"), ("handler", "bill")] == 1
    assert found["kafkaboot_commits_total", ("group", "shop"), ("outcome", "committed")] == 1
    assert found["kafkaboot_commits_total", ("group", "shop"), ("outcome", "failed")] == 1
    assert found["kafkaboot_rebalances_total", ("group", "shop"), ("kind", "assigned")] == 1
    assert ("kafkaboot_rebalances_total", ("group", "shop"), ("kind", "revoked")) not in found, "nothing went"
    assert found["kafkaboot_circuit_state", ("circuit", "psp")] == 2
    assert found["kafkaboot_transactions_total", ("outcome", "committed")] == 2
    assert found["kafkaboot_transactions_total", ("outcome", "aborted")] == 1
    assert found[("kafkaboot_transaction_seconds_count",)] == 2, "one held nothing but offsets"
    assert found["kafkaboot_transaction_seconds_bucket", ("le", "0.025")] == 1


def test_it_hears_of_every_happening_and_each_state_of_a_circuit(metrics):
    """So that none is added to the hooks and forgotten here."""
    protocols = [one for name, one in vars(hooks).items() if name.startswith("On")]
    methods = {name for one in protocols for name in vars(one) if name.startswith("on_")}
    assert len(methods) >= 6
    assert methods == {name for name in dir(metrics) if name.startswith("on_")}
    for state in ("closed", "half-open", "open"):
        metrics.on_circuit("psp", state, "")


def test_no_label_can_have_a_value_for_each_record():
    assert {label for family in FAMILIES for label in family.labels} <= {
        "handler", "exception", "group", "kind", "outcome", "circuit",
    }  # fmt: skip


def test_they_are_served_until_the_end(metrics):
    metrics.exposition.start()
    metrics.on_transaction("committed", 0.02)
    address = f"http://127.0.0.1:{metrics.exposition.port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        assert 'kafkaboot_transactions_total{outcome="committed"} 1.0' in answer.read().decode()
    metrics.exposition.stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)


def test_two_applications_of_a_process_have_figures_of_their_own(metrics):
    other = Metrics(Exposition(MetricsSettings(port=0)))
    other.on_transaction("committed", 0.02)
    assert 'transactions_total{outcome="committed"}' not in metrics.exposition.text()


def test_a_port_that_is_taken_is_told_with_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}: Address already in use") as failed:
            Exposition(MetricsSettings(port=port)).start()
    assert failed.value.where == "kafkaboot.metrics"
    assert "KB_WORKER" in failed.value.todo


def test_control_a_listener_that_counts_nothing_shows_nothing(metrics):
    silent = SimpleNamespace(count=lambda *_: None)
    Metrics(silent).on_commit("shop", [], None)  # type: ignore[arg-type]
    assert "commits_total{" not in metrics.exposition.text()
