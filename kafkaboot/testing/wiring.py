"""What an application would be made of, decided and not built: assertions on auto-configuration without a broker."""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kafkaboot.boot import Application
from kafkaboot.boot.report import Outcome
from kafkaboot.declare import type_name
from kafkaboot.testing.quiet import LogLeftAlone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot import Component, HandlerRow, Report
    from kafkaboot.boot.report import Decision

T = TypeVar("T")


class Wiring:
    """A wired application. Nothing of it is built.

    Attributes:
        report: All decisions with their reasons; `str(report)` is what `kafkaboot run --debug` prints.
        handlers: The table of handlers, by id.
    """

    def __init__(self, application: Application) -> None:
        wired = application.wire()
        assert application.blueprint is not None
        self._blueprint = application.blueprint
        self.name = wired.name
        self.report: Report = wired.report
        self.handlers: dict[str, HandlerRow] = {row.id: row for row in wired.handlers}

    def is_on(self, name: str) -> bool:
        """Whether an auto-configuration is on.

        Raises:
            LookupError: There is none of that name.
        """
        return self._decision(name).outcome is Outcome.ON

    def assert_on(self, *names: str) -> None:
        """These auto-configurations are on.

        Raises:
            AssertionError: One is not; the text has its reasons.
        """
        for name in names:
            _expect(self.is_on(name), f"{name} is expected on\n{self._why(name)}")

    def assert_off(self, *names: str, because: str = "") -> None:
        """These auto-configurations are off.

        Args:
            names: The auto-configurations.
            because: What one of the reasons must contain.

        Raises:
            AssertionError: One is on, or off for another reason.
        """
        for name in names:
            _expect(not self.is_on(name), f"{name} is expected off\n{self._why(name)}")
            reasons = self._why(name)
            _expect(because in reasons, f"{name} is off, and not because of {because!r}\n{reasons}")

    def provides(self, kind: Any) -> bool:
        """Whether anything could be injected for a type."""
        return bool(self._blueprint.container.providing(kind))

    def assert_component(self, kind: Any, *, source: str | None = None) -> Component:
        """Exactly one component provides the type; answers it.

        Args:
            kind: The type.
            source: Who must offer it: `the application`, or the name of an auto-configuration.

        Raises:
            AssertionError: None does, several do, or somebody else offers it.
        """
        found = self._blueprint.container.providing(kind)
        listed = ", ".join(f"{one} of {one.source}" for one in found) or "none"
        _expect(len(found) == 1, f"one component is expected to provide {type_name(kind)}; there are: {listed}")
        fits = source in {None, found[0].source}
        _expect(fits, f"{type_name(kind)} is expected of {source}; there is {listed}")
        return found[0]

    @property
    def components(self) -> Sequence[Component]:
        """What a start would build, in its order."""
        return self.report.components

    def settings(self, kind: type[T]) -> T:
        """A section as the application would see it."""
        return self._blueprint.container.get(kind)

    def _decision(self, name: str) -> Decision:
        known = {one.name: one for one in self.report.decisions}
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
            raise LookupError(f"there is no auto-configuration {name!r}; {advice}")
        return known[name]

    def _why(self, name: str) -> str:
        decision = self._decision(name)
        answers = [f"  {'yes' if one.yes else 'no'}: {one.why}" for one in decision.answers]
        return "\n".join([f"{name} is {decision.outcome}", *answers])


def _expect(holds: bool, otherwise: str) -> None:
    """An assertion whose text is ours alone: pytest would explain one of these by the inside of this class."""
    if not holds:
        raise AssertionError(otherwise)


def wired(
    config: str | Path | Mapping[str, Any] | None = None,
    *,
    app: str | None = None,
    profiles: Sequence[str] = (),
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    directory: str | Path | None = None,
) -> Wiring:
    """Wire an application, and start nothing: no broker is needed.

    Args:
        config: A file or folder, YAML as a text with more than one line, or the configuration as nested mappings;
            `None`: what `kafkaboot run` would find.
        app: A package to scan, beside those that the configuration names.
        profiles: The active profiles.
        overrides: `a.b=c`, above every other source.
        environ: The environment's variables; none by default, so that a test does not depend on them.
        directory: Where packages and relative paths are looked for; the working directory by default.

    Raises:
        KafkabootError: What does not fit together; the same errors as at a start.
    """
    with tempfile.TemporaryDirectory(prefix="kafkaboot-wired-") as folder:
        places: list[str | Path] = []
        if isinstance(config, Mapping) or (isinstance(config, str) and "\n" in config):
            file = Path(folder) / "application.yaml"
            file.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
            places.append(file)
        elif config is not None:
            places.append(Path(config).absolute())
        application = Application(
            app,
            config=places,
            profiles=profiles,
            overrides=overrides,
            environ=environ or {},
            directory=directory,
        )
        with LogLeftAlone():
            return Wiring(application)
