"""The options that say which application is meant, the same for every command."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.boot.application import Application
    from kafkaboot.boot.facts import Narrator


@dataclass(frozen=True, slots=True)
class Choice:
    """What was said of the application.

    Attributes:
        app: A package, a folder or a YAML file.
        config: Files and folders with configuration.
        profiles: The profiles.
        overrides: `a.b=c`.
    """

    app: str | None
    config: Sequence[str]
    profiles: Sequence[str]
    overrides: Sequence[str]

    def application(self, narrator: Narrator | None = None, *, more: Sequence[str] = ()) -> Application:
        """The application; nothing is read yet. `more` are further overrides."""
        from kafkaboot.boot.application import Application

        return Application(
            self.app,
            config=self.config,
            profiles=self.profiles,
            overrides=[*self.overrides, *more],
            narrator=narrator,
        )

    def arguments(self) -> list[str]:
        """The same as arguments of `kafkaboot run`."""
        said = [each for path in self.config for each in ("--config", path)]
        said += [each for name in self.profiles for each in ("--profile", name)]
        said += [each for text in self.overrides for each in ("--set", text)]
        return [*said, "--", self.app] if self.app is not None else said


def _assignment(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if "=" not in value or value.startswith("="):
            raise click.BadParameter(f"{value!r} is no KEY=VALUE; write for example --set kafkaboot.kafka.broker=local")
    return values


def which_application(*, argument: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command APP (or `--app`), `--config`, `--profile` and `--set`; its function gets a `Choice` first."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(
            *args: Any,
            app: str | None,
            config: tuple[str, ...],
            profiles: tuple[str, ...],
            overrides: tuple[str, ...],
            **rest: Any,
        ) -> Any:
            return function(Choice(app, config, profiles, overrides), *args, **rest)

        call = click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            callback=_assignment,
            help="Set one value, above every other source.",
        )(call)
        call = click.option(
            "--config", multiple=True, metavar="PATH", help="A YAML file, or a folder with application.yaml."
        )(call)
        call = click.option(
            "--profile", "profiles", multiple=True, metavar="NAME", help="Activate a profile; may be repeated."
        )(call)
        if argument:
            return click.argument("app", required=False, metavar="[APP]")(call)
        return click.option("--app", metavar="APP", help="A package, a folder or a YAML file; default: this folder.")(
            call
        )

    return decorate


as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")


def header_pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    """The callback of an option that takes headers."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _value in pairs:
        if not equals or not name:
            raise click.BadParameter(f"{name!r} is no NAME=VALUE")
    return [(name, value) for name, _, value in pairs]
