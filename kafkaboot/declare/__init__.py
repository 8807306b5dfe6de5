"""The decorators, and how what they wrote is found and read again."""

from kafkaboot.declare.annotations import NOTHING, resolve
from kafkaboot.declare.class_decorators import component, event, settings
from kafkaboot.declare.decorators import event_handler, on_start, on_stop, publisher
from kafkaboot.declare.happenings import on_dead_letter
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
from kafkaboot.declare.registry import EventRegistry, event_name
from kafkaboot.declare.scanner import Declarations, collect, scan
from kafkaboot.declare.signature import Kind, Parameter, Signature, read_signature
from kafkaboot.declare.spec import (
    ComponentSpec,
    EventSpec,
    HandlerSpec,
    LetterListenerSpec,
    Ordering,
    PublisherSpec,
    RetryPolicy,
    SettingsSpec,
    Start,
)
from kafkaboot.message import type_name

__all__ = [
    "NOTHING",
    "ComponentSpec",
    "Declarations",
    "EventRegistry",
    "EventSpec",
    "HandlerSpec",
    "Header",
    "Key",
    "Kind",
    "LetterListenerSpec",
    "Named",
    "Ordering",
    "Parameter",
    "Payload",
    "PublisherSpec",
    "RetryPolicy",
    "SettingsSpec",
    "Signature",
    "Start",
    "collect",
    "component",
    "component_spec",
    "event",
    "event_handler",
    "event_name",
    "event_spec",
    "handler_methods",
    "handler_spec",
    "hooks",
    "on_dead_letter",
    "on_start",
    "on_stop",
    "publisher",
    "publisher_specs",
    "publishing_methods",
    "read_signature",
    "resolve",
    "scan",
    "settings",
    "settings_spec",
    "type_name",
]
