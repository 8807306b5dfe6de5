"""One transactional id and its client: begun, committed, aborted, replaced. Every method blocks its thread."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from kafkaboot.errors import ClientError, ConfigurationError, KafkabootError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.client import TP, ClientFactory, Committed, TransactionalPort
    from kafkaboot.producer.sender import Producer

log = logging.getLogger("kafkaboot.producer")

LOOK = 10.0
"""Seconds for finding out by reading whether a transaction was committed."""
ASK = 5.0
"""Seconds for asking the broker what it allows."""

Place = tuple["TP", int]
"""Where a record of the transaction stands."""


class Seat:
    """The client is made when it is first needed, and made anew when it is lost; but never after it was fenced.

    Args:
        clients: Makes it.
        transactional_id: The id.
        properties: librdkafka properties.
        timeout: Seconds that a transaction may take; also the limit of each call that ends one.
        make: Makes the `Producer` of a client.
        fence: Called with the error when another process has taken over the id.
    """

    def __init__(
        self,
        clients: ClientFactory,
        transactional_id: str,
        properties: Mapping[str, object],
        timeout: float,
        make: Callable[[TransactionalPort], Producer],
        fence: Callable[[TransactionError], None],
    ) -> None:
        self.transactional_id = transactional_id
        self._clients, self._properties, self._timeout = clients, properties, timeout
        self._make, self._fence = make, fence
        self._port: TransactionalPort | None = None
        self._producer: Producer | None = None
        self._open = False
        self._fenced: TransactionError | None = None
        self._busy = threading.RLock()

    @property
    def alive(self) -> bool:
        """Whether there is a client now."""
        return self._port is not None

    def prepare(self) -> TransactionalPort:
        """Have a client that owns the id.

        Raises:
            ConfigurationError: The transaction's timeout is longer than the broker allows.
            TransactionError: The broker does not let it have the id.
        """
        if self._fenced is not None:
            raise self._fenced
        if self._port is not None and self._port.worn:
            self._discard()
        if self._port is None:
            port = self._clients.transactional(self.transactional_id, self._properties)
            try:
                port.prepare(2 * self._timeout)
            except TransactionError as error:
                _close(port)
                if error.fenced:
                    self._tell(error)
                if error.code == "INVALID_TRANSACTION_TIMEOUT":
                    raise self._too_long() from error
                raise
            self._port, self._producer = port, self._make(port)
        return self._port

    def begin(self) -> Producer:
        """Begin a transaction; answers what publishes into it.

        Raises:
            TransactionError: None can begin.
        """
        with self._busy:
            port = self.prepare()
            try:
                port.begin()
            except TransactionError as error:
                # What became of a client while nobody used it, such as the end of its id's life, costs nobody anything.
                self._give_up(error)
                if error.fenced:
                    raise
                self.prepare().begin()
            self._open = True
            assert self._producer is not None
            return self._producer

    def send_offsets(self, offsets: Mapping[TP, Committed], membership: object) -> None:
        """Put a group's offsets into the transaction.

        Raises:
            TransactionError: It is aborted.
        """
        with self._busy:
            if self._port is None:
                raise self._closed()
            try:
                self._port.send_offsets(offsets, membership, self._timeout)
            except TransactionError as error:
                if error.outcome == "open":
                    self.abort()
                    error.decide("aborted")
                else:
                    self._give_up(error)
                raise

    def commit(self, witness: Callable[[], Place | None]) -> None:
        """Commit; returned means committed.

        Args:
            witness: Asked, when no answer comes, for a record whose fate tells that of the transaction.

        Raises:
            TransactionError: It is aborted, or what became of it cannot be found out.
        """
        with self._busy:
            self._commit(witness)

    def _commit(self, witness: Callable[[], Place | None]) -> None:
        if self._port is None:
            raise self._closed()
        try:
            self._port.commit(self._timeout)
        except TransactionError as error:
            if error.outcome == "open":
                self.abort()
                error.decide("aborted")
                raise
            self._give_up(error)
            place = witness() if error.outcome == "unknown" else None
            committed = None if place is None else self._find_out(error, *place)
            if committed is None:
                raise
            if not committed:
                error.decide("aborted")
                raise
            log.warning(
                "%s: the answer to a commit did not come (%s); the transaction is committed, as its records show",
                self.transactional_id,
                error.code,
            )
        self._open = False

    def abort(self, timeout: float | None = None) -> None:
        """Abort what is open. Whether the broker answers or not, nothing of it will be visible."""
        with self._busy:
            if self._port is None or not self._open:
                return
            self._open = False
            try:
                self._port.abort(timeout or self._timeout)
            except TransactionError as error:
                self._give_up(error)

    def close(self, timeout: float) -> None:
        """Abort what is open, unless it is just ending, and drop the client."""
        if self._busy.acquire(blocking=False):
            try:
                self.abort(timeout)
            finally:
                self._busy.release()
        port, self._port, self._producer = self._port, None, None
        if port is not None:
            port.close(0.0)

    def _give_up(self, error: TransactionError) -> None:
        self._open = False
        self._discard()
        if error.fenced:
            self._tell(error)
        else:
            log.warning("%s; another client takes its place, and ends what it left open", error.line)

    def _tell(self, error: TransactionError) -> None:
        self._fenced = error
        self._fence(error)

    def _discard(self) -> None:
        if self._port is not None:
            _close(self._port)
        self._port = self._producer = None

    def _find_out(self, error: TransactionError, tp: TP, offset: int) -> bool | None:
        """Whether the record is visible, once its transaction has ended for sure; `None` if that cannot be told.

        Taking the id over ends it: then the commit was either written down before, or never will be. Where another
        process has taken it over, that has happened already.
        """
        until = monotonic() + LOOK
        try:
            if not error.fenced:
                self.prepare()
            reader = self._clients.reader()
        except KafkabootError as unreachable:
            log.warning("%s: what became of the transaction cannot be told: %s", self.transactional_id, unreachable)
            return None
        try:
            reader.begin({tp: offset})
            while monotonic() < until:
                found = reader.poll(1, 0.1)
                if found:
                    return found[0].offset() == offset
                if reader.positions[tp] > offset:
                    return False
        except ClientError as unreadable:
            log.warning("%s: what became of the transaction cannot be told: %s", self.transactional_id, unreadable)
        finally:
            reader.close()
        return None

    def _closed(self) -> TransactionError:
        return TransactionError(
            "the producer was closed while the transaction was open",
            outcome="aborted",
            code="_DESTROY",
            where=f"transactional id {self.transactional_id}",
        )

    def _too_long(self) -> ConfigurationError:
        try:
            admin = self._clients.admin()
            most = admin.broker_setting("transaction.max.timeout.ms", ASK)
            admin.close()
        except KafkabootError:
            most = None
        allowed = f"{int(most) / 1000:g} s at most" if most else "less"
        return ConfigurationError(
            f"a transaction's timeout is {self._timeout:g} s, and the broker allows {allowed}"
            " (its transaction.max.timeout.ms)",
            where="kafkaboot.producer.transaction.timeout",
            todo="lower it, or raise the broker's maximum",
        )


def _close(port: TransactionalPort) -> None:
    """Nobody waits for the last reports of a client that is of no more use."""
    threading.Thread(target=port.close, args=(0.0,), name="kafkaboot-discards", daemon=True).start()
