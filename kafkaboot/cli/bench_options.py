"""The options that measurements share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.dlq_options import unasked
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from collections.abc import Callable

PRESETS = ("high-throughput", "low-latency", "safe")
CODECS = ("none", "lz4", "zstd", "snappy", "gzip")
LARGEST = 64 * 2**20
"""Bytes of a value; a broker's own limit is far below."""


def _sizes(_: click.Context, __: click.Parameter, text: str | None) -> list[int] | None:
    from kafkaboot.config.units import parse_size

    if text is None:
        return None
    found = []
    for part in text.split(","):
        try:
            size = parse_size(part.strip())
        except ValueError as error:
            raise click.BadParameter(f"{part.strip()!r}: {error}; several are written 100B,1KB,10KB") from None
        if not 1 <= size <= LARGEST:
            raise click.BadParameter(f"{part.strip()!r} is not between 1B and {LARGEST // 2**20}MB")
        found.append(size)
    return list(dict.fromkeys(found))


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    from kafkaboot.config.units import parse_duration

    if text is None:
        return None
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from None
    if not 0 < found <= 3600:
        raise click.BadParameter(f"{text!r} is not between 0 and one hour")
    return found


def _batches(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 10_000 for part in parts):
        raise click.BadParameter(f"{text!r}: numbers of records from 1 to 10000 are wanted, as 1,10,100")
    return list(dict.fromkeys(map(int, parts)))


def sizes(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--size`; the function gets `sizes`."""
    return click.option(
        "--size",
        "sizes",
        callback=_sizes,
        metavar="SIZE,...",
        help=f"Bytes of a value, or several: 100B,1KB,10KB. Default: {default}.",
    )


rate = click.option(
    "--rate",
    type=click.FloatRange(1, 100_000),
    default=1000,
    show_default=True,
    help="Records a second where latency is measured.",
)
batches = click.option(
    "--batches",
    default="1,10,100,500",
    show_default=True,
    callback=_batches,
    metavar="N,...",
    help="Records of a transaction.",
)
rounds = click.option(
    "--rounds",
    type=click.IntRange(1, 20),
    default=3,
    show_default=True,
    help="Rounds of each side, in turn; medians are told.",
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What every measurement takes.

    Attributes:
        choice: The application.
        preset: In place of the configured ones.
        compression: In place of the configured one.
        partitions: Of its topics; `None` where nobody says.
        records: At most.
        seconds: At most.
        yes: Don't ask.
        as_json: Write JSON.
    """

    choice: Choice
    preset: str | None
    compression: str | None
    partitions: int | None
    records: int | None
    seconds: float | None
    yes: bool
    as_json: bool

    def overrides(self) -> list[str]:
        """What is said of producer and consumer, as `KEY=VALUE`."""
        found = [f"kafkaboot.{room}.preset={self.preset}" for room in ("producer", "consumer") if self.preset]
        return found + ([f"kafkaboot.producer.compression={self.compression}"] if self.compression else [])


def measured(records: str, seconds: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command what every measurement takes; its function gets a `Wish` first.

    Args:
        records: The default of `--records`, in words.
        seconds: That of `--seconds`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wished(choice: Choice, **given: Any) -> Any:
            common = {one.name: given.pop(one.name) for one in fields(Wish) if one.name != "choice"}
            return function(Wish(choice, **common), **given)

        call: Callable[..., Any] = wished
        for option in (
            as_json,
            unasked,
            click.option("--partitions", type=click.IntRange(1, 1000), metavar="N", help="Of its topics. Default: 4."),
            click.option("--compression", type=click.Choice(CODECS), help="In place of the configured one."),
            click.option("--preset", type=click.Choice(PRESETS), help="Of producer and consumer, in place of theirs."),
            click.option("--seconds", callback=_seconds, metavar="S", help=f"At most: 10, 1m. Default: {seconds}."),
            click.option(
                "--records",
                type=click.IntRange(1, 10_000_000),
                metavar="N",
                help=f"At most. Default: {records}.",
            ),
            which_application(argument=False),
        ):
            call = option(call)
        return call

    return decorate
