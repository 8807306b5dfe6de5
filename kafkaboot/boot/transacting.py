"""Handlers with `transactional=True`: what they may not be, where their outputs go, and their groups' transactions."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from kafkaboot.boot.lifecycle import in_thread
from kafkaboot.errors import ConfigurationError, DeclarationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.consumer import ConsumerSettings
    from kafkaboot.declare import HandlerSpec, RetryPolicy
    from kafkaboot.producer import Producer
    from kafkaboot.transaction import GroupTransactions


def refuse_contradictions(spec: HandlerSpec, retry: RetryPolicy, retry_name: str) -> None:
    """Refuse what a transactional handler cannot be.

    Raises:
        DeclarationError: It is.
    """
    if spec.ordering == "unordered":
        raise DeclarationError(
            f"handler {spec.id} is transactional and unordered: one slow record would hold back the offset, and more "
            "would be done beyond it than a commit can say",
            where=spec.where,
            todo='take ordering="key" or "partition"',
        )
    if spec.reply:
        raise DeclarationError(
            f"handler {spec.id} is transactional and answers requests: its answer would not be seen before its "
            "transaction has ended, nor the word that a request was given up",
            where=spec.where,
            todo="leave one of the two out; a handler that answers may publish in a transaction of its own",
        )
    if retry.keep_order is not None:
        raise DeclarationError(
            f"handler {spec.id} is transactional, and its retry policy {retry_name!r} keeps the order of keys: which "
            "keys wait cannot be told while their transaction is open",
            where=spec.where,
            todo="leave keep-order out, or retry in the lane only (no topics), which keeps the order as well",
        )


class Enclosing:
    """The transactions of the application's groups, each made when its first handler is wired.

    Args:
        settings: `kafkaboot.consumer`.
        joined: The application's producers: their publishes inside of handlers join a transaction.
    """

    def __init__(self, settings: ConsumerSettings, joined: Sequence[Producer] = ()) -> None:
        self._settings, self._joined = settings, joined
        self._groups: dict[str, GroupTransactions] = {}
        self._producers: dict[str, Producer | None] = {}

    def of(self, group: str, handler: Handler, producer: Producer | None) -> GroupTransactions | None:
        """Those of a handler's group; `None` where the handler has none.

        Args:
            group: The group: the handler's own, or that of its retry topics.
            handler: The handler.
            producer: The application's: its settings hold for these transactions as well.

        Raises:
            ConfigurationError: A setting contradicts transactions.
        """
        if not handler.spec.transactional:
            return None
        if group not in self._groups:
            self._groups[group] = self._made(group, handler, producer)
            self._producers[group] = producer
        return self._groups[group]

    def beside(self, group: str, other: str, handler: Handler) -> GroupTransactions | None:
        """Those of another group, with the producer of the handler's own."""
        return self.of(other, handler, self._producers[group])

    def _made(self, group: str, handler: Handler, producer: Producer | None) -> GroupTransactions:
        from kafkaboot.transaction import GroupTransactions

        spec, settings = handler.spec, self._settings
        pool = producer.transactions if producer is not None else None
        if pool is None:
            raise DeclarationError(
                f"handler {spec.id} is transactional, and the application's own Producer was made without transactions",
                where=spec.where,
                todo="give it a `Transactions`, or leave the producer to kafkaboot",
            )
        isolation = str(settings.properties.get("isolation.level", "read_committed"))
        if isolation != "read_committed":
            raise ConfigurationError(
                f"handler {spec.id} ({spec.where}) is transactional, and its consumer is to read {isolation!r}: "
                "what it reads may be aborted, and what it makes of that would stay",
                where="kafkaboot.consumer.properties.isolation.level",
                todo="remove it: a group with a transactional handler reads committed records",
            )
        if settings.group_protocol == "classic" and pool.timeout >= settings.session_timeout:
            raise ConfigurationError(
                f"handler {spec.id} ({spec.where}) is transactional; a transaction may take {pool.timeout:g} s, "
                f"and its member is dead after {settings.session_timeout:g} s: who takes over would wait for the "
                "transaction of the dead one",
                where="kafkaboot.producer.transaction.timeout",
                todo="make it shorter than kafkaboot.consumer.session-timeout",
            )
        made = GroupTransactions(
            group,
            pool.seat(group),
            settings.transaction,
            timeout=pool.timeout,
            offsets_interval=settings.commit_interval,
            ended=pool.ended,
        )
        made.ends.served = self._burst_over
        return made

    def _burst_over(self) -> None:
        """Wake whoever awaits what it has published inside of a handler."""
        for producer in self._joined:
            producer.outbox.burst_over()

    async def prepare(self) -> None:
        """Take over all ids: what a killed predecessor left open is aborted, and what is wrong is told.

        Raises:
            KafkabootError: The brokers do not let this process have one.
        """
        await asyncio.gather(*(in_thread(partial(_prepare, one)) for one in self._groups.values()))


def _prepare(one: GroupTransactions) -> None:
    try:
        one.prepare()
    except BaseException:
        one.close()
        raise
