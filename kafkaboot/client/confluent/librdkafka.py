"""The C library below confluent-kafka: what it logs, and what it can do that its Python face does not."""

from __future__ import annotations

import ctypes
import logging
import re
import sys
import time
from functools import lru_cache

from confluent_kafka import Consumer, Producer, cimpl, version
from confluent_kafka.admin import AdminClient

_QUIET_SECONDS = 10.0
_REMEMBERED = 1000
_VARYING = re.compile(r"rdkafka#\w+-\d+|\(after \d+ms[^)]*\)|, \d+ identical error\(s\) suppressed")


class _Flood(logging.Filter):
    """Lets a line pass once in ten seconds: a client that cannot reach its broker says so twenty times a second.

    That a consumer's property is given to a producer is dropped altogether: `kafkaboot.kafka.properties` is for
    every client by intention.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "CONFWARN" in text and "will be ignored by this" in text:
            return False
        key, now = _VARYING.sub("", text), time.monotonic()
        if now - self._seen.get(key, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return False
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[key] = now
        return True


@lru_cache(maxsize=1)
def logger() -> logging.Logger:
    """Where librdkafka's lines go in place of standard error: `kafkaboot.librdkafka`."""
    found = logging.getLogger("kafkaboot.librdkafka")
    found.addFilter(_Flood())
    return found


@lru_cache(maxsize=1)
def symbols() -> ctypes.CDLL:
    """The functions of librdkafka. Opening the extension module finds them wherever the library itself is."""
    return ctypes.CDLL(cimpl.__file__)


def handle(client: object) -> ctypes.c_void_p | None:
    """The `rd_kafka_t` of a client, for functions that its Python face does not have; `None` where it has none.

    It is the first thing in the objects of confluent-kafka 2; none of any other version is looked into. Who asks sees
    to it that nobody closes the client meanwhile.
    """
    if not isinstance(client, Producer | Consumer | AdminClient) or not _reachable():
        return None
    found = ctypes.c_void_p.from_address(id(client) + object.__basicsize__).value
    return ctypes.c_void_p(found) if found else None


@lru_cache(maxsize=1)
def _reachable() -> bool:
    """Windows finds no function of a library that the extension module only leads to."""
    try:
        found = hasattr(symbols(), "rd_kafka_brokers_add")
    except OSError:
        return False
    return found and sys.implementation.name == "cpython" and str(version()).startswith("2.")


@lru_cache(maxsize=1)
def property_names() -> tuple[str, ...]:
    """Every property that this librdkafka knows, aliases included; empty where that cannot be found out.

    It is only printed to a C stream, hence the stream in memory, which Windows lacks.
    """
    try:
        libc = ctypes.CDLL(None)
        open_memstream, close = libc.open_memstream, libc.fclose
        show = symbols().rd_kafka_conf_properties_show
    except (AttributeError, OSError, TypeError):
        return ()
    open_memstream.restype = ctypes.c_void_p
    text, size = ctypes.c_char_p(), ctypes.c_size_t()
    stream = ctypes.c_void_p(open_memstream(ctypes.byref(text), ctypes.byref(size)))
    show(stream)
    close(stream)
    table = (text.value or b"").decode("utf-8", "replace")
    libc.free(text)
    rows = (line.split("|") for line in table.splitlines())
    return tuple(sorted({row[0].strip() for row in rows if len(row) > 3 and row[1].strip() in {"*", "C", "P"}}))
