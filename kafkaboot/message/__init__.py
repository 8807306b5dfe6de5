"""What travels: records, headers, codecs."""

from kafkaboot.message.annotation import split, type_name, without_marks, without_none
from kafkaboot.message.codec import content_type, decodable, decoder, encode, encoder
from kafkaboot.message.context import Context
from kafkaboot.message.explain import explain, printable
from kafkaboot.message.headers import event_type
from kafkaboot.message.record import Headers, RawRecord, Record, place

__all__ = [
    "Context",
    "Headers",
    "RawRecord",
    "Record",
    "content_type",
    "decodable",
    "decoder",
    "encode",
    "encoder",
    "event_type",
    "explain",
    "place",
    "printable",
    "split",
    "type_name",
    "without_marks",
    "without_none",
]
