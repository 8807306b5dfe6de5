"""Topics and groups of a measurement's own, which are gone when it is over."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Self

from kafkaboot.client import TopicSpec
from kafkaboot.errors import ClientError, KafkabootError
from kafkaboot.testing.bench.plan import ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from kafkaboot.client.confluent.admin import ConfluentAdmin
    from kafkaboot.client.confluent.factory import ConfluentClients

PREFIX = "kafkaboot-bench-"
EMPTY = 10.0
"""Seconds that the coordinator has to forget the members of a group, and a deleted topic to stay away."""
_PAUSE = 0.05
NEEDS = (
    f"the application's user needs Create, Describe, Read, Write and Delete on topics {PREFIX}*, Read and Delete on "
    f"groups {PREFIX}*, and for transactions Write and Describe on transactional ids {PREFIX}* (kafka-acls --add "
    "--resource-pattern-type prefixed)"
)


class BenchError(KafkabootError):
    """Something cannot be measured."""


class Ground:
    """Makes topics and groups under one prefix, and deletes them when it is left, whatever happened.

    Args:
        clients: The cluster.
        told: Called with each sentence that a person has to know.

    Attributes:
        prefix: What the name of each topic, group and transactional id begins with.
        left: After leaving it: what could not be deleted.
    """

    def __init__(self, clients: ConfluentClients, told: Callable[[str], None] = lambda _: None) -> None:
        self.clients = clients
        self.prefix = PREFIX + secrets.token_hex(4)
        self.left: list[str] = []
        self._told = told
        self._topics: set[str] = set()
        self._groups: set[str] = set()
        self._may_delete: bool | None = None
        self._used = False

    def topic(self, name: str, partitions: int = 4) -> str:
        """A topic of its own, with the broker's default replication.

        Raises:
            BenchError: This user may not make it, or may not delete it afterwards.
            ClientError: The cluster refuses.
        """
        made = f"{self.prefix}-{name}"[:249]
        if made in self._topics:
            return made
        admin = self.clients.admin()
        # Before it is asked for: an answer that does not come leaves it behind as well.
        self._topics.add(made)
        self._used = True
        try:
            admin.create_topics([TopicSpec(made, partitions)], ANSWER)
            if self._may_delete is None:
                allowed = admin.permissions([made], ANSWER)[made]
                self._may_delete = allowed is None or "DELETE" in allowed
        except ClientError as error:
            if "AUTHORIZATION_FAILED" in error.code:
                raise _denied(f"topic {made} cannot be made: {error.what}") from error
            raise
        finally:
            admin.close()
        if not self._may_delete:
            raise _denied(f"topic {made} could not be deleted afterwards, so that nothing is measured with it")
        return made

    def group(self, name: str) -> str:
        """The name of a group of its own."""
        made = f"{self.prefix}-{name}"
        self._groups.add(made)
        self._used = True
        return made

    def drop(self, *topics: str) -> None:
        """Delete topics that nobody uses any more, so that the broker need not keep them until the end."""
        admin = self.clients.admin()
        try:
            admin.delete_topics(topics, ANSWER)
        except ClientError:
            return  # the end tries again, and tells
        finally:
            admin.close()
        self._topics.difference_update(topics)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._clear()
        except KeyboardInterrupt:
            self.left = sorted(self._topics | self._groups)
            raise
        finally:
            if self.left:
                self._told(f"could not be deleted, and is left behind: {', '.join(self.left)}")

    def _clear(self) -> None:
        """Delete all, and look whether it stays away: a client that still asks for a topic brings it back."""
        if not self._used:
            return
        self.left = sorted(self._topics | self._groups)
        admin = self.clients.admin()
        try:
            mine = {name for name in admin.topics(ANSWER) if name.startswith(self.prefix)} | self._topics
            admin.delete_topics(mine, ANSWER)
            self.left = sorted(self._groups)
            self._delete_groups(admin)
            self.left = sorted(name for name in admin.topics(ANSWER) if name.startswith(self.prefix))
            if self.left:
                admin.delete_topics(self.left, ANSWER)
                self.left = []
        except ClientError as error:
            self._told(f"cleaning up: {error.line}")
        finally:
            admin.close()

    def _delete_groups(self, admin: ConfluentAdmin) -> None:
        until = time.monotonic() + EMPTY
        while True:
            try:
                admin.delete_groups(self._groups, ANSWER)
            except ClientError as error:
                if error.code != "NON_EMPTY_GROUP" or time.monotonic() >= until:
                    raise
                time.sleep(_PAUSE)
            else:
                return


def _denied(what: str) -> BenchError:
    return BenchError(what, todo=NEEDS)
