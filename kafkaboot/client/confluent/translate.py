"""librdkafka's errors in the house's words: may the call be tried again, is the client lost, what is to be done."""

from __future__ import annotations

from typing import TypeVar, overload

from confluent_kafka import KafkaError, KafkaException

from kafkaboot.errors import BrokerUnreachableError, ClientError

E = TypeVar("E", bound=ClientError)

_UNREACHABLE = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE"})

# The first line is librdkafka's own, the others are those that Kafka's protocol guide marks as retriable.
_RETRIABLE = frozenset({
    "_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_TIMED_OUT", "_MSG_TIMED_OUT", "_TIMED_OUT_QUEUE", "_QUEUE_FULL",
    "_WAIT_COORD", "_WAIT_CACHE", "_RETRY", "_IN_PROGRESS", "_PREV_IN_PROGRESS", "_ISR_INSUFF", "_NO_OFFSET",
    "UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "INCONSISTENT_TOPIC_ID", "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION", "PREFERRED_LEADER_NOT_AVAILABLE", "LISTENER_NOT_FOUND", "REPLICA_NOT_AVAILABLE",
    "FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "OFFSET_NOT_AVAILABLE", "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    "REQUEST_TIMED_OUT", "NETWORK_EXCEPTION", "INVALID_MSG", "KAFKA_STORAGE_ERROR",
    "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "NOT_CONTROLLER",
    "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "UNSTABLE_OFFSET_COMMIT",
    "REBALANCE_IN_PROGRESS", "CONCURRENT_TRANSACTIONS", "THROTTLING_QUOTA_EXCEEDED", "REBOOTSTRAP_REQUIRED",
    "FETCH_SESSION_ID_NOT_FOUND", "INVALID_FETCH_SESSION_EPOCH",
})  # fmt: skip

_FATAL = frozenset({
    "_FATAL", "_FENCED", "FENCED_INSTANCE_ID", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "UNRELEASED_INSTANCE_ID",
})  # fmt: skip

_GRANT = "grant this application's user the permission (kafka-acls --add), or correct kafkaboot.kafka.security"
_FENCED_TODO = "another process runs under the same id: give every process its own, or end the other one"
_REACH = "check that the broker runs and that kafkaboot.kafka.bootstrap-servers and the network lead to it"
_AGAIN = "nothing, if the brokers come back: the same call may succeed later"
_SIZE = "make the record smaller, or raise message.max.bytes of the producer and of the topic (max.message.bytes)"
_CREDENTIALS = "check the mechanism, username and password in kafkaboot.kafka.security.sasl"
_TODO = {
    "_TRANSPORT": _REACH,
    "_ALL_BROKERS_DOWN": _REACH,
    "_RESOLVE": "a host name cannot be resolved: check kafkaboot.kafka.bootstrap-servers, and what the broker "
    "advertises (advertised.listeners)",
    "_TIMED_OUT": _REACH,
    "_AUTHENTICATION": _CREDENTIALS,
    "SASL_AUTHENTICATION_FAILED": _CREDENTIALS,
    "UNSUPPORTED_SASL_MECHANISM": "the broker offers another mechanism: change kafkaboot.kafka.security.sasl.mechanism",
    "ILLEGAL_SASL_STATE": "the listener speaks another protocol: check kafkaboot.kafka.security.protocol",
    "_SSL": "check kafkaboot.kafka.security: the authority (ssl.ca) must have signed the broker's certificate, whose "
    "names must include the host that is connected to",
    "TOPIC_AUTHORIZATION_FAILED": _GRANT,
    "GROUP_AUTHORIZATION_FAILED": _GRANT,
    "CLUSTER_AUTHORIZATION_FAILED": _GRANT,
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": _GRANT,
    "UNKNOWN_TOPIC_OR_PART": "create the topic, correct its name, or set kafkaboot.kafka.topics: create",
    "_UNKNOWN_TOPIC": "create the topic, correct its name, or set kafkaboot.kafka.topics: create",
    "_NOENT": "the topic or the partition does not exist: correct its name, or create it",
    "_UNKNOWN_PARTITION": "the topic has fewer partitions: choose another, or let the key choose",
    "TOPIC_EXCEPTION": "a topic's name has letters, digits, dots, dashes and underscores only, at most 249 of them",
    "TOPIC_ALREADY_EXISTS": "use the topic that exists, or choose another name",
    "INVALID_REPLICATION_FACTOR": "the cluster has fewer brokers than copies asked for: lower the replication",
    "INVALID_PARTITIONS": "ask for at least one partition",
    "INVALID_CONFIG": "correct the topic's config entry that the broker names",
    "POLICY_VIOLATION": "the cluster's policy refuses this: ask its administrator",
    "MSG_SIZE_TOO_LARGE": _SIZE,
    "RECORD_LIST_TOO_LARGE": _SIZE,
    "INVALID_MSG_SIZE": _SIZE,
    "_MSG_TIMED_OUT": "publish it again when the brokers answer; whether it was written is not known. The limit is "
    "the producer's message.timeout.ms",
    "NOT_ENOUGH_REPLICAS": "too few replicas are in sync for min.insync.replicas: bring the other brokers back",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": "too few replicas are in sync: bring the other brokers back; the record may "
    "have been written",
    "_FENCED": _FENCED_TODO,
    "PRODUCER_FENCED": _FENCED_TODO,
    "INVALID_PRODUCER_EPOCH": _FENCED_TODO,
    "FENCED_INSTANCE_ID": _FENCED_TODO,
    "_MAX_POLL_EXCEEDED": "the consumer did not poll within max.poll.interval.ms and lost its partitions",
    "UNKNOWN_MEMBER_ID": "the group went on without this member: its partitions are handled by another one",
    "ILLEGAL_GENERATION": "the group went on without this member: its partitions are handled by another one",
    "INCONSISTENT_GROUP_PROTOCOL": "all members of a group need one partition.assignment.strategy and one "
    "group.protocol: stop the others before changing it",
    "INVALID_SESSION_TIMEOUT": "choose a session.timeout.ms between the broker's group.min.session.timeout.ms and "
    "group.max.session.timeout.ms",
    "GROUP_MAX_SIZE_REACHED": "the group is full (the broker's group.max.size): run fewer members",
    "OFFSET_METADATA_TOO_LARGE": "raise the broker's offset.metadata.max.bytes",
    "UNSUPPORTED_VERSION": "the broker is too old for this request: upgrade it, or leave the feature off",
    "_UNSUPPORTED_FEATURE": "the broker or this librdkafka is too old for it: upgrade, or leave the feature off",
    "_QUEUE_FULL": "publish more slowly, or raise queue.buffering.max.messages of the producer",
}

# What a security protocol that the listener does not speak looks like from here. librdkafka has no code for it.
_MISMATCH = (
    ("wrong version number", "the broker's listener speaks plain text and this client TLS"),
    ("packet length too long", "the broker's listener speaks plain text and this client TLS"),
    ("connecting to a PLAINTEXT broker listener", "the broker's listener speaks plain text and this client TLS"),
    ("connecting to a SSL listener", "the broker's listener speaks TLS or asks for SASL, and this client does not"),
    (
        "Request not valid in current SASL state",
        "the broker's listener does not ask for SASL, and this client offers it",
    ),
    ("connecting to a SASL listener", "the broker's listener asks for SASL, and this client does not offer it"),
    ("incorrect security.protocol", "the broker's listener speaks another security protocol than this client"),
)
_MISMATCH_TODO = "set kafkaboot.kafka.security.protocol to the listener's (plaintext, ssl, sasl_plaintext, sasl_ssl)"


@overload
def client_error(error: KafkaError | KafkaException, *, where: str = ..., fate: str = ...) -> ClientError: ...


@overload
def client_error(error: KafkaError | KafkaException, *, where: str = ..., fate: str = ..., kind: type[E]) -> E: ...


def client_error(
    error: KafkaError | KafkaException, *, where: str = "", fate: str = "", kind: type[ClientError] | None = None
) -> ClientError:
    """The same error in the house's tree.

    Args:
        error: librdkafka's, or the exception around it.
        where: A topic, partition and offset, or what was asked of which brokers.
        fate: What became of the record, where there is one.
        kind: The class to make; left out, `BrokerUnreachableError` when no broker could be reached, else
            `ClientError`.
    """
    inner = _inner(error)
    if inner is None:
        return (kind or ClientError)(str(error) or type(error).__name__, code="UNKNOWN", where=where, fate=fate)
    code, text = inner.name(), inner.str()
    mismatch = mismatch_in(text)
    made = kind or (BrokerUnreachableError if code in _UNREACHABLE else ClientError)
    return made(
        f"{text} ({code}): {mismatch}" if mismatch else f"{text} ({code})",
        code=code,
        retriable=not mismatch and not is_fatal(inner) and (code in _RETRIABLE or inner.retriable()),
        fatal=is_fatal(inner),
        where=where,
        fate=fate,
        todo=_MISMATCH_TODO if mismatch else _TODO.get(code) or (_AGAIN if code in _RETRIABLE else ""),
    )


def kafka_exception(raised: BaseException | None) -> KafkaException | None:
    """What librdkafka said, in what a call raised.

    A callback that runs while a fatal error is about to be raised turns it into the cause of a `SystemError`.
    """
    while raised is not None and not isinstance(raised, KafkaException):
        raised = raised.__cause__
    return raised


def is_fatal(error: KafkaError) -> bool:
    """Whether the client that reported it must be thrown away."""
    return bool(error.fatal()) or error.name() in _FATAL


def mismatch_in(text: str) -> str:
    """What a text of librdkafka says about two sides that speak different security protocols; else empty."""
    return next((meaning for sign, meaning in _MISMATCH if sign in text), "")


def _inner(error: KafkaError | KafkaException) -> KafkaError | None:
    if isinstance(error, KafkaError):
        return error
    first = error.args[0] if error.args else None
    return first if isinstance(first, KafkaError) else None
