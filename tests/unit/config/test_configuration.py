from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from kafkaboot.config import Configuration, InvalidConfigurationError, ProfilesSettings, load


class Consumer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    preset: str = "safe"
    max_records: int = 500


class Registry(BaseModel):
    url: str


class Shop(BaseModel):
    code: str = "x"
    pin: SecretStr = SecretStr("")


SECTIONS = {"kafkaboot.consumer": Consumer, "kafkaboot.schema-registry": Registry, "shop": Shop}


def configured(tmp_path: Path, text: str = "", *overrides: str, **environ: str) -> Configuration:
    (tmp_path / "application.yaml").write_text(text)
    return load(directory=tmp_path, overrides=overrides, environ=environ)


def problems(found: Configuration, **more: type) -> list[str]:
    with pytest.raises(InvalidConfigurationError) as caught:
        found.check({**SECTIONS, **more})
    return [str(each) for each in caught.value.problems]


def test_a_section_that_nobody_knows_is_refused_with_a_suggestion(tmp_path):
    found = configured(tmp_path, "kafkaboot:\n  consumr: {preset: safe}\n", KAFKABOOT_PRODUCR_PRESET="safe")
    assert problems(found) == [
        "application.yaml:2: unknown key `kafkaboot.consumr`\n    To do: did you mean `consumer`?",
        (
            "environment variable KAFKABOOT_PRODUCR_PRESET: unknown key `kafkaboot.producr-preset`\n"
            "    To do: keys that exist: config, consumer, profiles, schema-registry"
        ),
    ]


def test_a_check_finds_what_is_wrong_in_every_section(tmp_path):
    text = "kafkaboot:\n  consumer: {max-records: x}\n  schema-registry: {}\n"
    assert problems(configured(tmp_path, text)) == [
        "application.yaml:2: `kafkaboot.consumer.max-records` is 'x': a whole number is wanted",
        "`kafkaboot.schema-registry.url` has no value\n    To do: set `kafkaboot.schema-registry.url`",
    ]


def test_a_section_that_nobody_mentions_needs_nothing(tmp_path):
    configured(tmp_path, "kafkaboot: {consumer: {preset: safe}}").check(SECTIONS)


def test_kafkaboot_itself_is_a_map(tmp_path):
    with pytest.raises(InvalidConfigurationError) as caught:
        configured(tmp_path, "kafkaboot: on\n")
    assert str(caught.value) == (
        "application.yaml:1: `kafkaboot` is a scalar: a map is wanted\n  To do: write its keys below it"
    )


def test_variables_that_kubernetes_sets_for_services_are_no_keys(tmp_path):
    configured(
        tmp_path,
        "",
        KAFKABOOT_SERVICE_HOST="10.0.0.1",
        KAFKABOOT_PORT="tcp://10.0.0.1:8080",
        KAFKABOOT_PORT_8080_TCP_ADDR="10.0.0.1",
        KAFKABOOT_CONSUMER_SERVICE_PORT_HTTP="80",
    ).check(SECTIONS)


def test_a_key_is_explained_from_what_counts_down_to_the_default(tmp_path):
    found = configured(
        tmp_path,
        "kafkaboot:\n  consumer:\n    max_records: 1\n",
        "kafkaboot.consumer.maxRecords=3",
        KAFKABOOT_CONSUMER_MAX_RECORDS="2",
    )
    found.check(SECTIONS)
    explained = [
        (each.key, each.value, str(each.origin), each.wins) for each in found.explain("kafkaboot.consumer.max-records")
    ]
    assert explained == [
        ("kafkaboot.consumer.max-records", 3, "--set kafkaboot.consumer.maxRecords", True),
        ("kafkaboot.consumer.max-records", 2, "environment variable KAFKABOOT_CONSUMER_MAX_RECORDS", False),
        ("kafkaboot.consumer.max-records", 1, "application.yaml:3", False),
        ("kafkaboot.consumer.max-records", 500, "default of Consumer", False),
    ]


def test_a_default_counts_where_nothing_is_written(tmp_path):
    found = configured(tmp_path)
    found.check(SECTIONS)
    assert [(each.value, each.wins) for each in found.explain("kafkaboot.consumer.preset")] == [("safe", True)]


def test_a_key_that_does_not_exist_is_explained_by_a_suggestion(tmp_path):
    found = configured(tmp_path)
    found.check(SECTIONS)
    with pytest.raises(InvalidConfigurationError, match="there is no key") as caught:
        found.explain("kafkaboot.consumer.presets")
    assert caught.value.todo == "did you mean `kafkaboot.consumer.preset`?"


def test_entries_are_spelled_as_people_write_them_with_their_origins(tmp_path):
    found = configured(
        tmp_path, "kafkaboot: {consumer: {maxRecords: 1}}\nshop: {code: 012}\nother.x: 1\n", SHOP_PIN="1"
    )
    found.check(SECTIONS)
    assert [(each.key, each.value, str(each.origin)) for each in found.entries()] == [
        ("kafkaboot.consumer.max-records", 1, "application.yaml:1"),
        ("other.x", 1, "application.yaml:3"),
        ("shop.code", "012", "application.yaml:2"),
        ("shop.pin", "******", "environment variable SHOP_PIN"),
    ]
    assert "kafkaboot.consumer.preset" in {each.key for each in found.entries(defaults=True)}


def test_a_variable_shows_even_before_any_section_is_known(tmp_path):
    [entry] = configured(tmp_path, "", KAFKABOOT_KAFKA_SASL_PASSWORD="canary").entries()
    assert (entry.key, entry.value, entry.masked) == ("kafkaboot.kafka.sasl.password", "******", True)


def test_the_rooms_own_section_is_bound_like_any_other(tmp_path):
    found = configured(tmp_path, "kafkaboot: {profiles: {group: {all: 'a, b'}}}")
    assert found.bind("kafkaboot.profiles", ProfilesSettings).group == {"all": ["a", "b"]}


def test_the_door_loads_no_stranger():
    code = (
        "import sys; import kafkaboot.config; "
        "print([each for each in ('yaml', 'pydantic', 'pydantic_settings') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bound_model_does_not_load_pydantic_settings(tmp_path):
    (tmp_path / "application.yaml").write_text("kafkaboot: {profiles: {active: []}}")
    code = (
        "import sys; from kafkaboot.config import load, ProfilesSettings; "
        f"load(directory={str(tmp_path)!r}).bind('kafkaboot.profiles', ProfilesSettings); "
        "print('pydantic_settings' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
