"""The pytest plugin: the fixtures `app` and `probe`, the marker `kafka`, the option `--kafka`.

Nothing of kafkaboot is loaded before a test asks for one of its fixtures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kafkaboot.dev import Broker
    from kafkaboot.testing.app import TestApp
    from kafkaboot.testing.brokers import SessionBrokers
    from kafkaboot.testing.probing.probe import Probe

_MARK = (
    "kafka(broker): the broker that the fixture `app` runs on: embedded (default), local (a real Apache Kafka on the "
    "JVM), container, or the address of one that runs"
)
_NAMES = ("application.yaml", "application.yml", "config/application.yaml", "config/application.yml")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that runs a whole session on another broker."""
    parser.getgroup("kafkaboot").addoption(
        "--kafka",
        default="embedded",
        metavar="BROKER",
        help="the broker of tests that don't say: embedded, local, container, or host:port of one that runs",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker; and the fixtures for whichever way async tests are run here."""
    config.addinivalue_line("markers", _MARK)
    if config.pluginmanager.hasplugin("asyncio"):
        import pytest_asyncio

        config.pluginmanager.register(_fixtures(pytest_asyncio.fixture, "asyncio"), "kafkaboot-asyncio")
    if config.pluginmanager.hasplugin("anyio"):
        config.pluginmanager.register(_fixtures(pytest.fixture, "anyio"), "kafkaboot-anyio")


def pytest_runtest_setup() -> None:
    """No test finds a circuit open because calls failed in another one."""
    if circuits := sys.modules.get("kafkaboot.failure.circuits"):
        circuits.forget()


def _fixtures(fixture: Any, library: str) -> ModuleType:
    """A plugin with one fixture: the application, from start to stop on the loop of its test."""
    name = f"_kafkaboot_running_{library}"

    async def running(_kafkaboot_app: TestApp) -> AsyncIterator[TestApp]:
        async with _kafkaboot_app as app:
            yield app

    plugin = ModuleType(name)  # pytest takes fixtures from modules and classes, not from an object's own attributes
    setattr(plugin, name, fixture(name=name)(running))
    return plugin


@pytest.fixture(scope="session")
def kafkaboot_brokers() -> Iterator[SessionBrokers]:
    """The brokers of this session; each is started when a test first wants it."""
    from kafkaboot.testing.brokers import SessionBrokers

    brokers = SessionBrokers()
    yield brokers
    brokers.stop()


@pytest.fixture
def kafkaboot_broker(request: pytest.FixtureRequest, kafkaboot_brokers: SessionBrokers) -> Broker:
    """The broker that this test runs on, with nothing of another test in it."""
    mark = request.node.get_closest_marker("kafka")
    asked = request.config.getoption("--kafka")
    if mark is not None:
        if len(mark.args) != 1 or not isinstance(mark.args[0], str):
            raise pytest.UsageError(f'{request.node.nodeid}: write @pytest.mark.kafka("local"), or another broker')
        asked = mark.args[0]
    return kafkaboot_brokers.fresh(asked)


@pytest.fixture
def kafkaboot_application() -> str | None:
    """What runs: a package, a folder or a YAML file. `None`, the default: what `kafkaboot run` would run here."""
    return None


@pytest.fixture
def kafkaboot_overrides() -> dict[str, object]:
    """Values of the configuration by key, above every other source; override this fixture to give some."""
    return {}


@pytest.fixture
def kafkaboot_components() -> dict[type[Any], object]:
    """Doubles by the type that they stand in for; override this fixture to give some."""
    return {}


@pytest.fixture
def _kafkaboot_app(
    request: pytest.FixtureRequest,
    kafkaboot_broker: Broker,
    kafkaboot_application: str | None,
    kafkaboot_overrides: dict[str, object],
    kafkaboot_components: dict[type[Any], object],
) -> TestApp:
    from kafkaboot.testing.app import TestApp

    return TestApp(
        kafkaboot_broker,
        kafkaboot_application,
        overrides=kafkaboot_overrides,
        components=kafkaboot_components,
        directory=_directory(request.config.rootpath),
    )


@pytest.fixture
def app(request: pytest.FixtureRequest) -> TestApp:
    """The application, running in this process. See `kafkaboot.testing.TestApp`."""
    import inspect

    if not inspect.iscoroutinefunction(request.function):
        raise pytest.UsageError(f"{request.node.nodeid}: the fixture `app` is for tests that are `async def`")
    for library, used in (("anyio", "anyio_backend" in request.fixturenames), ("asyncio", True)):
        if used and request.config.pluginmanager.hasplugin(library):
            running: TestApp = request.getfixturevalue(f"_kafkaboot_running_{library}")
            return running
    raise pytest.UsageError("the fixture `app` needs a plugin that runs async tests: pip install pytest-asyncio")


@pytest.fixture
def probe(
    request: pytest.FixtureRequest,
    kafkaboot_application: str | None,
    kafkaboot_overrides: dict[str, object],
    kafkaboot_components: dict[type[Any], object],
) -> Probe:
    """Calls a handler with a record, without a broker, and lets nothing out. See `kafkaboot.testing.Probe`."""
    from kafkaboot.testing.app import configured, doubles
    from kafkaboot.testing.probing.probe import Probe

    return Probe(
        configured(
            kafkaboot_application,
            _directory(request.config.rootpath),
            kafkaboot_overrides,
            doubles(kafkaboot_components),
        )
    )


def _directory(root: Path) -> Path:
    """Where the application's configuration is: here, as for `kafkaboot run`, or at the root of the tests."""
    here = Path.cwd()
    return next((folder for folder in (here, root) if any((folder / name).is_file() for name in _NAMES)), here)
