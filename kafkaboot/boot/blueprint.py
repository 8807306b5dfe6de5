"""Everything that is decided before anything is built: configuration, declarations, auto-configurations, the graph."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafkaboot.boot import starters
from kafkaboot.boot.autoconfiguration import decide, in_order
from kafkaboot.boot.component import APPLICATION, Component
from kafkaboot.boot.conditions import Surroundings
from kafkaboot.boot.container import Container
from kafkaboot.boot.exception_names import check_circuits, check_handlers, check_policies
from kafkaboot.boot.failing import refuse_retry_topics
from kafkaboot.boot.inboxes import refuse_inboxes
from kafkaboot.boot.letters import letter_function
from kafkaboot.boot.outputs import publishing_wishes
from kafkaboot.boot.pipeline import Preparation, refuse_overlaps
from kafkaboot.boot.report import Report
from kafkaboot.boot.settings import ApplicationSettings, AutoconfigureSettings
from kafkaboot.config import ConfigSettings, Configuration, InvalidConfigurationError, ProfilesSettings, load
from kafkaboot.declare import Declarations, publishing_methods, scan
from kafkaboot.errors import ConfigurationError
from kafkaboot.sql import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kafkaboot.boot.analysis import Analyzer
    from kafkaboot.boot.autoconfiguration import Loaded
    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.boot.report import Decision

SUFFIXES = (".yaml", ".yml")

OWN_SECTIONS: dict[str, Any] = {
    "kafkaboot.application": ApplicationSettings,
    "kafkaboot.autoconfigure": AutoconfigureSettings,
    "kafkaboot.profiles": ProfilesSettings,
    "kafkaboot.config": ConfigSettings,
}
"""Sections that belong to no auto-configuration."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What was asked for.

    Attributes:
        app: A package, a folder or a YAML file; `None` leaves it to the configuration.
        config: Files and folders with configuration; none: `.` and `config/`.
        profiles: The profiles asked for.
        overrides: `a.b=c`.
        environ: The environment's variables.
        directory: Where relative paths begin.
        defaults: Defaults by key, below every other source.
        known_profiles: Profiles that may be asked for though nothing belongs to them.
        components: Built instead of those of the application that provide the same types.
    """

    app: str | None = None
    config: Sequence[str | Path] = ()
    profiles: Sequence[str] = ()
    overrides: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    directory: Path = field(default_factory=Path.cwd)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    known_profiles: Collection[str] = ()
    components: Sequence[Component] = ()

    def placed(self) -> Launch:
        """The same with a folder or a YAML file taken apart: where it lies becomes the directory."""
        if self.app is None:
            return self
        path = self.directory / self.app
        if path.suffix in SUFFIXES:  # one that is not there is told as a file, not as a package
            folder = path.parent.parent if path.parent.name == "config" else path.parent
            return dataclasses.replace(
                self, app=None, config=(path.resolve(), *self.config), directory=folder.resolve()
            )
        if path.is_dir() and any(
            (path / where / f"application{end}").is_file() for where in ("", "config") for end in SUFFIXES
        ):
            return dataclasses.replace(self, app=None, directory=path.resolve())
        return self


@dataclass(slots=True)
class Blueprint:
    """A checked application, not built.

    Attributes:
        configuration: All of it.
        application: `kafkaboot.application`, with a name.
        handlers: Those that run.
        container: Checked; nothing is built.
        report: What was decided, and why.
        sections: The model of each section, for the JSON schema and the list of all values.
        analyzers: What guests know of failed starts.
    """

    configuration: Configuration
    application: ApplicationSettings
    declarations: Declarations
    handlers: list[Handler]
    container: Container
    report: Report
    sections: dict[str, Any]
    analyzers: tuple[Analyzer, ...]


def read(launch: Launch) -> Configuration:
    """The configuration of a launch."""
    return load(
        launch.config,
        profiles=launch.profiles,
        overrides=launch.overrides,
        environ=launch.environ,
        directory=launch.directory,
        known_profiles=launch.known_profiles,
        defaults=launch.defaults,
    )


def sections_of(found: Sequence[Loaded]) -> dict[str, Any]:
    """The sections that are known before the application's packages are, by prefix."""
    sections = dict(OWN_SECTIONS)
    for one in found:
        sections.update({f"kafkaboot.{name}": model for name, model in one.auto.sections.items()})
    return sections


def offered(configuration: Configuration) -> tuple[list[Loaded], list[Decision], dict[str, Any]]:
    """The auto-configurations in their order, those left out, and every section known without the packages.

    Raises:
        StarterError: An auto-configuration cannot be loaded.
    """
    found, left_out = starters.load(configuration.bind("kafkaboot.autoconfigure", AutoconfigureSettings).exclude)
    return in_order(found), left_out, sections_of(found)


def check_sections(configuration: Configuration, sections: Mapping[str, Any], left_out: Sequence[Decision]) -> None:
    """Check all sections at once; that of an excluded feature may stay where it is.

    Raises:
        InvalidConfigurationError: All that is wrong.
    """
    unused = {f"kafkaboot.{one.name}": dict[str, Any] for one in left_out}
    configuration.check({**unused, **sections})


def draw(
    launch: Launch, configuration: Configuration, built: Callable[[Component, Any], None] = lambda *_: None
) -> Blueprint:
    """Decide everything.

    Args:
        launch: What was asked for.
        configuration: What `read` answered.
        built: See `Container`.

    Raises:
        InvalidConfigurationError: A section cannot be bound, or a key is unknown.
        StarterError: An auto-configuration cannot be loaded.
        DeclarationError: A package cannot be imported, or a declaration cannot be used.
        WiringError: The components do not fit together.
    """
    found, left_out, sections = offered(configuration)
    check_sections(configuration, sections, left_out)
    for one in found:
        if one.auto.prepare is not None:
            one.auto.prepare(configuration)

    apps, application = packages_of(launch, configuration)
    declarations = scan(*apps, root=launch.directory)
    _check_settings(configuration, declarations)
    check_circuits(configuration, _bound(configuration, "kafkaboot.circuits", sections))
    check_policies(configuration, _bound(configuration, "kafkaboot.retry", sections))
    check_handlers(declarations.handlers)
    replaced = {one.provides for one in launch.components}
    declared = [one for one in _declared(configuration, declarations) if one.provides not in replaced]
    components = [*declared, *launch.components, *_known(configuration, application, sections)]
    here = Surroundings(configuration, components, declarations.handlers)
    decisions = decide(found, here)

    handlers, preparation = _handlers(configuration, application, sections, here)
    brought = bool(here.providing(Database))
    refuse_inboxes(handlers, _bound(configuration, "kafkaboot.databases", sections), brought=brought)
    container = Container(here.components, built)
    container.check([handler.demand for handler in handlers])
    refuse_overlaps(handlers)
    refuse_retry_topics(handlers)
    sections.update({spec.prefix: spec.model for spec in declarations.settings})
    report = Report([*decisions, *left_out], overrides=preparation.overrides)
    analyzers = tuple(one for each in found for one in each.auto.analyzers)
    return Blueprint(configuration, application, declarations, handlers, container, report, sections, analyzers)


def packages_of(launch: Launch, configuration: Configuration) -> tuple[list[str], ApplicationSettings]:
    """What is to be scanned, and `kafkaboot.application` with the name that follows from it.

    Raises:
        ConfigurationError: No package is named.
    """
    settings = configuration.bind("kafkaboot.application", ApplicationSettings)
    apps = list(dict.fromkeys([*([launch.app] if launch.app else []), *settings.packages]))
    if not apps:
        raise ConfigurationError(
            "there is nothing to run: no package is named",
            where=str(launch.directory),
            todo="name one: kafkaboot.application.packages: [shop] in application.yaml, or `kafkaboot run shop`",
        )
    first = Path(apps[0]).stem if "/" in apps[0] or apps[0].endswith(".py") else apps[0].partition(".")[0]
    return apps, settings.model_copy(update={"name": settings.name or first})


def _check_settings(configuration: Configuration, declarations: Declarations) -> None:
    """Bind every `@settings` class now, so that all that is wrong with them is told at once."""
    problems = []
    for spec in declarations.settings:
        try:
            configuration.bind(spec.prefix, spec.model)
        except InvalidConfigurationError as error:
            problems += error.problems
    if problems:
        raise InvalidConfigurationError(problems)


def _declared(configuration: Configuration, declarations: Declarations) -> list[Component]:
    components = [
        _section(configuration, spec.prefix, spec.model, spec.where, APPLICATION) for spec in declarations.settings
    ]
    for spec in declarations.components:
        owner = spec.provides
        publishing = publishing_methods(owner) if isinstance(owner, type) else {}
        wanted = [one for several in publishing.values() for one in several]
        beside = tuple(publishing_wishes(wanted))
        components.append(Component(owner, spec.factory, spec.where, spec.name, spec.primary, beside))
    return [*components, *map(letter_function, declarations.letter_listeners)]


def _known(
    configuration: Configuration, application: ApplicationSettings, sections: Mapping[str, Any]
) -> list[Component]:
    """What is there before anything is decided: the configuration and its sections."""
    where = "the configuration"
    components = [
        Component.holding(configuration, where=where, source="kafkaboot"),
        Component.holding(application, where=where, source="kafkaboot"),
    ]
    for section, model in sections.items():
        if section not in OWN_SECTIONS:
            components.append(_section(configuration, section, model, where, "kafkaboot"))
    return components


def _section(configuration: Configuration, prefix: str, model: Any, where: str, source: str) -> Component:
    return Component(model, lambda: configuration.bind(prefix, model), where, prefix, source=source)


def _handlers(
    configuration: Configuration, application: ApplicationSettings, sections: Mapping[str, Any], here: Surroundings
) -> tuple[list[Handler], Preparation]:
    consumer = sections.get("kafkaboot.consumer")
    group = configuration.bind("kafkaboot.consumer", consumer).group if consumer is not None else None
    preparation = Preparation(
        configuration,
        _bound(configuration, "kafkaboot.handlers", sections),
        _bound(configuration, "kafkaboot.retry", sections),
        _bound(configuration, "kafkaboot.circuits", sections),
        group or application.name or "",
        lambda wanted: bool(here.providing(wanted)),
    )
    return preparation.prepare(here.handlers), preparation


def _bound(configuration: Configuration, section: str, sections: Mapping[str, Any]) -> Any:
    return configuration.bind(section, sections[section]) if section in sections else {}
