from __future__ import annotations


def test_a_broker_that_is_not_there_is_told_as_such_and_not_as_a_record_that_timed_out(shop, call):
    shop("  kafka: {bootstrap-servers: '127.0.0.1:1'}\n")
    done = call("publish", "orders", '{"order_id": "o-1"}')
    assert done.exit_code == 4, done.output
    assert "no broker answers" in done.output
    assert "timed out" not in done.output
