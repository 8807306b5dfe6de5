from __future__ import annotations

import sys
import time

import pytest

from kafkaboot.config import InvalidConfigurationError
from kafkaboot.config.node import Branch, Leaf
from kafkaboot.config.yaml_source import parse_yaml, read_yaml


def refusal(text: str) -> str:
    with pytest.raises(InvalidConfigurationError) as caught:
        parse_yaml(text, "application.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("012", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("-3", -3),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        (".inf", float("inf")),
        ("true", True),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!float 3", 3.0),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(written, value):
    [document] = parse_yaml(f"a: {written}\n", "application.yaml")
    leaf = document.children["a"]
    assert isinstance(leaf, Leaf)
    assert (leaf.value, type(leaf.value)) == (value, type(value))


def test_a_scalar_keeps_its_text_and_its_place():
    [document] = parse_yaml("a:\n  b: 012\n", "application.yaml")
    branch = document.children["a"]
    assert isinstance(branch, Branch)
    leaf = branch.children["b"]
    assert isinstance(leaf, Leaf)
    assert leaf.text == "012"
    assert leaf.origin.exact == "application.yaml:2:6"


def test_a_key_that_stands_twice_is_refused_with_both_lines():
    assert refusal("kafka:\n  broker: local\n  port: 1\n  broker: embedded\n") == (
        "application.yaml:4: the key `broker` stands twice: in line 2 and in line 4\n"
        "  To do: delete one of the two lines"
    )


def test_a_tab_is_refused_with_line_column_and_advice():
    wanted = (
        "application.yaml:3:1: a tab in the indentation\n  To do: YAML is indented with spaces: put spaces for the tab"
    )
    assert refusal("a:\n  b: 1\n\tc: 2\n") == wanted
    assert refusal("a: 1\nb:\n\tc: 2\n") == wanted


def test_a_tab_inside_of_a_value_is_no_trouble():
    [document] = parse_yaml("a: b\tc\n", "application.yaml")
    assert document.children["a"].text == "b\tc"


def test_a_placeholder_in_a_flow_map_gets_the_advice_to_quote_it():
    assert refusal("kafka: {servers: ${URL:x}}\n").endswith("To do: put quotes around the value that begins with `${`")


def test_documents_are_split_and_empty_ones_left_out():
    documents = parse_yaml("a: 1\n---\n---\nb: 2\n", "application.yaml")
    assert [list(each.children) for each in documents] == [["a"], ["b"]]


def test_a_document_that_is_a_list_is_refused():
    assert refusal("- a\n") == (
        "application.yaml:1:1: a configuration is a map of names to values\n  To do: begin with `name: value`"
    )


def test_merge_keys_fill_in_what_is_not_written_out():
    [document] = parse_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", "application.yaml")
    merged = document.children["y"]
    assert isinstance(merged, Branch)
    assert {name: leaf.value for name, leaf in merged.children.items()} == {"a": 1, "b": 3}


def test_a_billion_laughs_are_refused_before_they_are_told():
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    began = time.perf_counter()
    text = refusal("\n".join(lines))
    assert "more than 20000 values in one document, with its aliases unfolded" in text
    assert time.perf_counter() - began < 1


def test_few_aliases_are_no_laughing_matter():
    [document] = parse_yaml("a: &a [1, 2]\nb: [*a, *a]\n", "application.yaml")
    assert list(document.children) == ["a", "b"]


def test_an_alias_inside_of_what_it_means_is_refused():
    assert "`*a` stands inside of what it means" in refusal("a: &a [1, *a]\n")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "a: " + "[" * 70 + "]" * 70, "".join(" " * n + "a:\n" for n in range(5000))]
)
def test_depth_is_bounded(text):
    assert "deep" in refusal(text) or "depth" in refusal(text)


def test_a_tag_of_python_builds_nothing():
    modules = set(sys.modules)
    assert "the tag `!!python/object/apply:os.system` means nothing in a configuration" in refusal(
        "a: !!python/object/apply:os.system [ls]\n"
    )
    assert "antigravity" not in set(sys.modules) - modules


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(InvalidConfigurationError, match=r"a\.yaml:2: this is not UTF-8"):
        read_yaml(path, "a.yaml")


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"# " + b"x" * (1 << 20))
    with pytest.raises(InvalidConfigurationError, match="larger than 1 MiB"):
        read_yaml(path, "a.yaml")
