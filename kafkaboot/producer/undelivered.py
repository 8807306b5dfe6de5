"""What went wrong with a record that was to be published, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.errors import ClientError, KafkabootError, PublishError

if TYPE_CHECKING:
    from kafkaboot.client import ProducerPort

NOT_SENT = "the record was not sent"
UNKNOWN_TOPIC = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"})


def undelivered(port: ProducerPort, error: object, topic: str) -> PublishError:
    """The error of a delivery report."""
    return _publish_error(port.translate(error), topic, "the record was not delivered")


def refused(error: Exception, topic: str) -> PublishError:
    """The error of a record that did not get as far as the client's buffer."""
    if isinstance(error, PublishError):
        error.where = error.where or topic
        return error
    if isinstance(error, ClientError):
        return _publish_error(error, topic, NOT_SENT)
    if isinstance(error, KafkabootError):
        return PublishError(error.what, code="UNENCODABLE", where=topic, fate=NOT_SENT, todo=error.todo)
    return PublishError(
        f"the record could not be made: {type(error).__name__}: {error}",
        code="UNENCODABLE",
        where=topic,
        fate=NOT_SENT,
        todo="correct the key, headers or partition function that raised it",
    )


def buffer_full(topic: str) -> PublishError:
    """The error of a `send` that found no room."""
    return PublishError(
        "the producer's buffer is full: records come faster than the brokers take them",
        code="_QUEUE_FULL",
        retriable=True,
        where=topic,
        fate=NOT_SENT,
        todo="await publish() or publish_batch(), which wait for room, or raise kafkaboot.producer.max-buffered",
    )


def closed(topic: str) -> PublishError:
    """The error of a call after `close`."""
    return PublishError(
        "the producer is closed",
        code="_DESTROY",
        where=topic,
        fate=NOT_SENT,
        todo="publish before the application stops, or make another producer",
    )


def _publish_error(error: ClientError, topic: str, fate: str) -> PublishError:
    what = f"the topic {topic!r} does not exist: {error.what}" if error.code in UNKNOWN_TOPIC else error.what
    return PublishError(
        what,
        code=error.code,
        retriable=error.retriable,
        fatal=error.fatal,
        where=topic,
        fate=fate,
        todo=error.todo or ("try again" if error.retriable else ""),
    )
