from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from kafkaboot.config import Configuration, Duration, InvalidConfigurationError, Properties, Ratio, Size, load


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sasl(Strict):
    username: str = ""
    password: SecretStr | None = None


class Kafka(Strict):
    bootstrap_servers: list[str] = ["localhost:9092"]
    request_timeout: Duration = 30.0
    retries: int = 3
    tls: bool = False
    sasl: Sasl | None = None
    properties: Properties = {}


class Topic(Strict):
    partitions: int = 1
    config: Properties = {}


class Handler(Strict):
    concurrency: int = 8
    retry: str | Literal[False] = "default"
    dead_letter: Topic = Topic()


def configured(tmp_path: Path, text: str = "", *overrides: str, **environ: str) -> Configuration:
    (tmp_path / "application.yaml").write_text(text)
    return load(directory=tmp_path, overrides=overrides, environ=environ)


def problems(bind: Any) -> list[str]:
    with pytest.raises(InvalidConfigurationError) as caught:
        bind()
    return [str(each) for each in caught.value.problems]


def test_values_take_the_type_that_the_model_wants(tmp_path):
    class Colour(StrEnum):
        RED = "red"

    class Everything(BaseModel):
        text: str
        number: int
        clock: str
        answer: str
        version: str
        price: Decimal
        path: Path
        secret: SecretStr
        colour: Colour
        mode: Literal["a", "b"]
        wait: Duration
        pause: timedelta
        buffer: Size
        rate: Ratio
        maybe: int | None
        mixed: str | int
        flag: bool
        tags: list[str]
        free: dict[str, Any]

    text = (
        "all: {text: 012, number: 012, clock: 1:30, answer: no, version: 1.10, price: 0.10, path: /tmp, secret: 007,\n"
        "  colour: red, mode: a, wait: 1m30s, pause: 2s, buffer: 64KB, rate: 50%, maybe: ~, mixed: 3, flag: true,\n"
        "  tags: [012, no], free: {a: {b: 012}}}\n"
    )
    found = configured(tmp_path, text).bind("all", Everything)
    assert found.model_dump() == {
        "text": "012",
        "number": 12,
        "clock": "1:30",
        "answer": "no",
        "version": "1.10",
        "price": Decimal("0.10"),
        "path": Path("/tmp"),
        "secret": SecretStr("007"),
        "colour": Colour.RED,
        "mode": "a",
        "wait": 90.0,
        "pause": timedelta(seconds=2),
        "buffer": 65536,
        "rate": 0.5,
        "maybe": None,
        "mixed": 3,
        "flag": True,
        "tags": ["012", "no"],
        "free": {"a": {"b": 12}},
    }


@pytest.mark.parametrize(
    "name", ["bootstrap-servers", "bootstrap_servers", "bootstrapServers", "BOOTSTRAP_SERVERS", "BootstrapServers"]
)
def test_names_are_compared_relaxed(tmp_path, name):
    found = configured(tmp_path, f"kafkaboot: {{kafka: {{{name}: [a, b]}}}}").bind("kafkaboot.kafka", Kafka)
    assert found.bootstrap_servers == ["a", "b"]


@given(words=st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_every_spelling_of_a_name_is_the_same_name(words):
    from kafkaboot.config import relaxed

    camel = words[0] + "".join(word.title() for word in words[1:])
    spellings = {"-".join(words), "_".join(words), ".".join(words), "_".join(words).upper(), camel}
    assert {relaxed(each) for each in spellings} == {"".join(words)}


@pytest.mark.parametrize(
    "text",
    [
        "kafkaboot: {kafka: {sasl: {username: me}}}",
        "kafkaboot.kafka.sasl.username: me",
        "kafkaboot.kafka: {sasl.username: me}",
        "kafkaboot: {kafka.sasl: {userName: me}}",
    ],
)
def test_a_dot_in_a_name_is_a_step(tmp_path, text):
    found = configured(tmp_path, text).bind("kafkaboot.kafka", Kafka)
    assert found.sasl == Sasl(username="me")


def test_names_of_topics_keep_their_dots(tmp_path):
    text = "kafkaboot.topics: {orders.v1: {partitions: 3}, orders: {config: {retention.ms: 7}}}"
    found = configured(
        tmp_path,
        text,
        "kafkaboot.topics.orders.v1.config.cleanup.policy=compact",
        KAFKABOOT_TOPICS_ORDERS_V1_PARTITIONS="6",
    ).bind("kafkaboot.topics", dict[str, Topic])
    assert found == {
        "orders.v1": Topic(partitions=6, config={"cleanup.policy": "compact"}),
        "orders": Topic(config={"retention.ms": 7}),
    }


def test_properties_of_librdkafka_are_one_name_with_dots_however_written(tmp_path):
    text = "kafkaboot: {kafka: {properties: {fetch.min.bytes: 1, fetch: {wait: {max.ms: 2}}, linger.ms: 5}}}"
    found = configured(
        tmp_path,
        text,
        "kafkaboot.kafka.properties.queued.min.messages=3",
        KAFKABOOT_KAFKA_PROPERTIES_LINGER_MS="6",
        KAFKABOOT_KAFKA_PROPERTIES_SOCKET_KEEPALIVE_ENABLE="true",
    ).bind("kafkaboot.kafka", Kafka)
    assert found.properties == {
        "fetch.min.bytes": 1,
        "fetch.wait.max.ms": 2,
        "linger.ms": 6,
        "queued.min.messages": 3,
        "socket.keepalive.enable": True,
    }


def test_variables_find_their_place_by_the_types(tmp_path):
    text = "kafkaboot: {handlers: {place_order: {concurrency: 1}}}"
    found = configured(
        tmp_path,
        text,
        KAFKABOOT_HANDLERS_PLACE_ORDER_CONCURRENCY="2",
        KAFKABOOT_HANDLERS_PLACE_ORDER_DEAD_LETTER_PARTITIONS="3",
        KAFKABOOT_HANDLERS_BILL_RETRY="false",
    ).bind("kafkaboot.handlers", dict[str, Handler])
    assert found == {
        "place_order": Handler(concurrency=2, dead_letter=Topic(partitions=3)),
        "bill": Handler(retry=False),
    }


@pytest.mark.parametrize(
    "environ",
    [
        {"KAFKABOOT_KAFKA_BOOTSTRAP_SERVERS": "a:1, b:2"},
        {"KAFKABOOT_KAFKA_BOOTSTRAPSERVERS": "a:1,b:2"},
        {"KAFKABOOT_KAFKA_BOOTSTRAP_SERVERS_1": "b:2", "KAFKABOOT_KAFKA_BOOTSTRAP_SERVERS_0": "a:1"},
    ],
)
def test_a_list_comes_by_comma_or_by_index(tmp_path, environ):
    found = configured(tmp_path, "kafkaboot: {kafka: {bootstrap-servers: [x, y, z]}}", **environ)
    assert found.bind("kafkaboot.kafka", Kafka).bootstrap_servers == ["a:1", "b:2"]


def test_a_list_of_models_comes_by_index(tmp_path):
    class Shop(BaseModel):
        topics: list[Topic]

    found = configured(tmp_path, "", "shop.topics[0].partitions=4", "shop.topics[1].config.a.b=c")
    assert found.bind("shop", Shop).topics == [Topic(partitions=4), Topic(config={"a.b": "c"})]
    loose = configured(tmp_path, "", SHOP_TOPICS_0_PARTITIONS="4", SHOP_TOPICS_1_PARTITIONS="5")
    assert loose.bind("shop", Shop).topics == [Topic(partitions=4), Topic(partitions=5)]


def test_an_unknown_key_is_refused_with_line_and_suggestion(tmp_path):
    found = configured(tmp_path, "kafkaboot:\n  kafka:\n    bootstrap-server: a\n")
    assert problems(lambda: found.bind("kafkaboot.kafka", Kafka)) == [
        (
            "application.yaml:3: unknown key `kafkaboot.kafka.bootstrap-server`\n"
            "    To do: did you mean `bootstrap-servers`?"
        )
    ]


def test_an_unknown_variable_and_an_unknown_flag_are_refused_too(tmp_path):
    found = configured(tmp_path, "", "kafkaboot.kafka.retris=1", KAFKABOOT_KAFKA_BOOTSTRAP_SERVER="x")
    assert problems(lambda: found.bind("kafkaboot.kafka", Kafka)) == [
        (
            "environment variable KAFKABOOT_KAFKA_BOOTSTRAP_SERVER: unknown key `kafkaboot.kafka.bootstrap-server`\n"
            "    To do: did you mean `bootstrap-servers`?"
        ),
        "--set kafkaboot.kafka.retris: unknown key `kafkaboot.kafka.retris`\n    To do: did you mean `retries`?",
    ]


def test_a_misspelt_key_below_a_free_name_is_refused_by_its_own_name(tmp_path):
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        partitions: int = 1

    said = "unknown key `kafkaboot.topics.orders.partitons`\n    To do: did you mean `partitions`?"
    flag = configured(tmp_path, "", "kafkaboot.topics.orders.partitons=4")
    assert problems(lambda: flag.bind("kafkaboot.topics", dict[str, Strict])) == [
        f"--set kafkaboot.topics.orders.partitons: {said}"
    ]
    variable = configured(tmp_path, "", KAFKABOOT_TOPICS_ORDERS_PARTITONS="4")
    assert problems(lambda: variable.bind("kafkaboot.topics", dict[str, Strict])) == [
        f"environment variable KAFKABOOT_TOPICS_ORDERS_PARTITONS: {said}"
    ]


def test_a_wrong_type_is_refused_with_line_value_and_what_is_wanted(tmp_path):
    text = "kafkaboot:\n  kafka:\n    retries: many\n    request-timeout: soon\n    tls: 5\n    sasl: x\n"
    found = configured(tmp_path, text)
    assert problems(lambda: found.bind("kafkaboot.kafka", Kafka)) == [
        (
            "application.yaml:4: `kafkaboot.kafka.request-timeout` is 'soon'"
            ": a duration is wanted: 200ms, 10s, 1m30s, 1h,"
            " 7d, or a number of seconds"
        ),
        "application.yaml:3: `kafkaboot.kafka.retries` is 'many': a whole number is wanted",
        "application.yaml:5: `kafkaboot.kafka.tls` is '5': true or false is wanted",
        "application.yaml:6: `kafkaboot.kafka.sasl` is 'x': a map is wanted",
    ]


def test_a_wrong_type_in_a_list_of_maps_is_found_at_its_line(tmp_path):
    class Shop(BaseModel):
        topics: list[Topic]

    found = configured(tmp_path, "shop:\n  topics:\n    - partitions: 1\n    - partitions: x\n")
    assert problems(lambda: found.bind("shop", Shop)) == [
        "application.yaml:4: `shop.topics.1.partitions` is 'x': a whole number is wanted"
    ]


def test_all_problems_come_in_one_error(tmp_path):
    found = configured(tmp_path, "kafkaboot:\n  kafka:\n    retries: ${NONE}\n    oops: 1\n    tls: maybe\n")
    with pytest.raises(InvalidConfigurationError) as caught:
        found.bind("kafkaboot.kafka", Kafka)
    assert str(caught.value) == (
        "the configuration has 3 problems:\n"
        "  application.yaml:4: unknown key `kafkaboot.kafka.oops`\n"
        "    To do: keys that exist: bootstrap-servers, properties, request-timeout, retries, sasl, tls\n"
        "  application.yaml:3: the placeholder `${NONE}` has no value\n"
        "    To do: set the key or the variable `NONE`, or write `${NONE:default}`\n"
        "  application.yaml:5: `kafkaboot.kafka.tls` is 'maybe': true or false is wanted"
    )


def test_a_value_that_is_missing_is_named(tmp_path):
    class Shop(BaseModel):
        tax_rate: Decimal
        name: str = Field(alias="label")

    found = configured(tmp_path, "shop:\n  labels: x\n")
    assert problems(lambda: found.bind("shop", Shop)) == [
        "`shop.tax-rate` has no value\n    To do: set `shop.tax-rate`",
        "`shop.label` has no value\n    To do: set `shop.label`",
    ]


def test_one_name_in_two_spellings_is_refused(tmp_path):
    found = configured(tmp_path, "kafkaboot:\n  kafka:\n    retries: 1\n  kafka.retries: 2\n")
    assert problems(lambda: found.bind("kafkaboot.kafka", Kafka)) == [
        (
            "application.yaml:4: `kafkaboot.kafka.retries` stands twice, first at application.yaml:3\n"
            "    To do: delete one of the two"
        )
    ]


def test_a_section_whose_keys_are_all_commented_out_overrides_nothing(tmp_path):
    (tmp_path / "application-dev.yaml").write_text("kafkaboot:\n  kafka:\n")
    (tmp_path / "application.yaml").write_text("kafkaboot: {kafka: {retries: 7}}")
    found = load(directory=tmp_path, environ={}, profiles=["dev"])
    assert found.bind("kafkaboot.kafka", Kafka).retries == 7


def test_what_a_model_says_of_itself_is_told_at_the_map(tmp_path):
    class Range(BaseModel):
        low: int
        high: int

        @model_validator(mode="after")
        def _ordered(self):
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    found = configured(tmp_path, "range:\n  low: 2\n  high: 1\n")
    assert problems(lambda: found.bind("range", Range)) == ["application.yaml:2: `range`: low is above high"]


def test_a_secret_is_in_no_error(tmp_path):
    class Shop(BaseModel):
        api_key: int
        password: SecretStr = SecretStr("")
        pin: SecretStr = SecretStr("")
        dsn: int = 0

        @field_validator("password")
        @classmethod
        def _long(cls, value):
            raise ValueError(f"too short: {value.get_secret_value()}")

        @model_validator(mode="before")
        @classmethod
        def _chatty(cls, data):
            return data

    text = "shop: {api-key: canary-1, password: canary-2, dsn: 'x://u:canary-3@h'}"
    found = configured(tmp_path, text)
    with pytest.raises(InvalidConfigurationError) as caught:
        found.bind("shop", Shop)
    assert "canary" not in str(caught.value)
    assert "******" in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_model_that_prints_its_secret_is_scrubbed(tmp_path):
    class Shop(BaseModel):
        password: SecretStr

        @model_validator(mode="after")
        def _chatty(self):
            raise ValueError(f"bad {self.password.get_secret_value()}")

    found = configured(tmp_path, "shop: {password: canary-1}")
    [text] = problems(lambda: found.bind("shop", Shop))
    assert text == "application.yaml:1: `shop`: bad ******"


def test_a_settings_class_is_bound_without_reading_the_environment_again(tmp_path, monkeypatch):
    class Shop(BaseSettings):
        tax_rate: Decimal = Decimal(0)
        name: str = "none"
        note: str = "none"

    monkeypatch.setenv("NAME", "from the environment by its own rules")
    monkeypatch.setenv("SHOP_NOTE", "not given to the loader")
    assert Shop().name == "from the environment by its own rules"
    found = configured(tmp_path, "shop: {taxRate: 0.2}", SHOP_NAME="desk").bind("shop", Shop)
    assert isinstance(found, Shop)
    assert (found.tax_rate, found.name, found.note) == (Decimal("0.2"), "desk", "none")


def test_keys_of_the_applications_own_section_are_judged_by_its_model(tmp_path):
    class Open(BaseModel):
        a: int = 0

    class Closed(Strict):
        a: int = 0

    found = configured(tmp_path, "shop: {a: 1, b: 2}", SHOP_C="3")
    assert found.bind("shop", Open).a == 1
    assert problems(lambda: found.bind("shop", Closed)) == [
        "application.yaml:1: unknown key `shop.b`\n    To do: keys that exist: a"
    ]
    assert configured(tmp_path, "shop: {a: 1}", SHOP_C="3").bind("shop", Closed).a == 1
