"""Text that stands outside of YAML: variables, `.env` files, `--set` flags, and trees of files with one value each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kafkaboot.config.node import Branch, Items, Leaf, Node, Scalar, plain_leaf
from kafkaboot.config.origin import Origin
from kafkaboot.config.problem import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MOST_BYTES = 1 << 20
MOST_FILES = 10_000

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*)")
_ESCAPE = re.compile(r"\\([nrt\"\\])")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_FLAG = re.compile(r"[^\s=]+")
_INDEX = re.compile(r"\[([0-9]+)\]")


def read_environment(environ: Mapping[str, str]) -> Branch:
    """The variables of the environment."""
    children: dict[str, Node] = {name: plain_leaf(text, Origin("variable", name)) for name, text in environ.items()}
    return Branch(children, Origin("variable", ""), loose=True)


def read_env_file(path: Path, shown: str) -> Branch:
    """The variables of a `.env` file: `NAME=value`, `export NAME=value`, quotes, comments.

    Raises:
        InvalidConfigurationError: A line is none of these; the line itself is not repeated, it may hold a secret.
    """
    children: dict[str, Node] = {}
    for number, raw in enumerate(_read(path, shown).splitlines(), 1):
        line, origin = raw.strip(), Origin("file", shown, number)
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if not found:
            raise invalid("this line is no `NAME=value`", origin, todo="write `NAME=value`, or begin it with `#`")
        name, text = found[1], found[2]
        if text[:1] in {'"', "'"}:
            text = _unquoted(text, origin)
            children[name] = Leaf(text, text, origin, quoted=True)
        else:
            children[name] = plain_leaf(re.split(r"\s#", text, maxsplit=1)[0].strip(), origin)
    return Branch(children, Origin("file", shown), loose=True)


def _unquoted(text: str, origin: Origin) -> str:
    quote = text[0]
    found = re.fullmatch(
        rf"{quote}((?:\\.|[^{quote}\\])*){quote}\s*(?:#.*)?" if quote == '"' else r"'([^']*)'\s*(?:#.*)?", text
    )
    if not found:
        raise invalid("a quote is opened and not closed at the end of the value", origin, todo="close the quote")
    return _ESCAPE.sub(lambda each: _ESCAPED[each[1]], found[1]) if quote == '"' else found[1]


def read_overrides(overrides: Sequence[str]) -> Branch:
    """The values of `--set a.b=c`, `--set a.b[0]=c`; a later one wins.

    Raises:
        InvalidConfigurationError: One has no name or no `=`; what it says is not repeated, it may hold a secret.
    """
    children: dict[str, Node] = {}
    for number, flag in enumerate(overrides, 1):
        name, equals, text = flag.partition("=")
        name = _INDEX.sub(r".\1", name.strip())
        if not equals or not _FLAG.fullmatch(name):
            raise invalid(
                f"flag {number} of `--set` is no `name=value`", Origin("flag", "--set"), todo="write --set a.b=c"
            )
        children.pop(name, None)
        children[name] = plain_leaf(text, Origin("flag", f"--set {name}"))
    return Branch(children, Origin("flag", "--set"))


def read_tree(folder: Path, shown: str) -> Branch:
    """A folder with one file a value, as Kubernetes and Docker mount secrets: a file's name is a key, masked always.

    Raises:
        InvalidConfigurationError: A file cannot be read, is too large, or is no text.
    """
    children: dict[str, Node] = {}
    count = 0
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith("..") for part in parts) or not path.is_file():
            continue
        count += 1
        if count > MOST_FILES:
            raise invalid(f"more than {MOST_FILES} files", Origin("file", shown), todo="name the folder of the secrets")
        name = f"{shown.rstrip('/')}/{'/'.join(parts)}"
        text = _read(path, name).removesuffix("\n").removesuffix("\r")
        children[".".join(parts)] = Leaf(text, text, Origin("file", name), quoted=True, literal=True, secret=True)
    return Branch(children, Origin("file", shown))


def read_defaults(values: Mapping[str, Any], who: str) -> Branch:
    """Defaults that code gives; names may hold dots."""
    origin = Origin("default", who)
    return Branch({name: _default(value, origin) for name, value in values.items()}, origin)


def _default(value: Any, origin: Origin) -> Node:
    if isinstance(value, dict):
        return Branch({str(name): _default(child, origin) for name, child in value.items()}, origin)
    if isinstance(value, list | tuple):
        return Items([_default(child, origin) for child in value], origin=origin)
    scalar: Scalar = value if isinstance(value, bool | int | float | str | None) else str(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Leaf(scalar, text, origin, quoted=isinstance(scalar, str))


def _read(path: Path, shown: str) -> str:
    origin = Origin("file", shown)
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise invalid(f"{shown} cannot be read: {error.strerror}", origin) from None
    if len(raw) > MOST_BYTES:
        raise invalid(f"{shown} is larger than {MOST_BYTES >> 20} MiB", origin)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise invalid(f"{shown} is not UTF-8", origin, todo="save the file as UTF-8") from None
