"""Publishing: `Producer`, and what handlers and components return, sent on."""

from kafkaboot.producer.delivery import Delivery
from kafkaboot.producer.receipt import Receipt, Receipts
from kafkaboot.producer.sender import Producer, SyncProducer

__all__ = ["Delivery", "Producer", "Receipt", "Receipts", "SyncProducer"]
