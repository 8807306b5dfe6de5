from __future__ import annotations

import os
from pathlib import Path

import pytest

from kafkaboot.config import Configuration, InvalidConfigurationError, load


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / (name.replace("__", "/").replace("_", "-") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def reading(folder: Path, *locations: str, **options) -> Configuration:
    return load(locations, directory=folder, **{"environ": {}, **options})


def refusal(folder: Path, *locations: str, **options) -> str:
    with pytest.raises(InvalidConfigurationError) as caught:
        reading(folder, *locations, **options)
    return str(caught.value)


def test_every_source_overrides_the_one_below(tmp_path):
    write(
        tmp_path,
        application="{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, kafkaboot: {config: {import: more.yaml}}}",
        application_dev="{b: 2, c: 2, d: 2, e: 2, f: 2}",
        more="{c: 3, d: 3, e: 3, f: 3}",
    )
    (tmp_path / ".env").write_text("SHOP_D=4\nSHOP_E=4\nSHOP_F=4\n")
    write(
        tmp_path,
        application="shop: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1}\nkafkaboot: {config: {import: more.yaml}}",
        application_dev="shop: {b: 2, c: 2, d: 2, e: 2, f: 2}",
        more="shop: {c: 3, d: 3, e: 3, f: 3}",
    )
    found = reading(
        tmp_path,
        profiles=["dev"],
        environ={"SHOP_E": "5", "SHOP_F": "5"},
        overrides=["shop.f=6"],
        defaults={"shop.a": 0, "shop.z": 0},
    )
    assert [found.get(f"shop.{key}") for key in "zabcdef"] == [0, 1, 2, 3, 4, 5, 6]


def test_lists_replace_and_maps_merge(tmp_path):
    write(
        tmp_path, application="a: {list: [1, 2, 3], map: {x: 1, y: 1}}", application_dev="a: {list: [9], map: {y: 2}}"
    )
    assert reading(tmp_path, profiles=["dev"]).get("a") == {"list": [9], "map": {"x": 1, "y": 2}}


def test_the_folder_config_stands_above_the_directory(tmp_path):
    write(tmp_path, application="{a: 1, b: 1}", config__application="b: 2")
    found = reading(tmp_path)
    assert (found.get("a"), found.get("b")) == (1, 2)
    assert [str(each) for each in found.sources] == [
        "application.yaml",
        "config/application.yaml",
        "environment (0 variables)",
    ]


def test_no_file_at_all_is_a_configuration_too(tmp_path):
    found = reading(tmp_path)
    assert (found.get("a"), found.profiles) == (None, ("default",))


def test_a_location_that_is_missing_is_an_error(tmp_path):
    assert refusal(tmp_path, "nowhere") == (
        "--config nowhere: nowhere does not exist\n  To do: name a file, or a folder with application.yaml"
    )


def test_a_location_is_a_file_with_its_own_profiles_or_a_folder(tmp_path):
    write(tmp_path, shop="a: 1", shop_dev="a: 2", deep__application="b: 3", application="c: 4")
    found = reading(tmp_path, "shop.yaml", "deep", profiles=["dev"])
    assert [found.get(key) for key in "abc"] == [2, 3, None]


def test_both_suffixes_side_by_side_are_refused(tmp_path):
    write(tmp_path, application="a: 1")
    (tmp_path / "application.yml").write_text("a: 2")
    assert "application.yaml and application.yml stand side by side" in refusal(tmp_path)


def test_a_document_belongs_to_the_profiles_that_it_names(tmp_path):
    text = "a: 1\n---\non-profile: prod & !eu\na: 2\n---\nkafkaboot.config.activate.on-profile: [eu, test]\na: 3\n"
    write(tmp_path, application=text)
    answers = [reading(tmp_path, profiles=each).get("a") for each in ([], ["prod"], ["eu"], ["prod,eu"], ["test"])]
    assert answers == [1, 2, 3, 3, 3]


def test_what_says_the_profile_is_no_value(tmp_path):
    write(tmp_path, application="kafkaboot: {config: {activate: {on-profile: dev}}}\na: 1\n")
    assert [entry.key for entry in reading(tmp_path, profiles=["dev"]).entries()] == ["a"]


def test_profiles_come_from_the_flag_else_the_environment_else_the_file(tmp_path):
    write(tmp_path, application="kafkaboot: {profiles: {active: one}}")
    known = {"known_profiles": {"one", "two", "three", "four"}}
    environ = {"KAFKABOOT_PROFILES_ACTIVE": "two, three"}
    assert reading(tmp_path, **known).profiles == ("one",)
    assert reading(tmp_path, environ=environ, **known).profiles == ("two", "three")
    assert reading(tmp_path, environ=environ, profiles=["four"], **known).profiles == ("four",)


def test_a_group_brings_its_members_and_a_circle_of_groups_ends(tmp_path):
    write(tmp_path, application="kafkaboot: {profiles: {group: {all: [dev, more], more: [eu, all]}}}")
    assert reading(tmp_path, profiles=["all"]).profiles == ("all", "dev", "more", "eu")


def test_a_profile_to_which_nothing_belongs_is_refused_with_what_there_is(tmp_path):
    write(tmp_path, config__application="a: 1\n---\non-profile: local\na: 2\n", config__application_prod="a: 3")
    assert refusal(tmp_path, profiles=["prd"]) == (
        "--profile prd: nothing belongs to the profile `prd`; looked for application-prd.yaml, application-prd.yml,"
        " config/application-prd.yaml, config/application-prd.yml, for a document with `on-profile` and for a group;"
        " profiles that exist: default, local, prod\n"
        "  To do: did you mean `prod`? Else create config/application-prd.yaml"
    )


def test_a_missing_profile_of_the_environment_names_the_variable(tmp_path):
    assert refusal(tmp_path, environ={"KAFKABOOT_PROFILES_ACTIVE": "prd"}).startswith(
        "environment variable KAFKABOOT_PROFILES_ACTIVE: nothing belongs to the profile `prd`"
    )


@pytest.mark.parametrize("profile", ["local", "prod", "all"])
def test_a_document_a_file_or_a_group_makes_a_profile_exist(tmp_path, profile):
    group = "kafkaboot: {profiles: {group: {all: [prod]}}}"
    write(tmp_path, application=f"{group}\n---\non-profile: local\na: 2\n", application_prod="a: 3")
    assert profile in reading(tmp_path, profiles=[profile]).profiles


def test_a_document_for_a_profile_cannot_say_which_profiles_are_active(tmp_path):
    write(tmp_path, application="a: 1", application_dev="kafkaboot: {profiles: {active: prod}}")
    assert "application-dev.yaml:1: `kafkaboot.profiles.active` stands where only a profile leads" in refusal(
        tmp_path, profiles=["dev"]
    )


@pytest.mark.parametrize("text", ["prod &", "(a", "a b", "!", "a | | b", "(" * 5000, "a; b"])
def test_an_expression_that_cannot_be_read_is_refused(tmp_path, text):
    write(tmp_path, application=f"a: 1\n---\non-profile: '{text}'\na: 2\n")
    assert "cannot be read" in refusal(tmp_path)


def test_imports_are_relative_to_their_file_and_may_be_optional(tmp_path):
    write(
        tmp_path,
        config__application="kafkaboot: {config: {import: ['optional:gone.yaml', '${WHERE:sub}/more.yaml']}}",
        config__sub__more="a: 1\nkafkaboot: {config: {import: file:last.yaml}}",
        config__sub__last="b: 2\nkafkaboot: {config: {import: more.yaml}}",
    )
    found = reading(tmp_path)
    assert (found.get("a"), found.get("b")) == (1, 2)


def test_an_import_that_is_missing_names_the_line(tmp_path):
    write(tmp_path, application="kafkaboot:\n  config:\n    import: gone.yaml\n")
    assert refusal(tmp_path) == (
        "application.yaml:3: the file gone.yaml that is imported does not exist\n"
        "  To do: create it, or write `optional:gone.yaml` if it may be missing"
    )


def test_a_config_tree_is_one_secret_a_file(tmp_path):
    secrets = tmp_path / "secrets"
    (secrets / "..2024").mkdir(parents=True)
    (secrets / "..2024" / "hidden").write_text("x")
    (secrets / "kafkaboot.kafka.security.sasl.password").write_text("pa${ss\n")
    (secrets / "db").mkdir()
    (secrets / "db" / "user").write_text("me")
    write(tmp_path, application=f"kafkaboot: {{config: {{import: 'configtree:{secrets}/'}}}}\nwho: ${{db.user}}\n")
    found = reading(tmp_path)
    assert found.get("kafkaboot.kafka.security.sasl.password") == "pa${ss"
    assert found.get("who") == "me"
    assert {entry.key: entry.value for entry in found.entries()} == {
        "db.user": "******",
        "kafkaboot.config.import": f"configtree:{secrets}/",
        "kafkaboot.kafka.security.sasl.password": "******",
        "who": "******",
    }
    assert found.get("hidden") is None


def test_an_env_file_has_comments_quotes_and_exports(tmp_path):
    (tmp_path / ".env").write_text(
        "# comment\nexport SHOP_A=1 # one\n\nSHOP_B='two # ${x}'\nSHOP_C=\"th\\nree\"\nSHOP_D=a#b\nSHOP_E=\n"
    )
    found = reading(tmp_path, environ={"x": "X"})
    assert [found.get(f"shop.{key}") for key in "abcde"] == [1, "two # X", "th\nree", "a#b", ""]
    [entry] = [each for each in found.sources if each.kind == "env-file"]
    assert str(entry) == ".env (5 variables)"


@pytest.mark.parametrize("line", ["hunter2", "A B=hunter2", "A='hunter2"])
def test_a_line_of_an_env_file_that_cannot_be_read_is_not_repeated(tmp_path, line):
    (tmp_path / ".env").write_text(f"A=1\n{line}\n")
    text = refusal(tmp_path)
    assert text.startswith(".env:2: ")
    assert "hunter2" not in text


def test_a_flag_without_equals_is_refused_and_not_repeated(tmp_path):
    text = refusal(tmp_path, overrides=["a.b=1", "hunter2"])
    assert text == "--set: flag 2 of `--set` is no `name=value`\n  To do: write --set a.b=c"


def test_the_environment_of_the_process_is_read_only_by_default(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_A", "7")
    assert load(directory=tmp_path).get("shop.a") == 7
    assert load(directory=tmp_path, environ={}).get("shop.a") is None
    assert os.environ["SHOP_A"] == "7"
