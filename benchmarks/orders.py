"""What travels in every benchmark: an order of 100 bytes of JSON, never twice the same."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import msgspec
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

BUYERS = 1000
"""Distinct record keys."""

BATCH = 10_000
"""Orders a batch, where orders are published."""


class Order(BaseModel):
    order: int
    buyer: str
    total: float
    currency: str
    status: str
    ts: int


class OrderStruct(msgspec.Struct):
    order: int
    buyer: str
    total: float
    currency: str
    status: str
    ts: int


def raw_orders(count: int, seed: int = 7) -> Iterator[tuple[bytes, bytes]]:
    """`(key, value)` pairs; random digits, since texts that repeat flatter the codecs of broker and client."""
    draw = random.Random(seed)
    for _ in range(count):
        bits = draw.getrandbits(96)
        buyer = b"b%04d" % (bits % BUYERS)
        yield (
            buyer,
            b'{"order":%d,"buyer":"%s","total":%d.%02d,"currency":"EUR","status":"%04x","ts":%d}'
            % (10**9 + (bits >> 64), buyer, 100 + bits % 897, bits % 97, (bits >> 20) & 0xFFFF, 10**9 + (bits >> 66)),
        )


def batches(model: type[Order], count: int) -> list[list[Order]]:
    """The same orders as models, to be published, `BATCH` at a time."""
    made = [model.model_validate_json(value) for _, value in raw_orders(count)]
    return [made[begin : begin + BATCH] for begin in range(0, count, BATCH)]


def cloudevents() -> list[tuple[str, bytes]]:
    """The headers that a typed order arrives with (CloudEvents 1.0, Kafka binding, binary mode)."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"%032x" % random.getrandbits(128)),
        ("ce_source", b"/benchmarks"),
        ("ce_type", b"order.placed"),
        ("ce_time", stamp),
        ("content-type", b"application/json"),
        ("kb-correlation-id", b"%032x" % random.getrandbits(128)),
    ]
