"""What travels: records, headers, codecs."""

from kafkaboot.message.record import Headers, RawRecord, Record, place

__all__ = ["Headers", "RawRecord", "Record", "place"]
