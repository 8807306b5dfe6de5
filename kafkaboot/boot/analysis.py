"""A failed start, told to whoever started it: what happened, what to do. A table of small analyzers, guests' too.

An analyzer gets one exception and answers `None` where it knows nothing of it. It is asked for the exception that was
raised and for each of its causes, so that the port in use is found behind the component that could not start.
"""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kafkaboot.errors import (
    BrokerUnreachableError,
    ClientError,
    ConfigurationError,
    DeclarationError,
    KafkabootError,
    WiringError,
)
from kafkaboot.topics import MissingTopicError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DRAINED, FAILED, USAGE, CONFIGURATION, UNREACHABLE, UNDRAINED, DIED = range(7)
"""Exit codes of `kafkaboot run`."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a failed start comes to.

    Attributes:
        title: In a few words.
        happened: What happened, where; may have several lines.
        todo: What to do about it.
        code: The exit code.
    """

    title: str
    happened: str
    todo: str
    code: int = FAILED

    def __str__(self) -> str:
        parts = [f"The application did not start: {self.title}", f"What happened\n{_indented(self.happened)}"]
        if self.todo:
            parts.append(f"What to do\n{_indented(self.todo)}")
        return "\n\n".join(parts)


class Analyzer(Protocol):
    """Knows one kind of failure."""

    def __call__(self, error: BaseException, /) -> Analysis | None:
        """What it comes to, or `None`."""


def analyze(error: BaseException, guests: Sequence[Analyzer] = ()) -> Analysis:
    """What a failed start comes to. Guests are asked first; what nobody knows is told as it is."""
    for analyzer in (*guests, *HOUSE):
        for one in _causes(error):
            found = analyzer(one)
            if found is not None:
                return found
    return Analysis(
        "an unexpected error",
        f"{type(error).__name__}: {error}\n{_users_frame(error)}".strip(),
        "run again with --traceback to see where it comes from",
    )


def port_in_use(error: BaseException) -> Analysis | None:
    """Somebody else listens on an address."""
    if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
        return None
    return Analysis(
        "a port is in use",
        str(error.strerror if error.filename is None else error),
        "stop the other process (`ss -ltnp` names it), or choose another port in the configuration",
    )


def security_mismatch(error: BaseException) -> Analysis | None:
    """The broker is there and does not let this client in."""
    if not isinstance(error, ClientError):
        return None
    refused = error.code in {"_SSL", "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM"}
    spoken = "speaks" in error.what or "SASL, and this client" in error.what
    if not refused and not spoken:
        return None
    code = UNREACHABLE if isinstance(error, BrokerUnreachableError) else FAILED
    title = "the broker does not accept these credentials" if not spoken else "the security settings do not match"
    return Analysis(title, _told(error), error.todo, code)


def broker_unreachable(error: BaseException) -> Analysis | None:
    """Nobody answers at the broker's address."""
    if not isinstance(error, BrokerUnreachableError):
        return None
    todo = error.todo or "start the broker, or correct kafkaboot.kafka.bootstrap-servers"
    return Analysis(
        "no broker answers",
        _told(error),
        f"{todo}\nwithout a broker of your own: kafkaboot.kafka.broker: local (or container, embedded)",
        UNREACHABLE,
    )


def permission_denied(error: BaseException) -> Analysis | None:
    """The cluster's access lists say no."""
    if not isinstance(error, ClientError) or "AUTHORIZATION_FAILED" not in error.code:
        return None
    return Analysis("permission denied", _told(error), error.todo)


def unknown_topic(error: BaseException) -> Analysis | None:
    """A topic is not there."""
    if isinstance(error, MissingTopicError) or (isinstance(error, ClientError) and "UNKNOWN_TOPIC" in error.code):
        return Analysis("a topic is missing", _told(error), error.todo)
    return None


def configuration(error: BaseException) -> Analysis | None:
    """An unknown key, a bad value, a placeholder without value."""
    if not isinstance(error, ConfigurationError):
        return None
    todo = error.todo or "correct the configuration; `kafkaboot config check` says the same without starting"
    return Analysis("the configuration cannot be used", _told(error), todo, CONFIGURATION)


def wiring(error: BaseException) -> Analysis | None:
    """A component is missing, ambiguous, in a circle, or cannot be built."""
    if not isinstance(error, WiringError):
        return None
    return Analysis("the components do not fit together", _told(error), error.todo)


def declaration(error: BaseException) -> Analysis | None:
    """A decorated object that cannot mean what it says, or a package that cannot be imported."""
    if not isinstance(error, DeclarationError):
        return None
    imported = "cannot be imported" in error.what or error.what.startswith("there is no package")
    title = "a package cannot be imported" if imported else "a declaration cannot be used"
    return Analysis(title, _told(error), error.todo)


def of_the_house(error: BaseException) -> Analysis | None:
    """Everything else in the house's tree explains itself."""
    if not isinstance(error, KafkabootError):
        return None
    return Analysis(_title(error), _told(error), error.todo)


HOUSE: tuple[Analyzer, ...] = (
    port_in_use,
    security_mismatch,
    broker_unreachable,
    permission_denied,
    unknown_topic,
    configuration,
    wiring,
    declaration,
    of_the_house,
)
"""The house's analyzers, the most particular first."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__


def _told(error: KafkabootError) -> str:
    head = f"{error.where}: {error.what}" if error.where else error.what
    return f"{head}\n{error.fate}" if error.fate else head


def _title(error: KafkabootError) -> str:
    """`BrokerStartError` as `broker start error`."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _users_frame(error: BaseException | None) -> str:
    """The innermost place of the user's own code, without the frames of frameworks and of Python itself."""
    if error is None:
        return ""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and "/lib/python" not in frame.filename and "<" not in frame.filename
    ]
    own = [frame for frame in own if not frame.filename.startswith(_HOUSE_FILES)]
    return f"at {own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""


_HOUSE_FILES = __file__.rpartition("/boot/")[0] + "/"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())
