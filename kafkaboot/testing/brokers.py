"""The brokers of a test session: each kind is started once, and every test finds it empty."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev import broker_for
from kafkaboot.errors import ClientError
from kafkaboot.testing.probes import eventually

if TYPE_CHECKING:
    from types import TracebackType

    from kafkaboot.client.confluent.admin import ConfluentAdmin
    from kafkaboot.dev import Broker

DEADLINE = 60.0


@runtime_checkable
class Faulty(Protocol):
    """A broker that fails by order."""

    def clear_faults(self) -> None:
        """Answer everything again."""


class RunningBroker:
    """A broker that is there already; it is neither started nor stopped here.

    Args:
        bootstrap_servers: `host:port`.
    """

    kind = "external"

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """It runs on."""

    def describe(self) -> str:
        """One line for the banner."""
        return f"external: {self.bootstrap_servers}, shared by tests"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class SharedBroker:
    """A broker that several tests use one after the other.

    What was there when the first of them came stays; what came into being since is deleted before the next one. So no
    test sees another's records, offsets or groups, and topics and groups have the same names as in production.

    Args:
        broker: The broker; it is started when it is first asked for.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._before: tuple[set[str], set[str]] | None = None

    def fresh(self) -> Broker:
        """The broker, started, with nothing of an earlier test in it. Blocks."""
        if self._before is None:
            self._start()
        admin = ConfluentClients(KafkaSettings(), bootstrap_servers=self.broker.bootstrap_servers).admin()
        try:
            if self._before is None:
                # A broker of the session's own holds nothing, and need not be asked.
                mine = self.broker.kind != RunningBroker.kind
                self._before = (set(), set()) if mine else (set(admin.topics(DEADLINE)), admin.groups(DEADLINE))
                return self.broker
            topics, groups = self._before
            # The broker forgets a member a moment after that one has left.
            eventually(lambda: self._groups_gone(admin, groups), DEADLINE, "the groups of the last test are empty")
            left = {name for name in admin.topics(DEADLINE) if name not in topics and not name.startswith("__")}
            admin.delete_topics(left, DEADLINE)
            if isinstance(self.broker, Faulty):
                self.broker.clear_faults()
        finally:
            admin.close()
        return self.broker

    def _start(self) -> None:
        """What the test is going to need is loaded while the broker's process begins."""
        with ThreadPoolExecutor(1) as pool:
            started = pool.submit(self.broker.start)
            import_module("kafkaboot.testing.app")
            started.result()

    def stop(self) -> None:
        """End the broker, if it was started here; a shared one is left without what tests made on it."""
        if self._before is not None and self.broker.kind == RunningBroker.kind:
            self.fresh()
        self.broker.stop()

    @staticmethod
    def _groups_gone(admin: ConfluentAdmin, before: set[str]) -> bool:
        try:
            admin.delete_groups(admin.groups(DEADLINE) - before, DEADLINE)
        except ClientError as error:
            if error.code != "NON_EMPTY_GROUP":
                raise
            return False
        return True


class SessionBrokers:
    """The brokers of a session, by what a test asked for."""

    def __init__(self) -> None:
        self._shared: dict[str, SharedBroker] = {}

    def fresh(self, asked: str) -> Broker:
        """A broker with nothing of an earlier test in it. Blocks.

        Args:
            asked: `embedded`, `local`, `container`, or the address (`host:port`) of one that runs.

        Raises:
            BrokerStartError: There is no such kind, or it cannot be started here.
        """
        if asked not in self._shared:
            self._shared[asked] = SharedBroker(RunningBroker(asked) if ":" in asked else broker_for(asked))
        return self._shared[asked].fresh()

    def stop(self) -> None:
        """End them all."""
        for shared in self._shared.values():
            shared.stop()
        self._shared.clear()
