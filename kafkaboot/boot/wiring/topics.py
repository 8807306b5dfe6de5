"""The look at topics before the first record: `kafkaboot.topics` and `kafkaboot.kafka.topics`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kafkaboot.boot.autoconfiguration import AutoConfiguration
from kafkaboot.boot.desk import DeskBroker
from kafkaboot.client import ClientFactory
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.config import Configuration
from kafkaboot.topics import TopicSettings, hold, look_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.topics import TopicUse

log = logging.getLogger("kafkaboot.topics")


class TopicCheck:
    """Looks topics up at start."""

    def __init__(
        self,
        clients: ClientFactory,
        settings: KafkaSettings,
        topics: dict[str, TopicSettings],
        broker: DeskBroker | None,
        configuration: Configuration,
    ) -> None:
        self._clients, self._settings, self._topics, self._broker = clients, settings, topics, broker
        self._configuration = configuration

    def run(self, uses: Sequence[TopicUse]) -> list[str]:
        """Create or validate, as `kafkaboot.kafka.topics` says; answers what was created. Blocks.

        With `auto` the house's own topics (dead letters, retries) are created on any broker, the application's only
        on one of the desk. Where a topic that is there is not as `kafkaboot.topics` says, `validate` refuses to
        start, and the others tell it and leave it as it is: `kafkaboot topics apply` is what changes topics.

        Raises:
            MissingTopicError: A topic is missing and is not to be created.
            UnfitTopicError: A topic of the house's own cannot take what is to go there; or, with `validate`, one is not
                as it is declared.
            ClientError: The cluster cannot be asked.
        """
        said = self._settings.topics
        if said == "off" or not (uses or self._topics):
            return []
        own = "create" if said == "auto" else said
        action = "validate" if said == "auto" and self._broker is None else own
        admin = self._clients.admin()
        try:
            created = look_up(admin, uses, self._topics, action, own=own, single_broker=self._broker is not None)
            there = {name: settings for name, settings in self._topics.items() if name not in created}
            if there:
                places, strict = topic_places(self._configuration), said == "validate"
                hold(admin, uses, there, places, strict=strict, single_broker=self._broker is not None)
        finally:
            admin.close()
        if created:
            log.info("created topics: %s", ", ".join(created))
        return created


def topic_places(configuration: Configuration) -> dict[str, str]:
    """File and line by key below `kafkaboot.topics`."""
    start = "kafkaboot.topics."
    entries = configuration.entries()
    return {entry.key.removeprefix(start): str(entry.origin) for entry in entries if entry.key.startswith(start)}


TOPICS = AutoConfiguration(
    "topics", sections={"topics": dict[str, TopicSettings]}, offers=(TopicCheck,), after=("kafka",)
)
