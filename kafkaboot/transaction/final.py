"""Failures of transactions after which a group goes no further."""

from __future__ import annotations

from kafkaboot.errors import ClientError, KafkabootError, TransactionError

TOO_LONG = "OFFSET_METADATA_TOO_LARGE"


def is_final(error: KafkabootError) -> bool:
    """Whether no further attempt would mend it: another process has the id, or the brokers cannot take what is said."""
    if not isinstance(error, TransactionError):
        return not isinstance(error, ClientError)
    return error.fenced or error.code == TOO_LONG


def explained(error: KafkabootError, group: str) -> KafkabootError:
    """The same, in words for whoever has to mend it."""
    if getattr(error, "code", "") != TOO_LONG:
        return error
    return TransactionError(
        f"the broker takes less beside an offset than this group's transactions have to say: {error.what}",
        outcome="aborted",
        code=TOO_LONG,
        fatal=True,
        where=f"group {group}",
        todo="raise offset.metadata.max.bytes on the brokers to 4096 or more; without it records that are done out of "
        "order would be handled twice",
    )
