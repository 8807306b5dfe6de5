"""Handlers that are called in a database's transaction: what is refused at start, and their calls wired."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from kafkaboot.boot.failing import retry_topics
from kafkaboot.declare import Kind
from kafkaboot.errors import DeclarationError
from kafkaboot.sql import need_sqlalchemy, no_such_database, unclear, wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.client import TP
    from kafkaboot.consumer import Failing, Positions
    from kafkaboot.consumer.offsets import Assignment
    from kafkaboot.declare import HandlerSpec, Signature
    from kafkaboot.sql import Database, Databases, Inbox, InTransaction, Rehearsal


def check_transaction(spec: HandlerSpec, signature: Signature) -> None:
    """Refuse a handler that has an inbox and cannot be called in its transaction, or the other way round.

    Raises:
        ConfigurationError: SQLAlchemy is not installed.
        DeclarationError: It takes no session, or one of the wrong kind; or it publishes what it returns.
    """
    if not spec.inbox:
        _check_without(spec, signature)
        return
    need_sqlalchemy(f"handler {spec.id} has inbox={spec.inbox!r}, which", spec.where)
    is_async = inspect.iscoroutinefunction(spec.function)
    kinds = ("AsyncSession", "AsyncConnection") if is_async else ("Session", "Connection")
    example = f"session: {kinds[0]}"
    taken = [parameter for parameter in signature.parameters if parameter.kind is Kind.TRANSACTION]
    if not taken:
        raise _refused(
            spec,
            "has an inbox and takes no session, so that nothing of what it does would be in the transaction",
            f"take its session as a parameter: {example} (or {kinds[1]})",
        )
    if len(taken) > 1:
        raise _refused(spec, f"takes the transaction twice: {taken[0].name} and {taken[1].name}", "keep one of the two")
    how = wanted(taken[0].annotation)
    if how is None or how.is_async != is_async:
        is_a = "an `async def`" if is_async else "a `def`"
        raise _refused(
            spec, f"is {is_a} and takes {taken[0].name} as {taken[0].annotation.__name__}", f"take {example} instead"
        )
    answers = "publishes what it returns" if spec.publishers else ""
    if spec.reply:
        answers = "answers requests with what it returns"
    if answers:
        raise _refused(
            spec,
            f"has an inbox and {answers}: after a kill between the commit of the database and the delivery the record "
            "would be settled, and what it returned would never be sent",
            "write it to the outbox in the same transaction: `outbox.add(session, topic, payload)`, and return nothing",
        )
    if spec.transactional:
        raise _refused(
            spec,
            "has an inbox and is transactional: a transaction of Kafka and one of a database cannot be made one",
            "keep one of the two; with an inbox, publish through the outbox",
        )


def _check_without(spec: HandlerSpec, signature: Signature) -> None:
    if spec.inbox_key is not None:
        raise _refused(
            spec, "has inbox_key and no inbox, so that nothing would remember the keys", "write inbox=True beside it"
        )
    for parameter in signature.parameters:
        if parameter.kind is Kind.TRANSACTION:
            raise _refused(
                spec,
                f"takes {parameter.name} as {parameter.annotation.__name__}, and nothing provides one",
                "write inbox=True: it is called in a transaction then; or inject a component that makes sessions",
            )


def refuse_inboxes(handlers: Sequence[Handler], databases: Collection[str], *, brought: bool) -> None:
    """Refuse inboxes in databases that do not exist, and topics of a group that are only partly in one.

    Args:
        handlers: All handlers.
        databases: The names under `kafkaboot.databases`.
        brought: Whether the application brings databases as components, whose names are known once they are built.

    Raises:
        DeclarationError: A handler, or two.
    """
    for handler in handlers:
        inbox = handler.spec.inbox
        if not inbox:
            continue
        if isinstance(inbox, str) and inbox not in databases and not brought:
            raise no_such_database(inbox, databases, f"handler {handler.spec.id}", handler.spec.where)
        if inbox is True and len(databases) != 1 and not brought:
            raise unclear(sorted(databases), f"handler {handler.spec.id}", handler.spec.where)
        for other in handlers:
            if other.group == handler.group and other.spec.inbox != inbox and _share(handler, other):
                theirs = f"the inbox {other.spec.inbox!r}" if other.spec.inbox else "none"
                raise _refused(
                    handler.spec,
                    f"has the inbox {inbox!r}, and handler {other.spec.id} of the same group and topic has {theirs}: a "
                    "partition begins at one place, and each would need its own",
                    f"give one of them a group of its own, or both the same inbox ({other.spec.where})",
                )


def _share(one: Handler, other: Handler) -> bool:
    """Whether both may take records of one topic."""
    this, that = one.spec, other.spec
    overlap = any(map(this.takes, that.topics)) or any(map(that.takes, this.topics))
    return overlap or (this.pattern is not None and that.pattern is not None)


def _refused(spec: HandlerSpec, what: str, todo: str) -> DeclarationError:
    return DeclarationError(f"handler {spec.id} {what}", where=spec.where, todo=todo)


class Inboxes:
    """The inboxes of one start.

    Args:
        databases: The application's databases; `None` where it has none.
    """

    def __init__(self, databases: Databases | None) -> None:
        self.databases = databases
        self._made: dict[tuple[str, str], Inbox] = {}
        self._handlers: dict[str, list[tuple[Handler, Inbox]]] = {}

    def around(self, handler: Handler) -> InTransaction | None:
        """What the handler's calls stand in.

        Raises:
            DeclarationError: It names a database that does not exist.
            ConfigurationError: The database's URL cannot be used, or a driver is not installed.
        """
        spec = handler.spec
        if not spec.inbox:
            return None
        from kafkaboot.sql import Inbox, InTransaction, Keys

        database = self._database(spec)
        key = (handler.group, database.name)
        inbox = self._made.get(key) or self._made.setdefault(key, Inbox(handler.group, database))
        self._handlers.setdefault(handler.group, []).append((handler, inbox))
        keys = None
        if spec.inbox_key is not None:
            keys = Keys(handler.group, spec.id, spec.inbox_key, database.settings.inbox_window)
        session, is_async = _taken(handler)
        return InTransaction(inbox, spec.id, keys, session=session, is_async=is_async)

    def rehearsal(self, handler: Handler) -> Rehearsal | None:
        """The same for a call by hand, of which nothing is to stay in the database."""
        if not handler.spec.inbox:
            return None
        from kafkaboot.sql import Rehearsal

        session, is_async = _taken(handler)
        return Rehearsal(self._database(handler.spec), session=session, is_async=is_async)

    def _database(self, spec: HandlerSpec) -> Database:
        assert self.databases is not None
        named = spec.inbox if isinstance(spec.inbox, str) else None
        return self.databases.get(named, what=f"handler {spec.id}", where=spec.where)

    def watching(self, handler: Handler, failing: Failing) -> Failing:
        """A handler's way with failures, as its inbox wants to know of it."""
        for known, inbox in self._handlers.get(handler.group, ()):
            if known is handler:
                return inbox.watching(failing)
        return failing

    def positions(self, retry_group_of: Mapping[str, str]) -> dict[str, Positions]:
        """By consumer group, what knows where its partitions stand.

        Args:
            retry_group_of: By group, the one that takes its retry topics.
        """
        found: dict[str, Positions] = {}
        for group, handlers in self._handlers.items():
            found[group] = found[retry_group_of[group]] = _OfGroup(handlers)
        return found


def _taken(handler: Handler) -> tuple[type | None, bool]:
    """The class of the session that a handler takes, `None` for a connection; and whether that is an async one."""
    taken = next(parameter for parameter in handler.signature.parameters if parameter.kind is Kind.TRANSACTION)
    how = wanted(taken.annotation)
    assert how is not None
    return taken.annotation if how.session else None, how.is_async


class _OfGroup:
    """Where the partitions of one group stand: each in its topic's inbox, the others in Kafka alone (`Positions`)."""

    def __init__(self, handlers: Sequence[tuple[Handler, Inbox]]) -> None:
        self._handlers = handlers
        self._known: dict[str, Inbox | None] = {}

    def begin(self, assignments: Sequence[Assignment]) -> Mapping[TP, int]:
        starts: dict[TP, int] = {}
        for inbox, mine in self._split(assignments):
            starts |= inbox.begin(mine)
        return starts

    def end(self, assignments: Sequence[Assignment]) -> None:
        for inbox, mine in self._split(assignments):
            inbox.end(mine)

    def forget(self, partitions: Sequence[TP]) -> None:
        for tp in partitions:
            inbox = self._inbox(tp.topic)
            if inbox is not None:
                inbox.forget([tp])

    def _split(self, assignments: Sequence[Assignment]) -> list[tuple[Inbox, list[Assignment]]]:
        split: dict[Inbox, list[Assignment]] = {}
        for assignment in assignments:
            inbox = self._inbox(assignment.tp.topic)
            if inbox is not None:
                split.setdefault(inbox, []).append(assignment)
        return list(split.items())

    def _inbox(self, topic: str) -> Inbox | None:
        if topic not in self._known:
            self._known[topic] = next((inbox for handler, inbox in self._handlers if _takes(handler, topic)), None)
        return self._known[topic]


def _takes(handler: Handler, topic: str) -> bool:
    return handler.spec.takes(topic) or any(topic in retry_topics(handler, source) for source in handler.spec.topics)
