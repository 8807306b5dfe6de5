"""The decorators, and how what they wrote is found and read again."""

from kafkaboot.declare.annotations import NOTHING, resolve, type_name
from kafkaboot.declare.decorators import component, event, event_handler, on_start, on_stop, publisher, settings
from kafkaboot.declare.lookup import (
    component_spec,
    event_spec,
    handler_methods,
    handler_spec,
    hooks,
    publisher_specs,
    publishing_methods,
    settings_spec,
)
from kafkaboot.declare.markers import Header, Key, Named, Payload
from kafkaboot.declare.signature import Kind, Parameter, Signature, read_signature
from kafkaboot.declare.spec import (
    ComponentSpec,
    EventSpec,
    HandlerSpec,
    Ordering,
    PublisherSpec,
    RetryPolicy,
    SettingsSpec,
    Start,
)

__all__ = [
    "NOTHING",
    "ComponentSpec",
    "EventSpec",
    "HandlerSpec",
    "Header",
    "Key",
    "Kind",
    "Named",
    "Ordering",
    "Parameter",
    "Payload",
    "PublisherSpec",
    "RetryPolicy",
    "SettingsSpec",
    "Signature",
    "Start",
    "component",
    "component_spec",
    "event",
    "event_handler",
    "event_spec",
    "handler_methods",
    "handler_spec",
    "hooks",
    "on_start",
    "on_stop",
    "publisher",
    "publisher_specs",
    "publishing_methods",
    "read_signature",
    "resolve",
    "settings",
    "settings_spec",
    "type_name",
]
