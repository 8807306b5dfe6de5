"""The JSON schema of a configuration file, for editors: draft-07, which is what they understand."""

from __future__ import annotations

from typing import Any

from kafkaboot.config.names import kebab

_PLACEHOLDER = {"$ref": "#/definitions/placeholder"}
_REF = "#/definitions/{model}"


def json_schema(sections: dict[str, Any], *, title: str = "kafkaboot application.yaml") -> dict[str, Any]:
    """The draft-07 schema of a file with these sections.

    Nothing is required, since a value may come from another source; `${placeholders}` are allowed wherever a scalar is;
    below `kafkaboot` unknown names are refused.

    Args:
        sections: Types by section: `{"kafkaboot.consumer": ConsumerSettings, "shop": ShopSettings}`.
        title: The schema's title.
    """
    from pydantic import TypeAdapter

    adapters = [(name, "validation", TypeAdapter(model)) for name, model in sections.items()]
    schemas, shared = TypeAdapter.json_schemas(adapters, by_alias=True, ref_template=_REF)  # type: ignore[arg-type]
    definitions = shared.get("$defs", {})
    strict = _reached([schemas[name, "validation"] for name in sections if name.startswith("kafkaboot.")], definitions)
    root: dict[str, Any] = {"type": "object", "properties": {"on-profile": _on_profile()}}
    for name in sections:
        here, own = root, name.startswith("kafkaboot.")
        *parents, last = name.split(".")
        for parent in parents:
            fresh: dict[str, Any] = {"type": "object", "properties": {}}
            if own:
                fresh["additionalProperties"] = False
            here = here["properties"].setdefault(parent, fresh)
        here["properties"][last] = _adapted(schemas[name, "validation"], strict=own)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        **root,
        "definitions": {
            **{name: _adapted(each, strict=name in strict) for name, each in definitions.items()},
            "placeholder": {"type": "string", "pattern": r"\$\{[^}]*.*\}"},
        },
    }


def _on_profile() -> dict[str, Any]:
    text = "The profiles that this document is for: names with `!`, `&`, `|` and brackets."
    return {"description": text, "type": ["string", "array"], "items": {"type": "string"}}


def _reached(schemas: list[Any], definitions: dict[str, Any]) -> set[str]:
    """The names of the definitions that these schemas lead to."""
    reached: set[str] = set()
    waiting = list(schemas)
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            name = str(here.get("$ref", "")).rpartition("/")[2]
            if name in definitions and name not in reached:
                reached.add(name)
                waiting.append(definitions[name])
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return reached


def _adapted(schema: Any, *, strict: bool) -> dict[str, Any]:
    """What pydantic says, in the words of draft-07, with room for what a file may say."""
    if not isinstance(schema, dict):
        return {}
    kept = {name: schema[name] for name in ("title", "description", "default", "examples") if name in schema}
    rest = {name: each for name, each in schema.items() if name not in {*kept, "required", "discriminator"}}
    if "$ref" in rest:
        return {**kept, "allOf": [{"$ref": rest["$ref"]}]} if kept else {"$ref": rest["$ref"]}
    for union in ("anyOf", "oneOf", "allOf"):
        if union in rest:
            arms = [_adapted(each, strict=strict) for each in rest[union]]
            return {**kept, "anyOf" if union == "oneOf" else union: arms}
    if rest.get("type") == "object":
        return {**kept, **_object(rest, strict=strict)}
    if rest.get("type") == "array":
        return {**kept, "anyOf": [_array(rest, strict=strict), {"type": "string", "description": "with commas"}]}
    if not rest or (rest.get("type") == "string" and not {"pattern", "format", "enum", "const"} & rest.keys()):
        return {**kept, **rest} if rest.get("type") != "string" else {**kept, **rest, "type": _TEXT}
    return {**kept, "anyOf": [rest, _PLACEHOLDER]}


_TEXT = ["string", "number", "boolean"]


def _object(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    adapted: dict[str, Any] = {"type": ["object", "null"]}
    if "properties" in schema:
        adapted["properties"] = {
            kebab(name): _adapted(each, strict=strict) for name, each in schema["properties"].items()
        }
        extra = schema.get("additionalProperties")
        if extra is False or (strict and extra is None):
            adapted["additionalProperties"] = False
        return adapted
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        inner = _adapted(values, strict=strict)
        adapted["additionalProperties"] = {"anyOf": [inner, {"type": "object"}]} if _scalar(values) else inner
    return adapted


def _scalar(schema: dict[str, Any]) -> bool:
    arms = schema.get("anyOf", [schema])
    return all(arm.get("type") in {"string", "integer", "number", "boolean"} for arm in arms)


def _array(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    adapted = {name: each for name, each in schema.items() if name not in {"items", "prefixItems"}}
    if isinstance(schema.get("items"), dict):
        adapted["items"] = _adapted(schema["items"], strict=strict)
    if "prefixItems" in schema:
        adapted["items"] = [_adapted(each, strict=strict) for each in schema["prefixItems"]]
    return adapted
