"""`kafkaboot new`: a small application to begin with."""

from __future__ import annotations

import contextlib
import keyword
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kafkaboot.cli.first_event import MARK
from kafkaboot.cli.lazy_group import examples
from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from collections.abc import Sequence


class NotWrittenError(KafkabootError):
    """A file of a new application could not be written."""


@click.command(
    short_help="write a small application that runs and passes its tests",
    epilog=examples("kafkaboot new shop", "cd shop && kafkaboot dev"),
)
@click.argument("name")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="The folder to write; default: one called NAME."
)
def new(name: str, into: Path | None) -> None:
    """Write a small application called NAME: a handler, its configuration, a test.

    It runs with `kafkaboot dev` on an embedded broker, and its own ruff, mypy --strict and pytest pass. Where a file
    cannot be written, those that were are taken away again.
    """
    package = name.replace("-", "_")
    _refuse_bad(name, package)
    folder = into or Path(name)
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} exists and is not empty. Name another one with --into.")
    texts = [*_files(name, package), ("config/application.schema.json", _schema())]
    _write(folder, [*texts, (f".kafkaboot/{MARK}", "")])
    click.secho(f"wrote {folder}", bold=True)
    for path, _ in texts:
        click.echo(f"  {path}")
    click.echo("\nNext:")
    click.echo(f"  cd {folder}")
    click.echo("  kafkaboot dev        (it sends a first event; then change the handler, save, and press e)")


def _write(folder: Path, texts: Sequence[tuple[str, str]]) -> None:
    """Write all files, or none.

    Raises:
        NotWrittenError: One could not be written.
    """
    made: list[Path] = []
    try:
        for path, text in texts:
            target = folder / path
            missing = [parent for parent in target.parents if not parent.exists()]
            for parent in reversed(missing):
                parent.mkdir()
                made.append(parent)
            made.append(target)
            target.write_text(text, encoding="utf-8")
    except BaseException as error:
        for one in reversed(made):
            with contextlib.suppress(OSError):  # what cannot be taken away must not hide what went wrong
                one.rmdir() if one.is_dir() else one.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise NotWrittenError(
                f"the application was not written: {error.strerror}: {error.filename}",
                todo="nothing of it is left; write it elsewhere with --into",
            ) from error
        raise


def _refuse_bad(name: str, package: str) -> None:
    if not package.isidentifier() or keyword.iskeyword(package):
        raise click.UsageError(f"{name!r} cannot be the name of a Python package. Use letters, digits, '-' and '_'.")
    if package in sys.stdlib_module_names or package in {"kafkaboot", "tests", "config"}:
        raise click.UsageError(f"{name!r} is taken by another package or folder. Choose another one.")


def _files(name: str, package: str) -> list[tuple[str, str]]:
    """The files' paths and texts."""
    from importlib.resources import files

    import kafkaboot

    values = {"NAME": name, "PACKAGE": package, "VERSION": kafkaboot.__version__}
    found = []
    for template in sorted(files("kafkaboot.cli.scaffold").iterdir(), key=lambda one: one.name):
        if not template.name.endswith(".in"):
            continue
        text = template.read_text(encoding="utf-8")
        for word, value in values.items():
            text = text.replace(f"@{word}@", value)
        path = template.name.removesuffix(".in").replace("--", "/").replace("PACKAGE", package)
        found.append((path, text))
    return found


def _schema() -> str:
    from kafkaboot.boot.blueprint import sections_of
    from kafkaboot.boot.starters import load
    from kafkaboot.cli.config import schema_text
    from kafkaboot.config import json_schema

    return schema_text(json_schema(sections_of(load(())[0])))
