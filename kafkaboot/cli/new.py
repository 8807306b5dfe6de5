"""`kafkaboot new`: a small application to begin with."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path

import click

from kafkaboot.cli.lazy_group import examples


@click.command(
    short_help="write a small application that runs and passes its tests",
    epilog=examples("kafkaboot new shop", "cd shop && kafkaboot run"),
)
@click.argument("name")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="The folder to write; default: one called NAME."
)
def new(name: str, into: Path | None) -> None:
    """Write a small application called NAME: a handler, its configuration, a test.

    It runs with `kafkaboot run` on an embedded broker, and its own ruff, mypy --strict and pytest pass.
    """
    package = name.replace("-", "_")
    _refuse_bad(name, package)
    folder = into or Path(name)
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} exists and is not empty. Name another one with --into.")
    written = []
    for path, text in _files(name, package):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        written.append(path)
    _write_schema(folder / "config" / "application.schema.json")
    click.secho(f"wrote {folder}", bold=True)
    for path in [*written, "config/application.schema.json"]:
        click.echo(f"  {path}")
    click.echo("\nNext:")
    click.echo(f"  cd {folder}")
    click.echo("  kafkaboot run")
    click.echo('  kafkaboot publish greetings \'{"name": "Ada"}\'     (in another terminal, in the same folder)')
    click.echo("  kafkaboot tail answers --from beginning")


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


def _write_schema(path: Path) -> None:
    from kafkaboot.boot.blueprint import sections_of
    from kafkaboot.boot.starters import load
    from kafkaboot.cli.config import write_schema
    from kafkaboot.config import json_schema

    write_schema(json_schema(sections_of(load(())[0])), path)
