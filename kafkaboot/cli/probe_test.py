"""`--save-test`: a pytest file with the record's bytes in it, which passes when the handler is done with the record."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from kafkaboot.message import place, printable

if TYPE_CHECKING:
    from pathlib import Path

    from kafkaboot.message import RawRecord
    from kafkaboot.testing.probing import Probed

WIDTH = 88
"""Columns of a line: what ruff and black take when nothing else is said. Every wider setting takes it too."""


def refuse_existing(path: Path, *, force: bool) -> None:
    """Look whether a test may be written there.

    Raises:
        UsageError: There is a file, or no such folder.
    """
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists; write to another file, or give --force to replace it")
    if not path.parent.is_dir():
        raise click.UsageError(f"{path.parent} is no folder that {path.name} could be written to")


def save(path: Path, probed: Probed, app: str | None, *, start: bool) -> None:
    """Write the test. Another process never sees half of it.

    Raises:
        UsageError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text(probed, app, start=start), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise click.UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def text(probed: Probed, app: str | None, *, start: bool) -> str:
    """The file. It is laid out as `ruff format` would, and imports nothing of the application."""
    several = len(probed.records) > 1
    names = [f"RECORD_{number}" for number in range(1, len(probed.records) + 1)] if several else ["RECORD"]
    lines = [
        '"""Saved by `kafkaboot probe`: a record, and the handler that is to be done with it.',
        "",
        *_story(probed),
        '"""',
        "",
        *(["import pytest"] if app is not None else []),
        "from kafkaboot import Record",
        "from kafkaboot.testing import Probe",
    ]
    for name, record in zip(names, probed.records, strict=True):
        lines += ["", *_record(name, record)] if name == names[0] else _record(name, record)
    if app is not None:
        lines += ["", "", "@pytest.fixture", "def kafkaboot_application() -> str:", f"    return {_text(app)}"]
    lines += ["", "", f"def {_name(probed)}(probe: Probe) -> None:"]
    arguments = [_text(probed.handler), *names, *([] if start else ["start=False"])]
    call = f"    probe({', '.join(arguments)}).assert_settled()"
    if len(call) > WIDTH:
        call = "\n".join(["    probe(", *(f"        {one}," for one in arguments), "    ).assert_settled()"])
    return "\n".join([*lines, call, ""])


def _story(probed: Probed) -> list[str]:
    first = probed.records[0]
    where = place(first.topic(), first.partition(), first.offset())
    more = f" and {len(probed.records) - 1} more" if len(probed.records) > 1 else ""
    lines = [f"Handler: {_quoted(probed.handler)}", f"Record: {_quoted(where)}{more}"]
    if probed.settled:
        return [*lines, f"When this was saved: {probed.outcome}. The test holds the handler to that."]
    lines.append(f"When this was saved: {_quoted(type(probed.error).__name__)}.")
    return [*lines, "The test passes once the handler is mended. No broker is needed."]


def _name(probed: Probed) -> str:
    first = probed.records[0]
    handler, topic = (re.sub(r"\W+", "_", name)[:20].strip("_") for name in (probed.handler, first.topic()))
    return f"test_{handler}_is_done_with_{topic}_{first.partition()}_{first.offset()}".lower()


def _record(name: str, record: RawRecord) -> list[str]:
    key, value, headers = record.key(), record.value(), record.headers() or ()
    lines = [f"{name} = Record(", f"    {_text(record.topic())},", f"    {record.partition()},"]
    lines += [f"    {record.offset()},"]
    lines += _argument("key", key) + _argument("value", value)
    if headers:
        lines.append("    headers=[")
        for header, content in headers:
            one = f"        ({_text(header)}, {_literal(content)}),"
            if len(one) <= WIDTH:
                lines.append(one)
                continue
            lines += ["        (", f"            {_text(header)},"]
            lines += [*_folded("            ", content), "        ),"]
        lines.append("    ],")
    return [*lines, f"    timestamp={record.timestamp()[1]},", ")"]


def _argument(name: str, content: bytes | None) -> list[str]:
    if content is None:
        return []
    one = f"    {name}={_literal(content)},"
    if len(one) <= WIDTH:
        return [one]
    return [f"    {name}=(", *(f"        {piece}" for piece in _pieces(content, WIDTH - 8)), "    ),"]


def _folded(indent: str, content: bytes | None) -> list[str]:
    one = f"{indent}{_literal(content)},"
    if content is None or len(one) <= WIDTH:
        return [one]
    pieces = _pieces(content, WIDTH - len(indent) - 4)
    return [f"{indent}(", *(f"{indent}    {piece}" for piece in pieces), f"{indent}),"]


def _pieces(content: bytes, width: int) -> list[str]:
    """The bytes as literals of at most so many columns."""
    pieces: list[str] = []
    at = 0
    while at < len(content):
        size = min(width - 3, len(content) - at)
        while len(_literal(content[at : at + size])) > width:
            size -= 1 if size < 16 else size // 8
        pieces.append(_literal(content[at : at + size]))
        at += size
    return pieces


def _literal(content: bytes | None) -> str:
    """The bytes as a formatter would write them: in double quotes, unless single ones save escapes."""
    if content is None:
        return "None"
    quote = "'" if content.count(b'"') > content.count(b"'") else '"'
    # With a double quote in front Python's own form is in single quotes, and escapes those.
    body = repr(b'"' + content)[3:-1].replace("\\'", "'")
    return f"b{quote}{body.replace(quote, chr(92) + quote)}{quote}"


def _text(text_: str) -> str:
    return _literal(text_.encode("unicode_escape")).removeprefix("b").replace("\\\\", "\\")


def _quoted(text_: str) -> str:
    """A text inside of a docstring."""
    return printable(text_, WIDTH - 40).replace("\\", "/").replace('"', "'").rstrip()
