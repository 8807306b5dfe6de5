from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kafkaboot.config import Duration, Properties, Ratio, Size, json_schema


class Backoff(BaseModel):
    """How long between attempts."""

    max_delay: Duration = 30.0


class Consumer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    preset: Literal["safe", "fast"] = Field("safe", description="Which defaults.")
    max_bytes: Size = 1024
    slow_rate: Ratio = 0.5
    servers: list[str] = []
    backoff: Backoff = Backoff()
    properties: Properties = {}


class Shop(BaseModel):
    """The shop's own."""

    tax_rate: float
    backoff: Backoff = Backoff()


def schema() -> dict[str, Any]:
    return json_schema({"kafkaboot.consumer": Consumer, "kafkaboot.retry": dict[str, Backoff], "shop": Shop})


def resolved(part: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    for arm in [part, *part.get("allOf", [])]:
        if "$ref" in arm:
            return whole["definitions"][arm["$ref"].rpartition("/")[2]]
    return part


def test_it_is_draft_07_and_json():
    whole = schema()
    assert whole["$schema"] == "http://json-schema.org/draft-07/schema#"
    text = json.dumps(whole)
    assert "$defs" not in text
    assert "prefixItems" not in text


def test_names_are_kebab_case_and_unknown_ones_refused_below_kafkaboot_only():
    whole = schema()
    kafkaboot = whole["properties"]["kafkaboot"]
    assert kafkaboot["additionalProperties"] is False
    consumer = resolved(kafkaboot["properties"]["consumer"], whole)
    assert sorted(consumer["properties"]) == ["backoff", "max-bytes", "preset", "properties", "servers", "slow-rate"]
    assert consumer["additionalProperties"] is False
    assert "additionalProperties" not in resolved(whole["properties"]["shop"], whole)
    assert "additionalProperties" not in whole


def test_nothing_is_required_since_values_come_from_elsewhere_too():
    assert "required" not in json.dumps(schema())


def test_descriptions_are_kept():
    whole = schema()
    consumer = resolved(whole["properties"]["kafkaboot"]["properties"]["consumer"], whole)
    assert consumer["properties"]["preset"]["description"] == "Which defaults."
    assert resolved(whole["properties"]["shop"], whole)["description"] == "The shop's own."


def test_placeholders_are_allowed_wherever_a_scalar_is():
    whole = schema()
    consumer = resolved(whole["properties"]["kafkaboot"]["properties"]["consumer"], whole)["properties"]
    placeholder = {"$ref": "#/definitions/placeholder"}
    for name in ("preset", "max-bytes", "slow-rate"):
        assert placeholder in consumer[name]["anyOf"], name
    assert {"type": "string", "description": "with commas"} in consumer["servers"]["anyOf"]


def test_units_bring_their_patterns():
    whole = schema()
    consumer = resolved(whole["properties"]["kafkaboot"]["properties"]["consumer"], whole)["properties"]
    assert consumer["max-bytes"]["anyOf"][0]["type"] == ["string", "integer"]
    assert "pattern" in consumer["slow-rate"]["anyOf"][0]
