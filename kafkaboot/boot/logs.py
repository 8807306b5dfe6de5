"""Logging as `kafkaboot.logging` says: one line a log record, whatever a payload or a header smuggled into its text."""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafkaboot.boot.settings import LoggingSettings

# C0 and C1 controls, and the two separators that some viewers take for line ends. A record from the wire must not be
# able to write a log line of its own, nor to move the cursor of the terminal that shows it.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_OWN = "_kafkaboot_logging"


def escaped(text: str) -> str:
    """The text with its control characters written out."""
    return _CONTROL.sub(lambda found: _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}", text)


class TextFormatter(logging.Formatter):
    """`2026-01-31T09:30:00.123Z INFO  kafkaboot.consumer: text`, tracebacks folded into the same line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return f"{_time(record)} {record.levelname:<7} {record.name}: {escaped(text)}"


class JsonFormatter(logging.Formatter):
    """One object a line: `time`, `level`, `logger`, `message`, and `error` with the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        import msgspec

        fields: dict[str, str] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return escaped(msgspec.json.encode(fields).decode())


def configure(settings: LoggingSettings, stream: TextIO | None = None) -> None:
    """Write the process's log to `stream` (stderr by default). A second call replaces what the first one set up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    setattr(handler, _OWN, True)
    root = logging.getLogger()
    for known in [known for known in root.handlers if getattr(known, _OWN, False)]:
        root.removeHandler(known)
    root.addHandler(handler)
    _set_levels(settings.level)


def _set_levels(levels: Mapping[str, str]) -> None:
    logging.getLogger().setLevel(levels.get("root", "INFO"))
    for name, level in levels.items():
        if name != "root":
            logging.getLogger(name).setLevel(level)


def _time(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"
