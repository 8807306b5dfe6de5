"""Importing what shall be scanned: packages and modules by name, folders and files by path."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from kafkaboot.declare.place import file_line
from kafkaboot.errors import DeclarationError, KafkabootError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType, TracebackType


def load(app: str | Path, root: Path) -> list[ModuleType]:
    """Import a package with everything below it, or one module.

    Args:
        app: A dotted name, or the path of a package's folder or of a `.py` file.
        root: Where dotted names are looked for first, and what a relative path starts from.

    Returns:
        The modules, sorted by name, without `__main__` and without tests.

    Raises:
        DeclarationError: There is no such thing, or it cannot be imported: the text names the module, the file and
            line at which the import failed, and the cause.
    """
    name = _on_path(app, root)
    _importable(root)
    top = _imported(name, root)
    return [top, *(_imported(child, root) for child in sorted(_below(top)))]


def _on_path(app: str | Path, root: Path) -> str:
    """The dotted name of `app`; a path's folder becomes importable."""
    text = str(app)
    looks_like_path = (
        isinstance(app, Path) or text.endswith(".py") or "/" in text or "\\" in text or text in {".", ".."}
    )
    if not looks_like_path:
        return text
    path = (root / app).resolve()
    if not path.exists():
        raise DeclarationError(f"there is no file or folder {text}", where=str(path))
    if path.is_file() and path.suffix != ".py":
        raise DeclarationError(
            f"{text} is no Python file", where=str(path), todo="name a package, a folder or a .py file"
        )
    parts = [path.stem] if path.is_file() else [path.name]
    parent = path.parent
    while (parent / "__init__.py").exists():
        parts.insert(0, parent.name)
        parent = parent.parent
    if not all(part.isidentifier() for part in parts):
        raise DeclarationError(
            f"{text} cannot be imported: {'.'.join(parts)!r} is no name of a module",
            where=str(path),
            todo="use letters, digits and '_' in names of folders and files",
        )
    _importable(parent)
    name = ".".join(parts)
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    if file is not None and Path(file).resolve() not in {path, path / "__init__.py"}:
        raise DeclarationError(
            f"{text} cannot be imported as {name!r}: that name belongs to {file}",
            where=str(path),
            todo="rename the file",
        )
    return name


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()


def _below(package: ModuleType) -> Iterator[str]:
    """The names of all modules below a package, those in folders without `__init__.py` too."""
    for folder in map(Path, getattr(package, "__path__", ())):
        yield from _inside(folder, package.__name__)


def _inside(folder: Path, name: str) -> Iterator[str]:
    found = {module.name: module.ispkg for module in pkgutil.iter_modules([str(folder)])}
    # Someone who forgets an `__init__.py` would otherwise miss a handler without a word.
    loose = {child.name for child in folder.iterdir() if child.is_dir() and child.name.isidentifier()} - found.keys()
    for child in sorted(found.keys() | loose):
        if child in {"__main__", "__pycache__", "tests", "conftest"} or child.startswith("test_"):
            continue
        below = list(_inside(folder / child, f"{name}.{child}")) if child in loose or found[child] else []
        if child in found or below:
            yield f"{name}.{child}"
            yield from below


def _imported(name: str, root: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KafkabootError:
        raise  # it says where and what to do
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise _missing(name, root) from None
        user_code = _user_frames(error.__traceback__)
        raise DeclarationError(
            f"{name} cannot be imported: {_cause(error)}", where=_place(error, user_code, root), todo=_todo(error)
        ) from error.with_traceback(user_code)


def _missing(name: str, root: Path) -> DeclarationError:
    parent, _, last = name.rpartition(".")
    folders = [*getattr(sys.modules.get(parent), "__path__", ())] if parent else [str(root)]
    import difflib

    near = difflib.get_close_matches(last, [module.name for module in pkgutil.iter_modules(folders)], n=1)
    hint = f"did you mean {'.'.join(filter(None, (parent, near[0])))!r}? " if near else ""
    return DeclarationError(
        f"there is no package or module {name!r}",
        where=str(root),
        todo=f"{hint}packages are looked for in {root} and on Python's path",
    )


def _cause(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return "".join(traceback.format_exception_only(error)).strip().removeprefix("builtins.")


def _todo(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"install what provides {error.name!r}, or correct the name"
    if isinstance(error, SystemExit):
        return 'keep what ends the program under `if __name__ == "__main__":`'
    return ""


def _user_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is neither this file's nor the import machinery's."""
    while trace is not None and _machinery(trace):
        trace = trace.tb_next
    return trace


def _machinery(trace: TracebackType) -> bool:
    file = trace.tb_frame.f_code.co_filename
    return file.startswith("<frozen importlib") or file in {__file__, importlib.__file__}


def _place(error: BaseException, trace: TracebackType | None, root: Path) -> str:
    """Where the import failed: the deepest line of the application's own, else the deepest line of all."""
    if isinstance(error, SyntaxError) and error.filename:
        return file_line(error.filename, error.lineno or 1)
    place, own = "", False
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        mine = file.startswith(str(root)) and "site-packages" not in file
        if not _machinery(trace) and (mine or not own):
            place, own = file_line(file, trace.tb_lineno), mine
        trace = trace.tb_next
    return place
