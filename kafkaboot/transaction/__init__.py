"""Consume, process, produce, exactly once: a group's outputs and offsets in one Kafka transaction."""

from kafkaboot.transaction.door import Door
from kafkaboot.transaction.forward import EnclosedForward
from kafkaboot.transaction.group import GroupTransactions

__all__ = ["Door", "EnclosedForward", "GroupTransactions"]
