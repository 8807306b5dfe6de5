from __future__ import annotations

from pydantic import BaseModel

from kafkaboot.cli.shown import Reader
from kafkaboot.declare import Declarations, collect, event


@event("price.set")
class PriceSet(BaseModel):
    item: str
    cents: int


class Raw:
    def __init__(self, value: bytes | None, kind: str | None = None, key: bytes | None = None) -> None:
        self._value, self._kind, self._key = value, kind, key

    def __len__(self) -> int:
        return len(self._value or b"")

    def topic(self) -> str:
        return "prices"

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return 17

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes | None]]:
        return [("ce_type", self._kind.encode())] if self._kind else []

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_123


class Drawn:
    declarations: Declarations = collect([PriceSet])


def line(raw: Raw) -> str:
    return "".join(text for text, _ in Reader(Drawn()).parts(raw))


def test_a_value_is_decoded_by_the_type_that_its_header_names():
    found = Reader(Drawn()).plain(Raw(b'{"item": "egg", "cents": "30"}', "price.set"))
    assert found["value"] == {"item": "egg", "cents": 30}
    assert found["type"] == "price.set"
    assert "undecodable" not in found


def test_a_value_that_is_none_of_its_type_is_shown_with_the_reason():
    found = Reader(Drawn()).plain(Raw(b'{"item": "egg"}', "price.set"))
    assert found["value"] == {"item": "egg"}
    assert "cents is missing" in found["undecodable"]


def test_a_type_that_nobody_declares_is_shown_as_it_is():
    assert Reader(Drawn()).plain(Raw(b'{"a": 1}', "other"))["value"] == {"a": 1}
    assert Reader(None).plain(Raw(b"plain"))["value"] == "plain"
    assert Reader(None).plain(Raw(None))["value"] is None


def test_bytes_that_are_no_text_are_shown_in_base64():
    assert Reader(None).plain(Raw(b"\xff\x00"))["value"] == {"base64": "/wA="}


def test_control_characters_of_a_record_never_reach_the_terminal():
    shown = line(Raw(b"\x1b[2J\r\nfake line", "bad\x1btype", b"key\x07"))
    assert shown.isprintable()
    assert "\\x1b[2J\\r\\nfake line" in shown
    assert "prices[2]@17" in shown


def test_a_very_long_value_is_cut_for_a_person_and_whole_for_a_program():
    assert len(line(Raw(b"x" * 100_000))) < 5000
    assert len(Reader(None).plain(Raw(b"x" * 100_000))["value"]) == 100_000
