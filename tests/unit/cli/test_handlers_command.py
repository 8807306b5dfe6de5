from __future__ import annotations

import json

from tests.unit.cli.conftest import HANDLERS


def test_the_table_has_a_line_a_handler_with_where_it_is_defined(shop, call):
    shop("  handlers: {bill: {ordering: key}}\n")
    done = call("handlers")
    assert done.exit_code == 0
    head, line = done.output.splitlines()
    assert head.split() == [
        "handler", "topics", "group", "ordering", "retry", "dead", "letters", "defined", "at",
    ]  # fmt: skip
    assert line.split()[:8] == ["bill", "orders", "->", "invoices", "shop", "key", "default", "orders.shop.dlt"]
    assert "/__init__.py:" in line


PATIENT = "  retry: {default: {topics: [5s, 90s], keep-order: key}}\n"


def test_a_handler_with_retry_topics_is_shown_with_them_and_with_what_becomes_of_its_records_in_the_end(shop, call):
    shop(PATIENT + "  handlers: {bill: {on-exhausted: stop}}\n")
    assert "  default, topics 5s 90s, keep-order key  stop  " in call("handlers").output
    (found,) = json.loads(call("handlers", "--json").stdout)
    assert found["retry_topics"] == ["orders.shop.retry.5s"], "with an order to keep there is one"
    assert (found["keep_order"], found["on_exhausted"], found["dead_letters"]) == ("key", "stop", [])
    shop(PATIENT.replace(", keep-order: key", ""))
    (found,) = json.loads(call("handlers", "--json").stdout)
    assert found["retry_topics"] == ["orders.shop.retry.5s", "orders.shop.retry.90s"]
    assert found["dead_letters"] == ["orders.shop.dlt"]


def test_dead_letters_of_topics_by_a_pattern_and_of_nobody(shop, call):
    shop(code=HANDLERS.replace('event_handler("orders")', 'event_handler(pattern="orders-.*")'))
    assert "  {topic}.shop.dlt  " in call("handlers").output
    shop("  autoconfigure: {exclude: [dead-letter]}\n")
    assert "  default  none  " in call("handlers").output


def test_json_has_all_that_is_known_of_a_handler(shop, call):
    shop()
    (found,) = json.loads(call("handlers", "--json").stdout)
    assert found["id"] == "bill"
    assert found["topics"] == ["orders"]
    assert found["type"] == "order.placed"
    assert found["publishes"] == ["invoices"]


def test_a_package_that_fails_to_import_ends_with_1_and_its_line(shop, call):
    shop(code="import json\n\nimport notthere\n")
    done = call("handlers")
    assert done.exit_code == 1
    assert "__init__.py:3" in done.output
    assert "install what provides 'notthere'" in done.output
    assert "Traceback" not in done.output


def test_a_folder_without_an_application_says_what_to_write(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    done = call("handlers")
    assert done.exit_code == 3
    assert "kafkaboot.application.packages: [shop]" in done.output


def test_the_application_may_be_a_folder_somewhere_else(shop, call, tmp_path, monkeypatch):
    folder = shop()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert "bill" in call("handlers", str(folder)).output
