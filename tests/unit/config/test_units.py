from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaboot.config import parse_duration, parse_ratio, parse_size, written_size
from kafkaboot.config.units import DURATION_PATTERN, RATIO_PATTERN, SIZE_PATTERN


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("200ms", 0.2),
        ("1h", 3600),
        ("7d", 604800),
        ("1m30s", 90),
        ("1m 30s", 90),
        ("2w", 1209600),
        ("5", 5),
        (5, 5),
        ("1.5s", 1.5),
        ("0", 0),
    ],
)
def test_a_duration_is_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)
    assert not isinstance(text, str) or re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("64KB", 65536),
        ("64kb", 65536),
        ("64k", 65536),
        ("1MiB", 1 << 20),
        ("1.5 MB", 1572864),
        ("2G", 2 << 30),
        ("10B", 10),
        (7, 7),
    ],
)
def test_a_size_is_bytes(text, size):
    assert parse_size(text) == size
    assert not isinstance(text, str) or re.search(SIZE_PATTERN, text)


@pytest.mark.parametrize(
    ("size", "text"), [(100, "100 B"), (1024, "1 KB"), (1500, "1500 B"), (102_400, "100 KB"), (3 << 20, "3 MB")]
)
def test_a_size_is_written_as_it_is_read(size, text):
    assert written_size(size) == text
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "ratio"), [("50%", 0.5), ("0.5", 0.5), (1, 1.0), ("100 %", 1.0), ("0", 0.0)])
def test_a_ratio_is_a_number_up_to_one(text, ratio):
    assert parse_ratio(text) == ratio
    assert not isinstance(text, str) or re.search(RATIO_PATTERN, text)


@pytest.mark.parametrize("parse", [parse_duration, parse_size, parse_ratio])
@pytest.mark.parametrize(
    "text", ["", "x", "-1", -1, "10 parsecs", "1:30", True, None, "nan", "inf", [], "101%%", "1e999"]
)
def test_what_is_none_of_these_is_refused(parse, text):
    with pytest.raises(ValueError, match="is wanted"):
        parse(text)


def test_a_ratio_above_one_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        parse_ratio("50")


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_a_value_error(text):
    for parse in (parse_duration, parse_size, parse_ratio):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0
