"""The headers that every published record carries: CloudEvents 1.0, Kafka binding, binary mode (section 3.2).

They are made for a topic and a type of payload once; a record adds its id and its time. The id is a random prefix of
this producer and a count, which is unique within the source, as CloudEvents asks.

A payload without a name of its own (`dict`, `list`, `str`, `bytes`, a tombstone) is no CloudEvent, since `ce_type` is
required and its Python type says nothing. It carries `content-type` only, so that a handler of its topic takes it
whatever type it waits for; `type=` of `@publisher`, or a `ce_type` header, makes an event of it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from kafkaboot.clock import SystemClock
from kafkaboot.declare import event_spec
from kafkaboot.errors import KafkabootError, PublishError
from kafkaboot.message import HANDLING, content_type, encode, encoder
from kafkaboot.message.headers import (
    CE_ID,
    CE_SOURCE,
    CE_SPECVERSION,
    CE_TIME,
    CE_TYPE,
    CONTENT_TYPE,
    KB_CAUSATION_ID,
    KB_CORRELATION_ID,
    KB_TYPE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kafkaboot.clock import Clock
    from kafkaboot.message import Headers

EnvelopeKind = Literal["cloudevents", "minimal", "none"]
GivenHeaders = Mapping[str, str | bytes | None] | list[tuple[str, str | bytes | None]]
"""Headers as a caller gives them; texts are written as UTF-8, a list may repeat a name."""

_NAMELESS = (dict, list, tuple, str, bytes, bytearray, memoryview, int, float, bool, type(None))


class Plan:
    """How payloads of one type travel to one topic.

    Attributes:
        encode: The payload's value.
        fixed: The headers that all of them share. With `fresh`, the first two are places for the id and the time.
        fresh: Whether an id and a time are to be filled in.
        late: The caller's headers, where they replace the id or the time and so come after them.
        carries: Whether the ids of the record that is being handled are carried on.
    """

    __slots__ = ("carries", "encode", "fixed", "fresh", "late")

    def __init__(
        self,
        encode: Callable[[Any], bytes | None],
        fixed: Headers | None,
        *,
        fresh: bool,
        late: GivenHeaders | None = None,
        carries: bool = False,
    ) -> None:
        self.encode, self.fixed, self.fresh, self.late, self.carries = encode, fixed, fresh, late, carries


class Plans(dict[type, Plan]):
    """The plan for each type of payload with nothing added; made when first asked for."""

    def __init__(self, envelope: Envelope) -> None:
        super().__init__()
        self._envelope = envelope

    def __missing__(self, payload_type: type) -> Plan:
        plan = self[payload_type] = self._envelope.plan(payload_type)
        return plan


class Envelope:
    """Makes the headers.

    Args:
        kind: `cloudevents`; `minimal`: `kb-type` and `content-type`; `none`: what the caller gives and nothing else.
        source: `ce_source`: a URI reference that says which application this is.
        clock: For `ce_time`.
    """

    def __init__(
        self, kind: EnvelopeKind = "cloudevents", source: str = "/kafkaboot", clock: Clock | None = None
    ) -> None:
        self.kind, self.source = kind, source
        self.prefix = secrets.token_hex(8).encode() + b"-"
        self.next_id = count(1).__next__
        self._now = (clock or SystemClock()).time
        self._since = self._until = 0.0
        self._stamp = (CE_TIME, b"")
        self.plans = Plans(self)

    def plan(self, payload_type: type, type_name: str | None = None, given: GivenHeaders | None = None) -> Plan:
        """The plan for a type of payload.

        Args:
            payload_type: The payloads' class.
            type_name: The event name to write; default: `@event`'s name, else the class's own without its module.
            given: The caller's headers; they replace the envelope's of the same name.
        """
        encode = exact_encoder(payload_type)
        if self.kind == "none":
            return Plan(encode, header_list(given) or None, fresh=False)
        name = type_name or name_of(payload_type)
        fixed: Headers = []
        if name is not None and self.kind == "minimal":
            fixed.append((KB_TYPE, name.encode()))
        elif name is not None:
            fixed += [
                (CE_ID, b""),
                (CE_TIME, b""),
                (CE_SPECVERSION, b"1.0"),
                (CE_SOURCE, self.source.encode()),
                (CE_TYPE, name.encode()),
            ]
        if payload_type is not type(None):
            fixed.append((CONTENT_TYPE, content_type(payload_type).encode()))
        fresh = name is not None and self.kind == "cloudevents"
        names = {name for name, _ in header_list(given)}
        carries = names.isdisjoint({KB_CORRELATION_ID, KB_CAUSATION_ID})
        if fresh and given and not names.isdisjoint({CE_ID, CE_TIME}):
            return Plan(encode, fixed, fresh=True, late=given, carries=carries)
        return Plan(encode, merged(fixed, given), fresh=fresh, carries=carries)

    def headers(self, plan: Plan, given: GivenHeaders | None = None) -> Headers | None:
        """The headers of one record."""
        fixed = plan.fixed
        if plan.fresh:
            fixed = fixed.copy()  # type: ignore[union-attr]
            fixed[0] = (CE_ID, b"%b%d" % (self.prefix, self.next_id()))
            # Both ends are looked at, since the machine's clock may be set back.
            fixed[1] = self._stamp if self._since <= self._now() < self._until else self.stamp()
            if plan.late is not None:
                fixed = merged(fixed, plan.late)
        worker = HANDLING.get()
        if worker is not None and plan.carries and (ids := worker.ids()) is not None:
            fixed = ids if fixed is None else fixed + ids
        return fixed if given is None else merged(fixed or [], given)

    def stamp(self) -> tuple[str, bytes]:
        """`ce_time` of this millisecond."""
        second, millis = divmod(int(self._now() * 1000), 1000)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        stamp = (CE_TIME, f"{text}.{millis:03d}Z".encode())
        self._since = second + millis / 1000
        self._until = self._since + 0.001
        self._stamp = stamp
        return stamp


def exact_encoder(payload_type: type) -> Callable[[Any], bytes | None]:
    """What encodes payloads of exactly that class, and raises whatever the library behind it raises.

    The general encoder looks at each payload's class again and names the culprit when it fails; here the class is
    known, and `explained` finds the culprit on failure only.
    """
    serializer: Any = getattr(payload_type, "__pydantic_serializer__", None)
    if serializer is None:
        return encode if payload_type is type(None) else encoder(payload_type)
    # Asking for aliases costs pydantic a third of the time even where there are none.
    if "serialization_alias" in repr(payload_type.__pydantic_core_schema__):  # type: ignore[attr-defined]
        return partial(serializer.to_json, by_alias=True)
    return serializer.to_json  # type: ignore[no-any-return]


def explained(error: Exception, payload: Any) -> Exception:
    """The error of `exact_encoder` with the part that cannot be encoded, if that is what failed."""
    if isinstance(error, KafkabootError):
        return error
    try:
        encode(payload)
    except KafkabootError as found:
        return found
    return error


def name_of(payload_type: type) -> str | None:
    """The event name of a type, or `None` for one that has none."""
    spec = event_spec(payload_type)
    if spec is not None:
        return spec.name
    return None if issubclass(payload_type, _NAMELESS) else payload_type.__name__


def header_list(given: GivenHeaders | None) -> Headers:
    """The caller's headers as they are written.

    Raises:
        PublishError: A name or a value of another type.
    """
    if given is None:
        return []
    pairs: Iterable[Any] = given.items() if isinstance(given, Mapping) else given
    found: Headers = []
    for pair in pairs:
        name, value = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, None)
        if not isinstance(name, str) or not isinstance(value, str | bytes | None):
            raise PublishError(
                f"headers are names with texts or bytes, and there is {type(name).__name__}: {type(value).__name__}",
                code="INVALID_HEADERS",
                fate="the record was not sent",
                todo='for example headers={"origin": "shop"}',
            )
        found.append((name, value.encode() if isinstance(value, str) else value))
    return found


def merged(own: Headers, given: GivenHeaders | None) -> Headers:
    """The envelope's headers and the caller's, which win."""
    if not given:
        return own
    theirs = header_list(given)
    names = {name for name, _ in theirs}
    return [pair for pair in own if pair[0] not in names] + theirs
