"""The requests about settings: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.configs import (
    BROKER_SETTINGS,
    NUMBERS,
    SETTINGS,
    InvalidConfigError,
    checked,
    known,
    listed,
)
from kafkaboot.dev.embedded.node import NODE_ID
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.dev.embedded.node import Node

_TOPIC, _BROKER = 2, 4
_SET_ON_TOPIC, _AT_START, _DEFAULT = 1, 4, 5
"""Where a value comes from (KIP-226): the topic, how the broker was started, Kafka."""
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)


def created(response: Any, config: Mapping[str, str]) -> tuple[Any, ...] | None:
    """A new topic's settings for the answer to CreateTopics (KIP-525); older versions have no place for them."""
    if not hasattr(response, "CreatableTopicConfigs"):
        return None
    return tuple(
        response.CreatableTopicConfigs(
            name=name,
            value=config.get(name, setting.default),
            read_only=False,
            config_source=_SET_ON_TOPIC if name in config else _DEFAULT,
            is_sensitive=False,
        )
        for name, setting in SETTINGS.items()
    )


def describe_configs(node: Node, request: Any, response: Any, _: Any) -> Any:
    """The settings of topics and of the broker, with where each comes from."""
    return make(
        response.DescribeConfigsResponse,
        throttle_time=NOW,
        results=tuple(_described(node, request, response, one) for one in request.resources),
    )


def _described(node: Node, request: Any, response: Any, asked: Any) -> Any:
    error, message = ErrorCode.none, None
    lines: list[Any] = []
    if asked.resource_type == _TOPIC:
        topic = node.topics.get(asked.resource_name)
        if topic is None:
            error = ErrorCode.unknown_topic_or_partition
        else:
            lines = [_line(request, response, name, topic.config) for name in SETTINGS]
    elif asked.resource_type == _BROKER and asked.resource_name == str(NODE_ID):
        lines = _broker_lines(node, request, response)
    elif asked.resource_type == _BROKER:
        error = ErrorCode.invalid_request
        message = f"Unexpected broker id, expected {NODE_ID} or empty string, but received {asked.resource_name}"
        if not asked.resource_name:
            error, message = ErrorCode.none, None  # the defaults of all brokers, of which none is set
    else:
        error = ErrorCode.invalid_request
        message = f"Unsupported resource type: {asked.resource_type}"
    keys = asked.configuration_keys
    return response.DescribeConfigsResult(
        error_code=error,
        error_message=message,
        resource_type=asked.resource_type,
        resource_name=asked.resource_name,
        configs=tuple(line for line in lines if keys is None or line.name in keys),
    )


def _line(request: Any, response: Any, name: str, config: Mapping[str, str]) -> Any:
    setting = SETTINGS[name]
    synonyms = [(name, config[name], _SET_ON_TOPIC)] if name in config else []
    if setting.broker:
        synonyms.append((setting.broker, setting.default, _DEFAULT))
    return _result(
        request,
        response,
        name=name,
        value=config.get(name, setting.default),
        config_source=_SET_ON_TOPIC if name in config else _DEFAULT,
        synonyms=synonyms,
        config_type=NUMBERS[setting.type],
        documentation=setting.text,
    )


def _broker_lines(node: Node, request: Any, response: Any) -> list[Any]:
    at_start = {
        "auto.create.topics.enable": ("BOOLEAN", str(node.settings.auto_create).lower()),
        "group.initial.rebalance.delay.ms": ("INT", str(int(node.settings.rebalance_delay * 1000))),
        "group.min.session.timeout.ms": ("INT", str(int(node.settings.min_session_timeout * 1000))),
        "num.partitions": ("INT", str(node.topics.default_partitions)),
    }
    return [
        _result(
            request,
            response,
            name=name,
            value=value,
            read_only=True,
            config_source=source,
            synonyms=[(name, value, source)],
            config_type=NUMBERS[kind],  # type: ignore[index]
            documentation="",
        )
        for settings, source in ((BROKER_SETTINGS, _DEFAULT), (at_start, _AT_START))
        for name, (kind, value) in settings.items()
    ]


def _result(
    request: Any, response: Any, *, synonyms: list[tuple[str, str, int]], documentation: str, **fields: Any
) -> Any:
    asked = getattr(request, "include_documentation", False)
    return make(
        response.DescribeConfigsResourceResult,
        **{"read_only": False, **fields},
        is_sensitive=False,
        synonyms=tuple(
            response.DescribeConfigsSynonym(name=name, value=value, source=source) for name, value, source in synonyms
        )
        if request.include_synonyms
        else (),
        documentation=documentation if asked else None,
    )


def alter_configs(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Replace all settings of a topic by those that are named."""

    def change(_: Mapping[str, str], configs: Any) -> dict[str, str]:
        return checked((one.name, one.value) for one in configs)

    return _altered(node, request, response, response.AlterConfigsResponse, change)


def incremental_alter_configs(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Set, unset, append to or subtract from single settings of a topic (KIP-339)."""
    return _altered(node, request, response, response.IncrementalAlterConfigsResponse, _changed)


def _altered(
    node: Node,
    request: Any,
    response: Any,
    answer: Any,
    change: Callable[[Mapping[str, str], Any], dict[str, str]],
) -> Any:
    results = []
    for asked in request.resources:
        error, message = ErrorCode.none, None
        topic = node.topics.get(asked.resource_name) if asked.resource_type == _TOPIC else None
        if asked.resource_type != _TOPIC:
            error, message = ErrorCode.invalid_request, "this broker's own settings are given when it is started"
        elif topic is None:
            error = ErrorCode.unknown_topic_or_partition
            message = f"The topic '{asked.resource_name}' does not exist."
        else:
            try:
                config = change(topic.config, asked.configs)
                if not request.validate_only:
                    node.topics.configure(topic, config)
            except InvalidConfigError as invalid:
                error, message = ErrorCode.invalid_config, str(invalid)
        results.append(
            response.AlterConfigsResourceResponse(
                error_code=error,
                error_message=message,
                resource_type=asked.resource_type,
                resource_name=asked.resource_name,
            )
        )
    return make(answer, throttle_time=NOW, responses=tuple(results))


def _changed(config: Mapping[str, str], changes: Any) -> dict[str, str]:
    new = dict(config)
    for one in changes:
        operation = one.config_operation
        if operation == _DELETE:
            new.pop(one.name, None)
            continue
        if operation not in {_SET, _APPEND, _SUBTRACT}:
            raise InvalidConfigError(f"Unknown operation {operation} on {one.name}")
        setting = known(one.name)
        if one.value is None:
            raise InvalidConfigError(f"Null value not supported for {one.name}")
        value = one.value
        if operation != _SET:
            if setting.type != "LIST":
                verb = "APPEND" if operation == _APPEND else "SUBTRACT"
                raise InvalidConfigError(f"Can't {verb} to key {one.name} because its type is not LIST.")
            words = listed(new.get(one.name, setting.default))
            given = listed(value)
            if operation == _APPEND:
                words += [word for word in given if word not in words]
            else:
                words = [word for word in words if word not in given]
            value = ",".join(words)
        new[one.name] = value
    return checked(new.items())


APIS = (
    Api(32, "describe_configs", 1, 4, describe_configs),
    Api(33, "alter_configs", 0, 2, alter_configs),
    Api(44, "incremental_alter_configs", 0, 1, incremental_alter_configs),
)
