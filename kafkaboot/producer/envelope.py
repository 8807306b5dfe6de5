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
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from kafkaboot.clock import SystemClock
from kafkaboot.declare import event_spec
from kafkaboot.errors import PublishError
from kafkaboot.message import content_type, encoder
from kafkaboot.message.headers import CE_ID, CE_SOURCE, CE_SPECVERSION, CE_TIME, CE_TYPE, CONTENT_TYPE, KB_TYPE

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
    """

    __slots__ = ("encode", "fixed", "fresh", "late")

    def __init__(
        self,
        encode: Callable[[Any], bytes | None],
        fixed: Headers | None,
        *,
        fresh: bool,
        late: GivenHeaders | None = None,
    ) -> None:
        self.encode, self.fixed, self.fresh, self.late = encode, fixed, fresh, late


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
        self._stamp: tuple[int, tuple[str, bytes]] = (-1, (CE_TIME, b""))
        self._second: tuple[int, str] = (-1, "")
        self._plans: dict[type, Plan] = {}

    def plan(self, payload_type: type, type_name: str | None = None, given: GivenHeaders | None = None) -> Plan:
        """The plan for a type of payload.

        Args:
            payload_type: The payloads' class.
            type_name: The event name to write; default: `@event`'s name, else the class's own without its module.
            given: The caller's headers; they replace the envelope's of the same name.
        """
        encode = encoder(payload_type)
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
        if fresh and given and not {CE_ID, CE_TIME}.isdisjoint(name for name, _ in header_list(given)):
            return Plan(encode, fixed, fresh=True, late=given)
        return Plan(encode, merged(fixed, given), fresh=fresh)

    def plan_of(self, payload_type: type) -> Plan:
        """The plan for a type of payload with nothing added; made once."""
        plan = self._plans.get(payload_type)
        if plan is None:
            plan = self._plans[payload_type] = self.plan(payload_type)
        return plan

    def headers(self, plan: Plan, given: GivenHeaders | None = None) -> Headers | None:
        """The headers of one record."""
        fixed = plan.fixed
        if plan.fresh:
            assert fixed is not None
            fixed = fixed.copy()
            fixed[0] = (CE_ID, b"%b%d" % (self.prefix, self.next_id()))
            fixed[1] = self.stamp()
        if plan.late is not None:
            fixed = merged(fixed or [], plan.late)
        return fixed if given is None else merged(fixed or [], given)

    def stamp(self) -> tuple[str, bytes]:
        """`ce_time` of this millisecond."""
        now = int(self._now() * 1000)
        known, stamp = self._stamp
        if now != known:
            second, millis = divmod(now, 1000)
            at, text = self._second
            if at != second:
                text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
                self._second = (second, text)
            stamp = (CE_TIME, f"{text}.{millis:03d}Z".encode())
            self._stamp = (now, stamp)
        return stamp


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
                f"headers must be names with texts or bytes, and there is {type(name).__name__}: {type(value).__name__}",
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
