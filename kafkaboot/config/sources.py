"""Reads every source in its order and makes the configuration of them.

Lowest to highest: defaults in code; `application.yaml`; `application-<profile>.yaml`; what `kafkaboot.config.import`
names; `.env`; the environment; `--set`. Lists replace, maps merge.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafkaboot.config.configuration import Configuration, Source
from kafkaboot.config.lookup import find, remove
from kafkaboot.config.node import Branch, Items, Leaf, Node
from kafkaboot.config.origin import Origin
from kafkaboot.config.problem import invalid
from kafkaboot.config.profiles import DEFAULT, Expression, check_exists, expand, split_names
from kafkaboot.config.variables import read_defaults, read_env_file, read_environment, read_overrides, read_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

NAME = "application"
SUFFIXES = (".yaml", ".yml")
ACTIVE = "kafkaboot.profiles.active"
ON_PROFILE = ("on-profile", "kafkaboot.config.activate.on-profile", "kafkaboot.config.on-profile")
IMPORT = "kafkaboot.config.import"
MOST_IMPORTS = 100


def load(
    locations: Sequence[str | Path] = (),
    *,
    profiles: Sequence[str] = (),
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    directory: str | Path = ".",
    known_profiles: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Configuration:
    """The configuration of a start.

    Args:
        locations: Files, or folders with an `application.yaml` (`--config`); none: `.` and `config/`, if there.
        profiles: The profiles asked for (`--profile`), each may name several with commas.
        overrides: `a.b=c` (`--set`).
        environ: The variables.
        directory: Where `application.yaml`, `config/` and `.env` are looked for, and relative locations begin.
        known_profiles: Profiles that mean something to the code, so that they need no file.
        defaults: Defaults in code, by key.

    Raises:
        InvalidConfigurationError: A location is missing, a file is unreadable, a profile does not exist.
    """
    return _Loading(Path(directory), profiles, overrides, environ, known_profiles, defaults or {}).load(locations)


class _Document:
    """One document of a file: its values, and the profiles that it is for."""

    def __init__(self, root: Branch) -> None:
        self.root, self.expressions = root, list[Expression]()
        for key in ON_PROFILE:
            found = find(root, key)
            if found is not None:
                self.expressions.append(Expression(_one_text(found, key), found.origin))
                self.root = remove(self.root, key)


def _one_text(node: Node, key: str) -> str:
    texts = [each.text for each in (node.children if isinstance(node, Items) else [node]) if isinstance(each, Leaf)]
    if not texts or isinstance(node, Branch):
        raise invalid(f"`{key}` wants names of profiles", node.origin, key=key, todo="write `on-profile: prod & !eu`")
    return ", ".join(texts)


class _Loading:
    """One run of `load`."""

    def __init__(
        self,
        directory: Path,
        profiles: Sequence[str],
        overrides: Sequence[str],
        environ: Mapping[str, str],
        known_profiles: Collection[str],
        defaults: Mapping[str, Any],
    ) -> None:
        self.directory, self.asked, self.known = directory, profiles, set(known_profiles)
        self.documents: dict[Path, list[_Document]] = {}
        self.below = [Source("defaults", "defaults in code", read_defaults(defaults, ""))] if defaults else []
        self.above: list[Source] = []
        env_file = directory / ".env"
        if env_file.is_file():
            root = read_env_file(env_file, ".env")
            self.above.append(Source("env-file", ".env", root, _count(root.children, "variable")))
        variables = read_environment(environ)
        ours = [name for name in environ if name.startswith("KAFKABOOT_")]
        self.above.append(Source("environment", "environment", variables, _count(ours, "variable")))
        if overrides:
            root = read_overrides(overrides)
            self.above.append(Source("flags", "--set", root, _count(root.children, "value")))

    def load(self, locations: Sequence[str | Path]) -> Configuration:
        places = self.places(locations)
        mains = [path for folder, stem in places if (path := self.file(folder, stem))]
        plain = Configuration([*self.below, *self.sources(mains, None), *self.above])
        active, explicit = self.active(plain)
        looked_for: dict[str, list[str]] = {}
        paths = list(mains)
        for name in active:
            for folder, stem in places:
                path = self.file(folder, f"{stem}-{name}")
                paths += [path] if path else []
                looked_for.setdefault(name, []).extend(
                    self.shown(folder / f"{stem}-{name}{suffix}") for suffix in SUFFIXES
                )
        files = self.sources(paths, active)
        imports = self.imports([*self.below, *files], active)
        self.refuse_active_in_profiles(paths, mains)
        if explicit:
            existing = self.existing(plain, places)
            for name, origin in explicit:
                main = mains[0] if mains else self.directory / f"{NAME}.yaml"
                file = self.shown(main.with_name(f"{main.stem}-{name}.yaml"))
                check_exists(name, origin, looked_for[name], file, existing)
        return Configuration([*self.below, *files, *imports, *self.above], active)

    def places(self, locations: Sequence[str | Path]) -> list[tuple[Path, str]]:
        """Folders with the beginning of their files' names."""
        if not locations:
            return [(self.directory, NAME), (self.directory / "config", NAME)]
        places = []
        for location in locations:
            path = self.directory / location
            origin = Origin("flag", f"--config {location}")
            if path.is_file():
                if path.suffix not in SUFFIXES:
                    raise invalid(f"{location} is no YAML file", origin, todo="name a `.yaml` file or a folder")
                self.documents.setdefault(path, self.read(path))
                places.append((path.parent, path.stem))
            elif not path.is_dir():
                raise invalid(
                    f"{location} does not exist", origin, todo="name a file, or a folder with application.yaml"
                )
            elif self.file(path, NAME) is None:
                raise invalid(
                    f"there is no application.yaml in {location}", origin, todo=f"create {location}/application.yaml"
                )
            else:
                places.append((path, NAME))
        return places

    def file(self, folder: Path, stem: str) -> Path | None:
        """The file of that name, under either suffix."""
        found = [path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]
        if len(found) > 1:
            both = " and ".join(self.shown(path) for path in found)
            raise invalid(f"{both} stand side by side", Origin("file", self.shown(found[0])), todo="keep one of them")
        return found[0] if found else None

    def shown(self, path: Path) -> str:
        """The path as a reader in the directory would type it."""
        try:
            return path.relative_to(self.directory).as_posix()
        except ValueError:
            return str(path)

    def read(self, path: Path) -> list[_Document]:
        """The documents of a file, read once."""
        if path not in self.documents:
            from kafkaboot.config.yaml_source import read_yaml

            self.documents[path] = [_Document(root) for root in read_yaml(path, self.shown(path))]
        return self.documents[path]

    def sources(self, paths: Iterable[Path], active: Collection[str] | None) -> list[Source]:
        """The documents that belong to these profiles; `None`: those that are for every profile."""
        sources = []
        for path in paths:
            for document in self.read(path):
                if active is None and document.expressions:
                    continue
                if all(each.accepts(active or ()) for each in document.expressions):
                    note = ", ".join(f"on-profile {each.shown}" for each in document.expressions)
                    sources.append(Source("file", self.shown(path), document.root, note))
        return sources

    def active(self, plain: Configuration) -> tuple[tuple[str, ...], list[tuple[str, Origin]]]:
        """The active profiles with their groups' members, and those asked for by name, with who asked."""
        from kafkaboot.config.settings import ProfilesSettings

        settings = plain.bind("kafkaboot.profiles", ProfilesSettings)
        if self.asked:
            explicit = [(name, Origin("flag", f"--profile {name}")) for name in split_names(self.asked)]
        else:
            origin = next((entry.origin for entry in plain.explain(ACTIVE) if entry.wins), Origin("default", ""))
            explicit = [(name, origin) for name in split_names(settings.active)]
        names = [name for name, _ in explicit] or [DEFAULT]
        return expand(names, settings.group), explicit

    def existing(self, plain: Configuration, places: Sequence[tuple[Path, str]]) -> set[str]:
        """Every profile to which something belongs."""
        names = {DEFAULT, *self.known, *(plain.get("kafkaboot.profiles.group") or {})}
        for folder, stem in places:
            for path in folder.glob(f"{stem}-*"):
                if path.suffix in SUFFIXES:
                    names.add(path.stem.removeprefix(f"{stem}-"))
        for documents in self.documents.values():
            names.update(name for each in documents for one in each.expressions for name in one.names)
        return names

    def refuse_active_in_profiles(self, paths: Sequence[Path], mains: Sequence[Path]) -> None:
        """A document that is there only for some profiles cannot say which profiles are active."""
        for path in paths:
            for document in self.read(path):
                found = find(document.root, ACTIVE)
                if found is not None and (document.expressions or path not in mains):
                    todo = f"move it to {self.shown(mains[0]) if mains else 'application.yaml'}"
                    raise invalid(f"`{ACTIVE}` stands where only a profile leads", found.origin, key=ACTIVE, todo=todo)

    def imports(self, files: Sequence[Source], active: Collection[str]) -> list[Source]:
        """What the files import, and what that imports, in the order of their mention."""
        imported: list[Source] = []
        seen: set[str] = set()
        waiting = [(source, found) for source in [*files, *self.above] if (found := find(source.root, IMPORT))]
        while waiting:
            source, node = waiting.pop(0)
            resolver = Configuration([*files, *imported, *self.above])
            for leaf in node.children if isinstance(node, Items) else [node]:
                if not isinstance(leaf, Leaf):
                    raise invalid(f"`{IMPORT}` wants a list of files", leaf.origin, key=IMPORT)
                for name in split_names([resolver.resolve(leaf.text, origin=leaf.origin)]):
                    start = self.directory / source.name if source.kind == "file" else self.directory / "here"
                    if len(imported) > MOST_IMPORTS:
                        raise invalid(f"more than {MOST_IMPORTS} imports", leaf.origin, key=IMPORT)
                    new = self.imported(name, start.parent, leaf.origin, active, seen)
                    imported += new
                    waiting += [(each, found) for each in new if (found := find(each.root, IMPORT))]
        return imported

    def imported(
        self, name: str, folder: Path, origin: Origin, active: Collection[str], seen: set[str]
    ) -> list[Source]:
        optional, rest = name.startswith("optional:"), name.removeprefix("optional:")
        tree, rest = rest.startswith("configtree:"), rest.removeprefix("configtree:").removeprefix("file:")
        path = folder / rest
        if str(path) in seen:
            return []
        seen.add(str(path))
        if not (path.is_dir() if tree else path.is_file()):
            if optional:
                return []
            what = "folder" if tree else "file"
            todo = f"create it, or write `optional:{name}` if it may be missing"
            raise invalid(f"the {what} {rest} that is imported does not exist", origin, key=IMPORT, todo=todo)
        if tree:
            return [Source("tree", f"configtree:{rest}", read_tree(path, rest))]
        if path.suffix not in SUFFIXES:
            raise invalid(f"{rest} is no YAML file", origin, key=IMPORT, todo="import `.yaml` files and `configtree:`")
        return self.sources([path], active)


def _count(things: Collection[str], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"
