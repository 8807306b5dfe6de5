"""From a raw record to a call of the user's function. All that can be decided at start is decided here, once.

The common handler takes its payload and components: then a call is one decode and one function call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from kafkaboot.consumer.batches import NotBegun
from kafkaboot.consumer.route import Plain
from kafkaboot.declare import NOTHING, Kind
from kafkaboot.errors import BatchFailed, UndecodableError
from kafkaboot.message import Context, Record, correlation_of, decoder, explain, place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.consumer.route import Around, BatchCall, Call, Counters
    from kafkaboot.declare import Parameter, Signature
    from kafkaboot.message import RawRecord

    Getter = Callable[[RawRecord, int], Any]


class Calls:
    """Builds the call of one handler.

    Args:
        function: The user's function; a method is bound.
        signature: What fills each parameter.
        filled: The components, by parameter.
        name: The handler's id.
        timeout: Seconds that one call of an `async def` may take; then it is cancelled and has failed.
        accepts: The handler's filter: what it refuses is settled without a call.
        counters: Where filtered records are counted.
        guard: Wraps what is called for records that were accepted, its timeout included: its circuit.
        around: What each call stands in; see `Around`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Signature,
        filled: Mapping[str, Any],
        *,
        name: str,
        counters: Counters,
        is_async: bool,
        timeout: float | None = None,
        accepts: Callable[[Record], bool] | None = None,
        guard: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
        around: Around | None = None,
    ) -> None:
        self._signature = signature
        self._filled = dict(filled)
        self._function = partial(function, **self._filled) if self._filled else function
        self._logger = logging.getLogger(f"kafkaboot.handlers.{name}")
        self._name = name
        self._timeout = timeout
        self._accepts = accepts
        self._guard = guard
        self._around = around
        self._counters = counters
        self._is_async = is_async
        self._lock = threading.Lock()
        self._open = [p for p in signature.parameters if p.kind is not Kind.INJECT]

    def single(self) -> Call:
        """The call for single records.

        Raises:
            DeclarationError: The payload's annotation cannot be decoded into.
        """
        payload = self._payload_alone()
        if payload is not None:
            call = _payload_only(self._function, payload)
        else:
            call = _by_getters(self._function, [(p.name, self._getter(p)) for p in self._open])
        if self._is_async and self._timeout is not None:
            call = self._timed(call)
        if self._around is not None:
            call = self._around.single(call)
        if self._guard is not None:
            call = self._guard(call)
        if self._accepts is not None:
            call = self._filtered(call, self._accepts)
        return call

    def plain(self) -> Plain | None:
        """The shorter way, for handlers that take their payload and components only."""
        payload = self._payload_alone()
        if (
            payload is None
            or self._around is not None
            or self._accepts is not None
            or (self._is_async and self._timeout is not None)
        ):
            return None
        function = self._function if self._guard is None else self._guard(self._function)
        return Plain(function, decoder(payload.annotation), payload.annotation)

    def _payload_alone(self) -> Parameter | None:
        payload = self._signature.payload
        alone = len(self._open) == 1 and payload is self._signature.parameters[0]
        return payload if alone and payload is not None and not payload.keyword_only else None

    def batch(self) -> BatchCall:
        """The call for lists of records.

        Raises:
            DeclarationError: The payload's annotation cannot be decoded into.
        """
        getters = [(p.name, self._batch_getter(p)) for p in self._open]
        function = self._function

        def call(raws: Sequence[RawRecord], attempt: int = 1) -> Any:
            return function(**{name: get(raws, attempt) for name, get in getters})

        if self._is_async and self._timeout is not None:
            call = self._timed(call)
        if self._around is not None:
            call = self._around.batch(call)
        if self._guard is not None:
            call = self._guard(call)
        if self._accepts is not None:
            call = self._filtered_batch(call, self._accepts)
        return call

    # --- where arguments come from

    def _getter(self, parameter: Parameter) -> Getter:
        kind, default = parameter.kind, parameter.default
        if kind is Kind.PAYLOAD:
            decode = decoder(parameter.annotation)
            return lambda raw, _: _decoded(decode, parameter.annotation, raw)
        if kind is Kind.RECORD:
            return lambda raw, _: Record.of(raw)
        if kind is Kind.CONTEXT:
            return self._context
        if kind is Kind.TRANSACTION:
            return self._transaction
        wants_text = parameter.annotation is str

        def text_of(raw: RawRecord, _: int) -> Any:
            value = raw.key() if kind is Kind.KEY else _header(raw, parameter.header)
            if value is not None:
                return _text(value, raw, parameter) if wants_text else value
            if parameter.required:
                missing = "key" if kind is Kind.KEY else f"header {parameter.header!r}"
                raise UndecodableError(
                    f"the record has no {missing}, which parameter {parameter.name!r} wants",
                    todo=f"annotate it {'str' if wants_text else 'bytes'} | None, or give it a default",
                )
            return None if default is NOTHING else default

        return text_of

    def _batch_getter(self, parameter: Parameter) -> Callable[[Sequence[RawRecord], int], Any]:
        if parameter.kind is Kind.RECORDS:
            return lambda raws, _: [Record.of(raw) for raw in raws]
        if parameter.kind is Kind.CONTEXT:
            return lambda _, attempt: self._context(None, attempt)
        if parameter.kind is Kind.TRANSACTION:
            return self._transaction
        annotation, decode = parameter.annotation, decoder(parameter.annotation)

        def decoded(raws: Sequence[RawRecord], _: int) -> Any:
            try:
                return [decode(raw.value()) for raw in raws]
            except Exception:
                for index, raw in enumerate(raws):
                    try:
                        _decoded(decode, annotation, raw)
                    except UndecodableError as error:
                        raise NotBegun(index, error) from error
                raise

        return decoded

    def _context(self, raw: RawRecord | None, attempt: int) -> Context:
        return Context(
            attempt,
            None if self._timeout is None else monotonic() + self._timeout,
            None if raw is None else correlation_of(raw),
            self._logger,
        )

    def _transaction(self, _: object, __: int) -> Any:
        assert self._around is not None
        return self._around.current()

    # --- around the call, only where the handler asks for it

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        limit, name = self._timeout, self._name

        async def timed(raw: Any, attempt: int = 1) -> Any:
            try:
                async with asyncio.timeout(limit) as time:
                    return await call(raw, attempt)
            except TimeoutError as error:
                if time.expired():
                    raise TimeoutError(f"{name} took longer than {limit:g} s, its timeout") from error
                raise

        return timed

    def _filtered(self, call: Call, accepts: Callable[[Record], bool]) -> Call:
        if not self._is_async:
            return lambda raw, attempt=1: call(raw, attempt) if accepts(Record.of(raw)) else self._refused(1)

        async def filtered(raw: RawRecord, attempt: int = 1) -> Any:
            return await call(raw, attempt) if accepts(Record.of(raw)) else self._refused(1)

        return filtered

    def _filtered_batch(self, call: BatchCall, accepts: Callable[[Record], bool]) -> BatchCall:
        def accepted(raws: Sequence[RawRecord]) -> list[int]:
            return [index for index, raw in enumerate(raws) if accepts(Record.of(raw))]

        def filtered(raws: Sequence[RawRecord], attempt: int = 1) -> Any:
            kept = accepted(raws)
            try:
                result = call([raws[index] for index in kept], attempt) if kept else None
            except BatchFailed as failed:
                raise _placed(failed, kept) from failed
            self._refused(len(raws) - len(kept))
            return result

        async def filtered_async(raws: Sequence[RawRecord], attempt: int = 1) -> Any:
            kept = accepted(raws)
            try:
                result = await call([raws[index] for index in kept], attempt) if kept else None
            except BatchFailed as failed:
                raise _placed(failed, kept) from failed
            self._refused(len(raws) - len(kept))
            return result

        return filtered_async if self._is_async else filtered

    def _refused(self, count: int) -> None:
        """Records that are settled without having been handled."""
        with self._lock:
            self._counters.filtered += count


def _payload_only(function: Callable[..., Any], payload: Parameter) -> Call:
    annotation, decode = payload.annotation, decoder(payload.annotation)

    def call(raw: RawRecord, attempt: int = 1) -> Any:  # noqa: ARG001 - the shape of `Call`
        try:
            decoded = decode(raw.value())
        except Exception as error:
            raise explain(error, annotation, raw.value()) from error
        return function(decoded)

    return call


def _by_getters(function: Callable[..., Any], getters: list[tuple[str, Getter]]) -> Call:
    def call(raw: RawRecord, attempt: int = 1) -> Any:
        return function(**{name: get(raw, attempt) for name, get in getters})

    return call


def _decoded(decode: Callable[[bytes | None], Any], annotation: Any, raw: RawRecord) -> Any:
    try:
        return decode(raw.value())
    except Exception as error:
        raise explain(error, annotation, raw.value()) from error


def _header(raw: RawRecord, name: str) -> bytes | None:
    found = None
    for known, value in raw.headers() or ():
        if known == name:
            found = value
    return found


def _text(value: bytes, raw: RawRecord, parameter: Parameter) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        what = f"header {parameter.header!r}" if parameter.header else "key"
        raise UndecodableError(
            f"the {what} of {place(raw.topic(), raw.partition(), raw.offset())} is not UTF-8 text: {error.reason} "
            f"at byte {error.start}",
            todo=f"annotate parameter {parameter.name!r} with bytes",
        ) from error


def _placed(failed: BatchFailed, kept: list[int]) -> BatchFailed:
    """The failure with its index in the whole batch, filtered records included."""
    return type(failed)(kept[failed.index], failed.cause) if 0 <= failed.index < len(kept) else failed
