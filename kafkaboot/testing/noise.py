"""Values that do not repeat, for measurements: what comes again flatters every compression."""

from __future__ import annotations

from random import Random

POOL = 8 * 2**20
"""Bytes until a value may come again: far more than the largest batch, and codecs look no further than one."""


class Noise:
    """Values of one size, by their number: `noise(7)`.

    They are random hexadecimal digits: zstd and gzip make them half as long, lz4 and snappy find nothing in them. The
    values of a batch share nothing, being cut out of the pool one behind the other.

    Args:
        size: Bytes of each value.
        seed: Any number; the same one gives the same values.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._places = max(8, POOL // max(1, size))
        self._pool = Random(seed).randbytes((self._places * size + 1) // 2).hex().encode()

    def __call__(self, number: int) -> bytes:
        """The value of that number."""
        at = number % self._places * self._size
        return self._pool[at : at + self._size]
