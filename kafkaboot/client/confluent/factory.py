"""Makes clients that all carry the application's address and security."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from kafkaboot.client.confluent import librdkafka
from kafkaboot.client.settings import as_librdkafka
from kafkaboot.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.client.confluent.admin import ConfluentAdmin
    from kafkaboot.client.confluent.consumer import ConfluentConsumer
    from kafkaboot.client.confluent.producer import ConfluentProducer
    from kafkaboot.client.confluent.reader import TopicReader
    from kafkaboot.client.confluent.transactional import ConfluentTransactional
    from kafkaboot.client.settings import KafkaSettings

C = TypeVar("C")

# What the presets say, for clients that have none: see there.
_DEFAULTS: dict[str, Any] = {"reconnect.backoff.max.ms": 1000, "metadata.recovery.strategy": "none"}


class ConfluentClients:
    """`ClientFactory` on confluent-kafka.

    Args:
        settings: `kafkaboot.kafka`.
        bootstrap_servers: The address of a broker that was started, in place of the configured one.
        client_id: Used when the settings have none.
    """

    def __init__(self, settings: KafkaSettings, *, bootstrap_servers: str | None = None, client_id: str = "") -> None:
        self._common = {**_DEFAULTS, **settings.client_properties(bootstrap_servers, client_id)}

    @property
    def bootstrap_servers(self) -> str:
        """The address that clients begin with."""
        return str(self._common["bootstrap.servers"])

    def validate(
        self, overrides: Mapping[str, object] | None = None, where: str = "kafkaboot.kafka.properties"
    ) -> None:
        """Ask librdkafka whether it takes the properties; no broker is needed.

        Args:
            overrides: Properties of one client, for example `kafkaboot.consumer.properties`.
            where: Where they were written.

        Raises:
            ConfigurationError: One is unknown or has a value that cannot be; the nearest known name is suggested.
        """
        config = {**self._common, **as_librdkafka(overrides or {})}
        try:
            Producer({**config, "logger": librdkafka.logger()})
        except (KafkaException, TypeError, ValueError) as error:
            raise _refused(config, error, where) from error

    def consumer(self, group: str, overrides: Mapping[str, object]) -> ConfluentConsumer:
        """A member for `group`."""
        from kafkaboot.client.confluent.consumer import ConfluentConsumer

        return self._make(ConfluentConsumer, {"group.id": group, **overrides}, f"the consumer of group {group}")

    def producer(self, overrides: Mapping[str, object]) -> ConfluentProducer:
        """A producer."""
        from kafkaboot.client.confluent.producer import ConfluentProducer

        return self._make(ConfluentProducer, overrides, "the producer")

    def transactional(self, transactional_id: str, overrides: Mapping[str, object]) -> ConfluentTransactional:
        """A producer of transactions."""
        from kafkaboot.client.confluent.transactional import ConfluentTransactional

        config = {**overrides, "transactional.id": transactional_id}
        return self._make(ConfluentTransactional, config, f"the transactional producer {transactional_id}")

    def admin(self) -> ConfluentAdmin:
        """An admin client."""
        from kafkaboot.client.confluent.admin import ConfluentAdmin

        return self._make(ConfluentAdmin, {}, "the admin client")

    def reader(self) -> TopicReader:
        """What looks on, outside any group."""
        from kafkaboot.client.confluent.reader import TopicReader

        return self._make(TopicReader, {}, "the reader")

    def bare_producer(self, overrides: Mapping[str, object]) -> Any:
        """confluent-kafka's own producer with the same address and security: what a measurement compares with."""
        return self._make(Producer, overrides, "the bare producer")

    def bare_consumer(self, group: str, overrides: Mapping[str, object]) -> Any:
        """The same of its consumer."""
        return self._make(Consumer, {"group.id": group, **overrides}, f"the bare consumer of group {group}")

    def _make(self, kind: Callable[[dict[str, Any]], C], overrides: Mapping[str, object], whose: str) -> C:
        config = {**self._common, **as_librdkafka(overrides)}
        try:
            return kind({**config, "logger": librdkafka.logger()})
        except (KafkaException, TypeError, ValueError) as error:
            raise _refused(config, error, whose) from error


def _refused(config: Mapping[str, object], error: Exception, where: str) -> ConfigurationError:
    """Names the property that librdkafka does not take: it reports only the first, and by another of its names."""
    for key, value in config.items():
        try:
            Producer({key: value, "log_level": 0})
        except (KafkaException, TypeError, ValueError) as single:
            text = _text(single)
            if "No such configuration property" in text:
                near = difflib.get_close_matches(key, librdkafka.property_names(), n=1, cutoff=0.7)
                return ConfigurationError(
                    f"librdkafka has no property `{key}`",
                    where=where,
                    todo=f"did you mean `{near[0]}`?" if near else "remove it, or correct its name",
                )
            if "Failed to create" not in text:  # what is refused only for want of the others is judged below
                return ConfigurationError(
                    f"librdkafka does not take this value of `{key}`: {text}", where=where, todo="correct the value"
                )
    return ConfigurationError(
        f"librdkafka refuses the properties: {_text(error)}",
        where=where,
        todo="correct the property that it names; security comes from kafkaboot.kafka.security",
    )


def _text(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return (first.str() if isinstance(first, KafkaError) else str(first)).strip()
