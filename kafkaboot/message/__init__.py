"""What travels: records, headers, codecs."""

from kafkaboot.message.annotation import split, type_name, without_marks, without_none
from kafkaboot.message.codec import content_type, decodable, decoder, encode, encoder
from kafkaboot.message.context import Context
from kafkaboot.message.explain import explain, printable
from kafkaboot.message.handling import HANDLING, Worker, carried, carried_from, correlation_of
from kafkaboot.message.headers import event_type
from kafkaboot.message.record import Headers, RawRecord, Record, place
from kafkaboot.message.reply import ReplyTo, reply_to

__all__ = [
    "HANDLING",
    "Context",
    "Headers",
    "RawRecord",
    "Record",
    "ReplyTo",
    "Worker",
    "carried",
    "carried_from",
    "content_type",
    "correlation_of",
    "decodable",
    "decoder",
    "encode",
    "encoder",
    "event_type",
    "explain",
    "place",
    "printable",
    "reply_to",
    "split",
    "type_name",
    "without_marks",
    "without_none",
]
