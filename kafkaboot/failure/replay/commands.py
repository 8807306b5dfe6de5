"""The command line that does the same: what a page copies, and what the command line prints to go on with."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kafkaboot.failure.replay.jobs import MAX_ROUNDS
from kafkaboot.failure.replay.marks import NEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.failure.replay.jobs import Errand
    from kafkaboot.failure.replay.selection import Selection

VERBS = {"redrive": "replay", "park": "park", "resolve": "resolve"}


def command(verb: str, topic: str, selection: Selection | None = None, more: Sequence[str] = ()) -> str:
    """`kafkaboot dlq VERB TOPIC`, with the selection and more arguments, quoted for a shell."""
    said = [] if selection is None else arguments(selection)
    return shlex.join(["kafkaboot", "dlq", verb, topic, *said, *more])


def of_errand(topic: str, errand: Errand, more: Sequence[str] = ()) -> str:
    """The command that does an errand."""
    said = list(more)
    if errand.to is not None:
        said = ["--to", errand.to, *said]
    if errand.deed == "redrive" and errand.max_rounds != MAX_ROUNDS:
        said = ["--max-rounds", str(errand.max_rounds), *said]
    selection = arguments(errand.selection)
    narrowed = any(not one.startswith("--state") for one in selection[::2])
    return command(VERBS[errand.deed], topic, errand.selection, said if narrowed else ["--all", *said])


def arguments(selection: Selection) -> list[str]:
    """A selection as options; what goes without saying is left out."""
    said: list[str] = []
    for option, value in (
        ("--fingerprint", selection.fingerprint),
        ("--exception", selection.exception),
        ("--handler", selection.handler),
        ("--record", selection.record),
        ("--since", _time(selection.since)),
        ("--until", _time(selection.until)),
    ):
        if value is not None:
            said += [option, str(value)]
    if selection.states != (NEW,):
        for state in selection.states or ("any",):
            said += ["--state", state]
    return said


def _time(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat().replace("+00:00", "Z")
