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

SUFFIXES = (".py", ".yaml", ".yml", ".env")


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
        self._folders = folders(application)
        self._changed: list[str] = []
        self._watch = watch
        threading.Thread(target=self._run, name="kafkaboot-changes", daemon=True).start()

    def seen(self) -> Sequence[str]:
        """The files that changed since the last call, as the reader would type them."""
        changed, self._changed = self._changed, []
        return sorted(set(changed))

    def _run(self) -> None:
        for batch in self._watch(
            *self._folders, watch_filter=lambda _, path: path.endswith(SUFFIXES), raise_interrupt=False
        ):
            self._changed += [self._shown(Path(path)) for _, path in batch]

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self._directory)) if path.is_relative_to(self._directory) else str(path)


def folders(application: Application) -> list[Path]:
    """The folders of the application's packages and of its configuration."""
    from kafkaboot.boot.settings import ApplicationSettings

    launch, configuration = application.launch, application.configure()
    settings = configuration.bind("kafkaboot.application", ApplicationSettings)
    found: list[Path] = []
    sys.path.insert(0, str(launch.directory))
    for app in [*([launch.app] if launch.app else []), *settings.packages]:
        path = launch.directory / app
        if path.exists():
            found.append(path)
            continue
        spec = find_spec(app.partition(".")[0])  # the top alone: a deeper one would be imported to be found
        if spec is not None:
            found += [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
    files = [launch.directory / source.name for source in configuration.sources if source.kind == "file"]
    found += [file.parent for file in files]
    return [path for path in dict.fromkeys(path.resolve() for path in found) if path.exists()]
