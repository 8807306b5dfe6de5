from __future__ import annotations

import time

import pytest

from kafkaboot.config import Configuration, InvalidConfigurationError, load


def configured(tmp_path, text: str, **environ: str) -> Configuration:
    (tmp_path / "application.yaml").write_text(text)
    return load(directory=tmp_path, environ=environ)


def refusal(tmp_path, text: str, key: str) -> str:
    with pytest.raises(InvalidConfigurationError) as caught:
        configured(tmp_path, text).get(key)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${KAFKA_URL:localhost:9092}", "localhost:9092"),
        ("${HOST}:${PORT}", "k:9"),
        ("${PORT}", 9),
        ("'${PORT}'", "9"),
        ("${shop.name}", "desk"),
        ("${SHOP_NAME}", "desk"),
        ("${NONE:${HOST:x}}", "k"),
        ("${${WHICH}.name}", "desk"),
        ("${NONE:}", ""),
        (r"\${HOST}", "${HOST}"),
        (r"a\${b}${HOST}", "a${b}k"),
        ("${list}", "1,2"),
        ("'{topic}.{group}.dlt'", "{topic}.{group}.dlt"),
        ("${NONE:{a}}", "{a}"),
    ],
)
def test_a_placeholder_is_a_key_else_a_variable_else_its_default(tmp_path, written, value):
    text = f"shop: {{name: desk}}\nlist: [1, 2]\na: {written}\n"
    found = configured(tmp_path, text, HOST="k", PORT="9", WHICH="shop", SHOP_NAME="desk")
    assert found.get("a") == value


def test_a_placeholder_without_value_names_its_line_and_what_to_do(tmp_path):
    assert refusal(tmp_path, "kafka:\n  url: ${KAFKA_URL}\n", "kafka.url") == (
        "application.yaml:2: the placeholder `${KAFKA_URL}` has no value\n"
        "  To do: set the key or the variable `KAFKA_URL`, or write `${KAFKA_URL:default}`"
    )


def test_a_circle_of_placeholders_is_drawn(tmp_path):
    assert refusal(tmp_path, "a: ${b}\nb: x${c:1}\nc: ${b}\n", "a") == (
        "application.yaml:1: the placeholder `${b}` leads back to itself: b -> c -> b\n"
        "  To do: give one of them a value"
    )
    assert "leads back to itself: a -> a" in refusal(tmp_path, "a: ${a}\n", "a")


def test_a_placeholder_that_is_not_closed_is_refused(tmp_path):
    assert "opened with `${` and not closed" in refusal(tmp_path, "a: '${b'\n", "a")


def test_a_bomb_of_placeholders_is_refused_quickly(tmp_path):
    text = "".join(f"a{n}: {f'${{a{n + 1}}}' * 10}\n" for n in range(20)) + "a20: boom\n"
    began = time.process_time()
    assert "unfold to more than" in refusal(tmp_path, text, "a0")
    assert time.process_time() - began < 5


def test_text_from_elsewhere_is_resolved_too(tmp_path):
    assert configured(tmp_path, "a: 1\n").resolve("orders-${a}-${b:2}") == "orders-1-2"
