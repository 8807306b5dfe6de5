"""Sees to it that a letter's topic exists where it was not known at start: that of a handler with a pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.topics import TopicUse, look_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafkaboot.client import ClientFactory
    from kafkaboot.topics import TopicSettings

TIMEOUT = 10.0


class LetterTopics:
    """Looks a topic up before the first letter to it, and makes it where it is missing. One thread calls it.

    Args:
        clients: Makes the admin client.
        declared: `kafkaboot.topics`.
        single_broker: Whether the cluster cannot hold more than one copy.
    """

    def __init__(
        self, clients: ClientFactory, declared: Mapping[str, TopicSettings], *, single_broker: bool = False
    ) -> None:
        self._clients, self._declared, self._single = clients, declared, single_broker
        self._there: set[str] = set()

    def see_to(self, topic: str, source: str) -> None:
        """Make the topic like its source, unless it is there.

        Raises:
            ClientError: The cluster cannot be asked, or refuses to make it.
            UnfitTopicError: It may not be written to.
        """
        if topic in self._there:
            return
        use = TopicUse(topic, f"dead letters of {source} go to it", "", source=source)
        admin = self._clients.admin()
        try:
            look_up(admin, [use], self._declared, "validate", own="create", single_broker=self._single, timeout=TIMEOUT)
        finally:
            admin.close()
        self._there.add(topic)

    def forget(self, topic: str) -> None:
        """It is not there after all."""
        self._there.discard(topic)
