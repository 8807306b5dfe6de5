"""The decorators of functions. Each writes down what was said and gives back the very function that it was given."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from kafkaboot.declare import checks
from kafkaboot.declare.marks import HANDLER, HOOK, PUBLISHERS
from kafkaboot.declare.place import caller, frame_place, remember_local_names
from kafkaboot.declare.spec import HandlerSpec, PublisherSpec, RetryPolicy
from kafkaboot.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.declare.spec import Exhausted, Ordering, Start
    from kafkaboot.message import Record

    F = TypeVar("F", bound=Callable[..., Any])


def event_handler(
    *topics: str,
    pattern: str | None = None,
    id: str | None = None,  # noqa: A002 - the option names are a promise to users
    type: str | None = None,  # noqa: A002
    group: str | None = None,
    batch: bool | int | None = None,
    ordering: Ordering | None = None,
    concurrency: int | None = None,
    timeout: float | str | None = None,
    retry: str | RetryPolicy | Literal[False] | None = None,
    on_exhausted: Exhausted | None = None,
    circuit: str | None = None,
    transactional: bool | None = None,
    filter: Callable[[Record], bool] | None = None,  # noqa: A002
    start: Start | None = None,
    inbox: bool | str | None = None,
    inbox_key: str | Callable[[Record], Any] | None = None,
    reply: bool | None = None,
) -> Callable[[F], F]:
    """Let a function, or a component's method, take the records of topics.

    The function stays callable as it was. Every option can also be set in YAML under `kafkaboot.handlers.<id>`, which
    wins; `None` means "not written here".

    Args:
        *topics: Names of topics; `${placeholders}` allowed.
        pattern: A regular expression over topic names, instead of names.
        id: Its name in YAML, metrics, logs and the command line. Default: the function's name.
        type: The event name that it takes. Default: that of the payload's `@event`.
        group: The consumer group. Default: the application's name.
        batch: `True` or a size for lists of records. Default: whether the payload is annotated `list[T]`; `False`
            takes such a payload for a JSON array in one record.
        ordering: `"partition"` (default), `"key"` or `"unordered"`.
        concurrency: Lanes of this handler that may run at once. Default: 8.
        timeout: Seconds, or a text such as `"5s"`, that one call may take. Default: no limit.
        retry: A policy's name, a `RetryPolicy`, or `False` for a single attempt. Default: the policy `default`.
        on_exhausted: What becomes of a record after its last attempt: `"dead-letter"` (default), `"skip"` (it is
            settled and counted) or `"stop"` (the application ends, the record is kept).
        circuit: The name of the circuit through which the handler is called: while it is open, records wait in their
            lanes, and none is given up. Default: none.
        transactional: Whether what it publishes and the offsets of its records are one Kafka transaction: readers of
            committed records see the outputs of each record once, whatever dies or is tried again. Default: False.
        filter: A predicate on the record; what it refuses is settled and counted as filtered.
        start: Where a group without offsets begins, `"earliest"` (default) or `"latest"`.
        inbox: `True`, or a name under `kafkaboot.databases`: the handler is called in a transaction of that database,
            takes its session or connection, and its record's offset is written in the same transaction. What returns
            is committed, and is settled by that, once; what raises is rolled back. Default: no.
        inbox_key: With `inbox`: a header's name (`"ce_id"`), or a function that gets the `Record`. A record whose key
            was handled within `inbox-window` is a repetition, and settled without a call.
        reply: Whether what it returns answers the record, for `producer.request`; it is delivered before the record is
            settled. A record that is given up is answered as well: the asker is told why.

    Raises:
        DeclarationError: At once, when the options contradict each other or the object is no function.
    """
    where = frame_place(caller())
    if len(topics) == 1 and callable(topics[0]):
        raise DeclarationError(
            "@event_handler needs the topics that it takes", where=where, todo='write @event_handler("orders")'
        )
    options = {
        "topics": topics or None,
        "pattern": pattern,
        "id": id,
        "type": type,
        "group": group,
        "batch": batch,
        "ordering": ordering,
        "concurrency": concurrency,
        "timeout": timeout,
        "retry": retry,
        "on_exhausted": on_exhausted,
        "circuit": circuit,
        "transactional": transactional,
        "filter": filter,
        "start": start,
        "inbox": inbox,
        "inbox_key": inbox_key,
        "reply": reply,
    }
    given = {name: value for name, value in options.items() if value is not None}
    checked = _checked(given, where)

    def decorate(function: F) -> F:
        checks.plain_function("event_handler", function, where)
        if HANDLER in function.__dict__:
            raise DeclarationError(
                f"@event_handler stands twice on {function.__name__}",
                where=where,
                todo="name all topics in one @event_handler, or write a second function",
            )
        remember_local_names(function, caller())
        handler = {"id": function.__name__} | checked
        checks.handler_id(handler["id"], where)
        function.__dict__[HANDLER] = HandlerSpec(function, where=where, given=frozenset(given), **handler)
        return function

    return decorate


def _checked(given: dict[str, Any], where: str) -> dict[str, Any]:
    """The options that were written, or the error that they are."""
    topics, pattern = given.get("topics", ()), given.get("pattern")
    if not topics and pattern is None:
        raise DeclarationError(
            "@event_handler has neither topics nor a pattern",
            where=where,
            todo='write @event_handler("orders") or @event_handler(pattern="^orders[.].*")',
        )
    if topics and pattern is not None:
        raise DeclarationError(
            f"@event_handler has both topics and pattern={pattern!r}",
            where=where,
            todo="keep one of them; the pattern may name the topics as alternatives",
        )
    for index, name in enumerate(topics):
        checks.topic("event_handler", name, where)
        if name in topics[:index]:
            raise DeclarationError(f"@event_handler names the topic {name!r} twice", where=where)
    if pattern is not None:
        checks.pattern(pattern, where)
    for option in ("type", "group"):
        if option in given:
            checks.text("event_handler", option, given[option], where, example=f'{option}="billing"')
    if "id" in given:
        checks.handler_id(given["id"], where)
    if "ordering" in given:
        checks.one_of("event_handler", "ordering", given["ordering"], ("partition", "key", "unordered"), where)
    if "start" in given:
        checks.one_of("event_handler", "start", given["start"], ("earliest", "latest"), where)
    if "on_exhausted" in given:
        choices = ("dead-letter", "skip", "stop")
        checks.one_of("event_handler", "on_exhausted", given["on_exhausted"], choices, where)
    if "circuit" in given:
        checks.circuit("event_handler", given["circuit"], where)
    if not isinstance(given.get("transactional", False), bool):
        raise DeclarationError(
            f"@event_handler: transactional must be True or False, not {given['transactional']!r}", where=where
        )
    if not isinstance(given.get("reply", False), bool):
        raise DeclarationError(
            f"@event_handler: reply={given['reply']!r} is neither True nor False",
            where=where,
            todo="write reply=True; where the answer goes stands in the request",
        )
    if "concurrency" in given:
        checks.whole("event_handler", "concurrency", given["concurrency"], where, least=1)
    if "batch" in given and not isinstance(given["batch"], bool):
        checks.whole("event_handler", "batch", given["batch"], where, least=1)
    if "timeout" in given:
        given = given | {"timeout": checks.seconds("timeout", given["timeout"], where)}
    _check_retry(given.get("retry"), where)
    if isinstance(given.get("inbox"), str):
        checks.text("event_handler", "inbox", given["inbox"], where, example='inbox="main"')
    elif not isinstance(given.get("inbox", False), bool):
        raise DeclarationError(
            f"@event_handler: inbox={given['inbox']!r} is neither True nor a database's name",
            where=where,
            todo='write inbox=True, or inbox="main" for kafkaboot.databases.main',
        )
    key = given.get("inbox_key")
    if key is not None and not isinstance(key, str) and (not callable(key) or inspect.iscoroutinefunction(key)):
        raise DeclarationError(
            f"@event_handler: inbox_key must be a header's name or a plain function of the record, not {key!r}",
            where=where,
            todo='for example inbox_key="ce_id"',
        )
    if "filter" in given and (not callable(given["filter"]) or inspect.iscoroutinefunction(given["filter"])):
        raise DeclarationError(
            f"@event_handler: filter must be a plain function of the record, not {given['filter']!r}",
            where=where,
            todo="for example filter=lambda record: record.key is not None",
        )
    return given


def _check_retry(retry: object, where: str) -> None:
    if retry is None or retry is False or isinstance(retry, RetryPolicy):
        return
    if not isinstance(retry, str) or not retry:
        raise DeclarationError(
            f"@event_handler: retry must be a policy's name, a RetryPolicy or False, not {retry!r}",
            where=where,
            todo='leave it out for the policy "default"',
        )


def publisher(
    topic: str,
    *,
    key: str | Callable[[Any], str | bytes | None] | None = None,
    headers: Mapping[str, str | bytes] | Callable[[Any], Mapping[str, str | bytes]] | None = None,
    partition: int | Callable[[Any], int] | None = None,
    type: str | None = None,  # noqa: A002
    producer: str | None = None,
) -> Callable[[F], F]:
    """Publish what a handler, or a component's method called through the container, returns.

    It stacks, above or below `@event_handler`. On a handler the value is delivered before the record is settled.

    Args:
        topic: The topic; `${placeholders}` allowed.
        key: The name of the payload's field that is the key, or a callable that gets the payload.
        headers: Further headers, or a callable that gets the payload and answers them.
        partition: The partition, or a callable that gets the payload. Default: chosen by the key.
        type: The event name to write. Default: that of the payload's `@event`.
        producer: The name of one under `kafkaboot.producers`. Default: the application's own.

    Raises:
        DeclarationError: At once, when an option cannot be used or the object is no function.
    """
    where = frame_place(caller())
    if callable(topic):
        raise DeclarationError(
            "@publisher needs the topic that it writes to", where=where, todo='write @publisher("invoices")'
        )
    checks.topic("publisher", topic, where)
    if not callable(key) and key is not None:
        checks.text("publisher", "key", key, where, example='key="order_id"')
    if partition is not None and not callable(partition):
        checks.whole("publisher", "partition", partition, where, least=0)
    if type is not None:
        checks.text("publisher", "type", type, where, example='type="invoice.issued"')
    if headers is not None and not callable(headers):
        _check_headers(headers, where)
    if producer is not None:
        checks.text("publisher", "producer", producer, where, example='producer="audit"')
    spec = PublisherSpec(topic, key, headers, partition, type, where, producer)

    def decorate(function: F) -> F:
        checks.plain_function("publisher", function, where)
        remember_local_names(function, caller())
        # Decorators run from the bottom up; the tuple reads from the top down.
        function.__dict__[PUBLISHERS] = (spec, *function.__dict__.get(PUBLISHERS, ()))
        return function

    return decorate


def _check_headers(headers: Any, where: str) -> None:
    pairs = headers.items() if hasattr(headers, "items") else [(headers, None)]
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str | bytes):
            raise DeclarationError(
                "@publisher: headers must map names to str or bytes",
                where=where,
                todo='for example headers={"origin": "shop"}, or a function of the payload',
            )


def on_start(method: F) -> F:
    """Call this method of a component, `def` or `async def`, before the first record. It takes nothing but `self`."""
    return _hook("on_start", method)


def on_stop(method: F) -> F:
    """Call this method of a component, `def` or `async def`, after the last record. It takes nothing but `self`."""
    return _hook("on_stop", method)


def _hook(kind: str, method: F) -> F:
    where = frame_place(caller())
    checks.plain_function(kind, method, where)
    parameters = list(inspect.signature(method).parameters.values())
    needed = [p for p in parameters[1:] if p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
    if not parameters or needed:
        raise DeclarationError(
            f"@{kind}: {method.__name__} must be a component's method that takes nothing but self",
            where=where,
            todo="ask for other components in the constructor",
        )
    # Both marks may stand on one method: a hook that is safe to call twice may be shared.
    method.__dict__[HOOK] = method.__dict__.get(HOOK, frozenset()) | {kind}
    return method
