"""Which handler takes which record of a topic."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from kafkaboot.errors import DeclarationError
from kafkaboot.message import event_type, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.consumer.route import Route
    from kafkaboot.message import RawRecord

log = logging.getLogger("kafkaboot.consumer")


class Dispatch:
    """The handlers of one group, by topic.

    A record goes to the handler that takes its type, else to the handler that takes any type. A record without a
    type goes to the topic's only handler, or to the one that takes any. A type that nobody here takes belongs to
    another application: it is settled, counted in `unclaimed`, and said once.

    Raises:
        DeclarationError: Two handlers of the group claim the same type of one topic, or begin at different ends.
    """

    def __init__(self, group: str, routes: Sequence[Route]) -> None:
        self.group = group
        self.routes = list(routes)
        self.unclaimed = 0
        self._patterns = [(re.compile(r.pattern), r) for r in routes if r.pattern is not None]
        self._said: set[tuple[str, str]] = set()
        self._check_start()
        self._by_topic: dict[str, list[Route]] = {}
        for topic in sorted({topic for route in routes for topic in route.topics}):
            self.routes_of(topic)

    def deaths(self, topic: str) -> int:
        """After how many deaths of the process at one record of the topic that is not handled again."""
        return min((route.deaths for route in self.routes_of(topic)), default=1)

    def subscription(self) -> list[str]:
        """What to subscribe to; a pattern begins with `^`, as librdkafka wants it."""
        topics = sorted({topic for route in self.routes for topic in route.topics})
        patterns = sorted({route.pattern for route in self.routes if route.pattern is not None})
        return topics + [pattern if pattern.startswith("^") else f"^{pattern}" for pattern in patterns]

    def routes_of(self, topic: str) -> list[Route]:
        """The handlers of a topic."""
        routes = self._by_topic.get(topic)
        if routes is None:
            routes = [route for route in self.routes if topic in route.topics]
            routes += [route for pattern, route in self._patterns if route not in routes and pattern.match(topic)]
            self._check(topic, routes)
            self._by_topic[topic] = routes
        return routes

    def split(self, topic: str, records: list[RawRecord], todo: Sequence[int]) -> list[tuple[Route, Sequence[int]]]:
        """The records by handler; what is left out is unclaimed and may be settled."""
        routes = self.routes_of(topic)
        if len(routes) == 1:
            route = routes[0]
            if route.type is None:
                return [(route, todo)]
            return self._split_one(topic, route, records, todo)
        return self._split_many(topic, routes, records, todo)

    def _split_one(
        self, topic: str, route: Route, records: list[RawRecord], todo: Sequence[int]
    ) -> list[tuple[Route, Sequence[int]]]:
        mine_too = (route.type, None)
        strangers = [i for i in todo if event_type(records[i].headers()) not in mine_too]
        if not strangers:
            return [(route, todo)]
        for i in strangers:
            self._unclaimed(topic, [route], records[i])
        gone = set(strangers)
        mine = [i for i in todo if i not in gone]
        return [(route, mine)] if mine else []

    def _split_many(
        self, topic: str, routes: list[Route], records: list[RawRecord], todo: Sequence[int]
    ) -> list[tuple[Route, Sequence[int]]]:
        by_type = {route.type: route for route in routes}
        any_type = by_type.get(None)
        mine: dict[str | None, list[int]] = {}
        for i in todo:
            route = by_type.get(event_type(records[i].headers()), any_type)
            if route is None:
                self._unclaimed(topic, routes, records[i])
            else:
                mine.setdefault(route.type, []).append(i)
        return [(by_type[kind], indices) for kind, indices in mine.items()]

    def _unclaimed(self, topic: str, routes: list[Route], record: RawRecord) -> None:
        self.unclaimed += 1
        kind = event_type(record.headers()) or "(none)"
        if (topic, kind) in self._said or len(self._said) > 1000:
            return
        self._said.add((topic, kind))
        log.warning(
            "%s: no handler of group %r takes the event type %s; handled here: %s; "
            "the record is settled without being handled, as all of its type will be; this is said once; "
            "to do: if it should be handled here, declare a handler with type=%s, or one without a type",
            place(topic, record.partition(), record.offset()),
            self.group,
            ascii(kind[:80]),
            ", ".join(f"{route.type or 'any type'} ({route.id})" for route in routes),
            ascii(kind[:80]),
        )

    def _check_start(self) -> None:
        """A group has one client, which begins every topic in one way."""
        first, *others = self.routes
        for other in others:
            if other.start != first.start:
                raise DeclarationError(
                    f"handlers of group {self.group!r} begin at different ends: {first.id} at {first.start!r} "
                    f"({first.where}), {other.id} at {other.start!r} ({other.where})",
                    where=other.where,
                    todo="give one of them its own group (group=...), or both the same start",
                )

    def _check(self, topic: str, routes: list[Route]) -> None:
        one = next((route for route in routes if route.transactional), None)
        other = next((route for route in routes if not route.transactional), None)
        if one is not None and other is not None:
            raise DeclarationError(
                f"handler {one.id} of group {self.group!r} is transactional ({one.where}) and {other.id} is not "
                f"({other.where}), and both take topic {topic!r}: the offset that they share is committed either in "
                "transactions or outside of them",
                where=one.where,
                todo="give one of them its own group (group=...), or let both be transactional",
            )
        seen: dict[str | None, Route] = {}
        for route in routes:
            other = seen.setdefault(route.type, route)
            if other is not route:
                claim = f"records of type {route.type!r}" if route.type else "records of any type"
                raise DeclarationError(
                    f"two handlers of group {self.group!r} take {claim} from topic {topic!r}: "
                    f"{other.id} ({other.where}) and {route.id} ({route.where})",
                    where=route.where,
                    todo="give one of them its own group (group=...) so that both see every record, "
                    "or a type (type=...) of its own",
                )
