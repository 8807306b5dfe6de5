from __future__ import annotations

import io
import json
import logging

import pytest

from kafkaboot.boot.logs import configure
from kafkaboot.boot.settings import LoggingSettings


@pytest.fixture
def written():
    """Puts the root logger back as it was, so that no other test sees what is set up here."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:], root.level = before
    logging.getLogger("shop").setLevel(logging.NOTSET)


def test_one_record_is_one_line_whatever_stands_in_its_text(written):
    configure(LoggingSettings(), written)

    logging.getLogger("shop").warning("key %s", "a\n2026-01-01T00:00:00.000Z ERROR   shop: forged\r\x1b[2J\u2028\x85")
    (line,) = written.getvalue().splitlines()
    assert line.endswith(r" WARNING shop: key a\n2026-01-01T00:00:00.000Z ERROR   shop: forged\r\u001b[2J\u2028\u0085")


def test_a_traceback_stays_on_the_line_of_its_record(written):
    configure(LoggingSettings(), written)

    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("shop").exception("failed")
    (line,) = written.getvalue().splitlines()
    assert r"shop: failed\nTraceback (most recent call last):\n" in line
    assert line.endswith(r"ValueError: two\nlines")


def test_json_is_one_object_a_line(written):
    configure(LoggingSettings(format="json"), written)

    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("shop").exception('said "so"\nand \x9b more')
    (line,) = written.getvalue().splitlines()
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"]) == ("ERROR", "shop", 'said "so"\nand \x9b more')
    assert found["error"].endswith("ValueError: boom")
    assert found["time"].endswith("Z")


def test_levels_are_set_by_logger_and_a_second_call_replaces_the_first(written):
    configure(LoggingSettings(), io.StringIO())
    configure(LoggingSettings(level={"root": "ERROR", "shop": "debug"}), written)

    logging.getLogger("other").warning("not this")
    logging.getLogger("shop").debug("but this")
    assert len(written.getvalue().splitlines()) == 1


def test_a_level_that_does_not_exist_is_refused():
    assert LoggingSettings(level="warning").level == {"root": "WARNING"}
    with pytest.raises(ValueError, match="'LOUD' is no level: one of CRITICAL, ERROR, WARNING, INFO, DEBUG is wanted"):
        LoggingSettings(level={"root": "LOUD"})
