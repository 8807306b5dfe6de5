from __future__ import annotations

import json


def test_limits_that_contradict_each_other_are_named_with_what_to_do(shop, call):
    shop(
        "  kafka: {broker: embedded}\n"
        "  consumer: {session-timeout: 5s, drain-timeout: 40s, poll-records: 30000,\n"
        "    properties: {heartbeat.interval.ms: 5000, max.poll.interval.ms: 4000}}\n"
        "  producer: {properties: {acks: 1, enable.idempotence: false}}\n"
    )
    done = call("doctor", "--json")
    found = {one["subject"]: one for one in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert found["limits: heartbeat.interval.ms"]["verdict"] == "fail"
    assert found["limits: max.poll.interval.ms"]["verdict"] == "fail"
    assert found["limits: revoke-timeout"]["verdict"] == "fail"
    assert found["limits: drain-timeout"]["verdict"] == "warn"
    assert found["limits: poll-records"]["verdict"] == "warn"
    assert found["limits: acks"]["verdict"] == "warn"
    assert all(one["todo"] for one in found.values() if one["verdict"] != "ok")


def test_limits_that_contradict_transactional_handlers_are_named(shop, call):
    shop(
        "  kafka: {broker: embedded}\n"
        "  consumer: {session-timeout: 8s, transaction: {linger: 6s},\n"
        "    properties: {isolation.level: read_uncommitted}}\n"
        "  handlers: {bill: {transactional: true}}\n"
    )
    found = {one["subject"]: one for one in json.loads(call("doctor", "--json").stdout)}
    assert found["limits: transaction.timeout"]["verdict"] == "fail"
    assert found["limits: transaction.linger"]["verdict"] == "warn"
    assert found["limits: isolation.level"]["verdict"] == "fail"


def test_a_healthy_application_passes(shop, call):
    shop("  kafka: {broker: embedded}\n")
    done = call("doctor")
    assert done.exit_code == 0, done.output
    assert "ok    limits: they hold together" in done.output
    assert "FAIL" not in done.output


def test_a_wrong_configuration_fails_with_what_to_do(shop, call):
    shop("  kafka: {brokr: embedded}\n")
    done = call("doctor")
    assert done.exit_code == 1
    assert "did you mean `broker`?" in done.output


def test_a_broker_that_is_not_there_ends_with_4(shop, call):
    shop("  kafka: {bootstrap-servers: '127.0.0.1:1'}\n")
    done = call("doctor")
    assert done.exit_code == 4
    assert "127.0.0.1:1" in done.output


def test_a_property_that_librdkafka_does_not_know_fails(shop, call):
    shop("  kafka: {properties: {socket.timeout.mss: 5}}\n")
    done = call("doctor")
    assert done.exit_code == 1
    assert "did you mean `socket.timeout.ms`?" in done.output


def test_limits_of_a_named_producer_are_told_with_its_name(shop, call):
    shop(
        "  kafka: {broker: embedded}\n"
        "  producers: {audit: {delivery-timeout: 5ms, linger: 20ms}, bulk: {preset: high-throughput}}\n"
    )
    done = call("doctor", "--json")
    found = {one["subject"]: one for one in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert found["limits: delivery-timeout"]["todo"].startswith("raise kafkaboot.producers.audit.delivery-timeout")
    assert "limits: acks" not in found
