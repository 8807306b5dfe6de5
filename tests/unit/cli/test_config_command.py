from __future__ import annotations

import json


def test_show_tells_every_value_with_its_origin_and_masks_secrets(shop, call):
    shop("shop: {rate: 7, api-key: hunter2}\n")
    text = call("config", "show").output
    assert "application.yaml:3" in text
    assert "shop.rate" in text
    assert "hunter2" not in text
    assert "******" in text


def test_show_as_json_can_be_limited_to_a_section_and_shows_defaults(shop, call):
    shop()
    found = json.loads(call("config", "show", "kafkaboot.consumer", "--defaults", "--json").stdout)
    drain = next(one for one in found if one["key"] == "kafkaboot.consumer.drain-timeout")
    assert drain["origin"].startswith("default")
    assert {one["key"].split(".")[1] for one in found} == {"consumer"}


def test_show_works_where_the_configuration_is_wrong(shop, call):
    shop("  consumer: {drain-timeut: 3s, poll-records: 7}\n")
    done = call("config", "show")
    assert done.exit_code == 0
    assert "kafkaboot.consumer.poll-records" in done.output
    assert "`kafkaboot config check` says why" in done.output


def test_check_ends_with_3_and_names_the_line_and_the_nearest_key(shop, call):
    shop("  consumer: {drain-timeut: 3s}\n")
    done = call("config", "check")
    assert done.exit_code == 3
    assert "application.yaml:3: unknown key `kafkaboot.consumer.drain-timeut`" in done.output
    assert "did you mean `drain-timeout`?" in done.output
    assert "1 problem" in done.output


def test_check_as_json_lists_all_problems(shop, call):
    shop("  consumer: {drain-timeut: 3s, poll-records: many}\n")
    done = call("config", "check", "--json")
    assert done.exit_code == 3
    assert {one["key"] for one in json.loads(done.stdout)} == {
        "kafkaboot.consumer.drain-timeut",
        "kafkaboot.consumer.poll-records",
    }


def test_check_looks_at_the_applications_own_section_too(shop, call):
    shop("shop: {rate: lots}\n")
    done = call("config", "check")
    assert done.exit_code == 3
    assert "application.yaml:3" in done.output
    shop("shop: {rate: 3}\n")
    assert call("config", "check").exit_code == 0


def test_explain_tells_what_a_value_overrode(shop, call):
    shop("shop: {rate: 7}\n")
    text = call("config", "explain", "shop.rate", "--set", "shop.rate=9").output
    assert "shop.rate = 9  (--set shop.rate)" in text
    assert "instead of 7  (application.yaml:3)" in text
    assert "instead of 5  (default" in text


def test_explain_of_an_unknown_key_ends_with_3_and_a_suggestion(shop, call):
    shop()
    done = call("config", "explain", "shop.ratte")
    assert done.exit_code == 3
    assert "did you mean `shop.rate`?" in done.output


def test_the_schema_is_draft_7_with_the_applications_own_section(shop, call):
    shop()
    schema = json.loads(call("config", "schema").stdout)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "rate" in json.dumps(schema["properties"]["shop"]) + json.dumps(schema["definitions"])
    assert "consumer" in schema["properties"]["kafkaboot"]["properties"]


def test_the_schema_of_no_application_holds_kafkaboots_own_sections(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    done = call("config", "schema", "--output", "schema.json")
    assert done.exit_code == 0
    assert "without the application's own sections" in done.output
    assert "consumer" in json.loads((tmp_path / "schema.json").read_text())["properties"]["kafkaboot"]["properties"]


def test_check_ends_with_3_where_a_package_that_is_named_does_not_exist(shop, call, tmp_path):
    shop()
    (tmp_path / "application.yaml").write_text("kafkaboot: {application: {packages: [nothere]}}\n")
    done = call("config", "check")
    assert done.exit_code == 3
    assert "there is no package or module 'nothere'" in done.output
    (found,) = json.loads(call("config", "check", "--json").stdout)
    assert "nothere" in found["text"]
