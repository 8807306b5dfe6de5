"""Which files of an application changed, for `run --reload`."""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.application import Application

CODE, CONFIG = (".py",), (".yaml", ".yml", ".env")


class WatchfilesMissingError(KafkabootError):
    """The extra `reload` is not installed."""


class Changes:
    """Collects changed files from now on.

    Args:
        application: Its packages' folders and its configuration's folders are watched.

    Raises:
        WatchfilesMissingError: The extra is not installed.
    """

    def __init__(self, application: Application) -> None:
        try:
            from watchfiles import watch
        except ImportError as error:
            raise WatchfilesMissingError(
                "--reload needs watchfiles, which is not installed", todo='pip install "kafkaboot[reload]"'
            ) from error
        self._directory = application.launch.directory
        self._changed: list[str] = []
        self._watch = watch
        # Configuration may lie in the project's own folder, which holds a virtual environment as well: not below it.
        watches = ((packages(application), CODE, True), (config_folders(application), CONFIG, False))
        for folders, suffixes, below in watches:
            if folders:
                threading.Thread(
                    target=self._run, args=(folders, suffixes, below), name="kafkaboot-changes", daemon=True
                ).start()

    def seen(self) -> Sequence[str]:
        """The files that changed since the last call, as the reader would type them."""
        changed, self._changed = self._changed, []
        return sorted(set(changed))

    def _run(self, folders: Sequence[Path], suffixes: tuple[str, ...], below: bool) -> None:
        for batch in self._watch(
            *folders, watch_filter=lambda _, path: path.endswith(suffixes), recursive=below, raise_interrupt=False
        ):
            self._changed += [self._shown(Path(path)) for _, path in batch]

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self._directory)) if path.is_relative_to(self._directory) else str(path)


def packages(application: Application) -> list[Path]:
    """The folders of the application's packages, found without importing them."""
    from kafkaboot.boot.settings import ApplicationSettings

    launch = application.launch
    settings = application.configure().bind("kafkaboot.application", ApplicationSettings)
    found: list[Path] = []
    if str(launch.directory) not in sys.path:
        sys.path.insert(0, str(launch.directory))
    for app in [*([launch.app] if launch.app else []), *settings.packages]:
        path = launch.directory / app
        if path.exists():
            found.append(path)
            continue
        spec = find_spec(app.partition(".")[0])  # the top alone: a deeper one would be imported to be found
        if spec is not None:
            found += [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
    return _there(found)


def config_folders(application: Application) -> list[Path]:
    """The folders that configuration was read from."""
    directory, sources = application.launch.directory, application.configure().sources
    return _there([(directory / source.name).parent for source in sources if source.kind in {"file", "env-file"}])


def _there(paths: Sequence[Path]) -> list[Path]:
    return [path for path in dict.fromkeys(path.resolve() for path in paths) if path.exists()]
