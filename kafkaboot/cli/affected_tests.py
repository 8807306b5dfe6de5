"""Which of an application's tests a change may concern, seen from their imports; and a run of them."""

from __future__ import annotations

import ast
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

WHOLE = "kafkaboot.testing"
"""A test that imports it may run the whole application: every module of it concerns that test."""
APP = "app"
"""The fixture that does."""
NO_TESTS = 5
"""The exit code of pytest where it collected nothing."""
SKIPPED = {"__pycache__", "node_modules", "build", "dist"}


@dataclass(slots=True)
class Source:
    """A file of Python.

    Attributes:
        path: Where it is.
        imports: The modules that it names, each with what may be a module in it.
        whole: Whether it asks for the whole application.
    """

    path: Path
    imports: set[str] = field(default_factory=set)
    whole: bool = False

    @classmethod
    def read(cls, path: Path, module: str) -> Source:
        """What it imports; a file that cannot be parsed imports nothing, and fails when it is run."""
        found = cls(path)
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            return found
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.imports |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                parts = package.split(".") if node.level else []
                parts = parts[: len(parts) - node.level + 1] + ([node.module] if node.module else [])
                origin = ".".join(parts)
                found.imports |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.whole |= any(argument.arg == APP for argument in (*node.args.args, *node.args.kwonlyargs))
        found.whole |= any(name == WHOLE or name.startswith(f"{WHOLE}.") for name in found.imports)
        return found


class Tests:
    """The tests below a folder, and the modules of the application.

    Args:
        folder: Where `pytest` is called.
        packages: The folders of the application's packages.
    """

    __test__ = False

    def __init__(self, folder: Path, packages: Iterable[Path]) -> None:
        self._modules: dict[str, Source] = {}
        self._by_path: dict[Path, Source] = {}
        self._application: set[Path] = set()
        self.files: list[Path] = []
        for package in packages:
            below = [package] if package.is_file() else python_files(package)
            self._application |= set(below)
            for path in below:
                self._add(path, package.parent)
        for path in python_files(folder):
            if path not in self._application:
                self._add(path, folder)
                self._modules.setdefault(path.stem, self._by_path[path])  # pytest puts their folders on sys.path
            if path.name.startswith("test_") or path.stem.endswith("_test"):
                self.files.append(path)

    def changed_since(self, moment: float) -> set[Path]:
        """The files that were written after a time of `time.time`."""
        return {path for path in self._by_path if _written(path) > moment}

    def affected(self, changed: Collection[Path]) -> list[Path]:
        """The tests that reach a changed file by their imports."""
        return [path for path in self.files if self._reached(path) & set(changed)]

    def _reached(self, path: Path) -> set[Path]:
        seen: set[Path] = set()
        ahead = [path, *self._beside(path)]
        while ahead:
            one = ahead.pop()
            if one in seen:
                continue
            seen.add(one)
            source = self._by_path[one]
            ahead += [self._modules[name].path for name in _with_parents(source.imports) if name in self._modules]
            if source.whole:
                ahead += self._application
        return seen

    def _beside(self, path: Path) -> list[Path]:
        """Every `conftest.py` that pytest loads for it."""
        return [at for folder in path.parents if (at := folder / "conftest.py") in self._by_path]

    def _add(self, path: Path, root: Path) -> None:
        module = _module(path, root)
        self._modules[module] = self._by_path[path] = Source.read(path, module)


class TestRun:
    """Runs tests in a process of their own and shows what it writes, one run at a time.

    Args:
        folder: Where `pytest` is called.
        packages: The folders of the application's packages.
        settings: Files of configuration; a change in one of them concerns every test.
    """

    __test__ = False

    def __init__(self, folder: Path, packages: Sequence[Path], settings: Sequence[Path]) -> None:
        self._folder, self._packages, self._settings = folder, packages, settings
        self._green = time.time()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Run the tests that what was saved since the last green run may concern; all where nothing was, or none."""
        if self._process is not None and self._process.poll() is None:
            click.echo("tests: they run already")
            return
        self._wait()
        if importlib.util.find_spec("pytest") is None:
            click.secho("tests: pytest is not installed: pip install pytest pytest-asyncio", fg="yellow")
            return
        began = time.time()
        chosen, why = self._choose()
        click.echo(f"tests: {why}")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *map(str, chosen)],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,  # Ctrl-C is for the application; this ends with it
        )
        self._reader = threading.Thread(target=self._show, args=(self._process, began), name="kafkaboot-tests")
        self._reader.start()

    def stop(self) -> None:
        """End a run that goes on."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._wait()

    def _wait(self) -> None:
        if self._reader is not None:
            self._reader.join()
            self._reader = None

    def _choose(self) -> tuple[list[Path], str]:
        tests = Tests(self._folder, self._packages)
        changed = tests.changed_since(self._green)
        if any(_written(path) > self._green for path in self._settings):
            return [], "all, since the configuration changed"
        if not changed:
            return [], "all, since nothing was saved after the start, or after the last run that passed"
        names = ", ".join(sorted(self._shown(path) for path in changed))
        chosen = tests.affected(changed)
        if not chosen:
            return [], f"all, since none imports {names}"
        return [path.relative_to(self._folder) for path in chosen], (
            f"{len(chosen)} of {len(tests.files)} files, which import {names}"
        )

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self._folder)) if path.is_relative_to(self._folder) else str(path)

    def _show(self, process: subprocess.Popen[str], began: float) -> None:
        with process:
            for line in process.stdout or ():
                click.echo(line, nl=False)
        seconds = time.time() - began
        code = process.returncode
        if code == 0:
            self._green = began
            click.secho(f"tests: passed in {seconds:.1f} s", fg="green")
        elif code == NO_TESTS:
            click.secho("tests: there are none", fg="yellow")
        elif code > 0:
            click.secho(f"tests: failed (exit code {code}) in {seconds:.1f} s", fg="red")


def python_files(folder: Path) -> list[Path]:
    """The files of Python below a folder, in order; not those of hidden folders and virtual environments."""
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    for at, below, names in os.walk(folder):
        here = folder / at
        below[:] = [
            name
            for name in below
            if not name.startswith(".") and name not in SKIPPED and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (here / name for name in names if name.endswith(".py"))


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _with_parents(names: Iterable[str]) -> set[str]:
    """The names, and the packages whose `__init__` runs before them."""
    return {
        ".".join(parts[:length]) for parts in (name.split(".") for name in names) for length in range(1, len(parts) + 1)
    }


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # it is gone: nothing can import it any more
