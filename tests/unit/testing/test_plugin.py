"""The pytest plugin, in projects of its users."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

BY_ASYNCIO = "asyncio_default_fixture_loop_scope = function\nasyncio_mode = "
PLAIN = """
[pytest]
pythonpath = .
filterwarnings = error
addopts = -p no:cacheprovider -p no:xdist -p no:hypothesispytest -p no:timeout
"""
BILLED = """
    await app.publish("orders", OrderPlaced(order_id="o-1", total=30), key=f"{app.broker.kind}")
    await app.published("invoices", InvoiceIssued)
    app.handler("bill").assert_settled(1)
    assert len(await app.all_published("invoices", InvoiceIssued)) == 1
"""
HEAD = """
import pytest
from kafkaboot.testing import TestApp
from kitshop.handlers import InvoiceIssued, OrderPlaced, ShopSettings, Tax
"""


@pytest.fixture
def project(tmp_path, kitshop):
    """`project(tests, conftest, ini)` runs pytest on a project of a user's; answers its exit code and what it said."""
    (tmp_path / "kitshop").symlink_to(kitshop / "kitshop")
    (tmp_path / "application.yaml").write_text((kitshop / "application.yaml").read_text())

    def run(tests, *arguments, conftest="", ini=f"{BY_ASYNCIO}strict"):
        (tmp_path / "pytest.ini").write_text(f"{PLAIN}{ini}\n")
        (tmp_path / "conftest.py").write_text(textwrap.dedent(conftest))
        (tmp_path / "test_shop.py").write_text(HEAD + textwrap.dedent(tests))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def indented(code: str) -> str:
    return textwrap.indent(textwrap.dedent(code), "    ")


def test_it_serves_pytest_asyncio_and_anyio_and_fixtures_of_the_users_own(project):
    code, said = project(
        f"""
import pytest_asyncio

@pytest.mark.asyncio
async def test_by_asyncio(app: TestApp):
{indented(BILLED)}

@pytest.mark.anyio
async def test_by_anyio(app: TestApp):
{indented(BILLED)}

@pytest_asyncio.fixture
async def billed(app):
    await app.publish("orders", OrderPlaced(order_id="o-7", total=30))
    yield await app.published("invoices", InvoiceIssued)
    app.handler("bill").assert_settled(1)

@pytest.mark.asyncio
async def test_with_a_fixture(app, billed):
    assert billed.order_id == "o-7"
""",
        conftest="""
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """,
    )
    assert code == 0, said
    assert "3 passed" in said


def test_overrides_doubles_and_the_application_are_given_by_fixtures(project):
    code, said = project(
        """
class Free:
    rate = 0

@pytest.fixture
def kafkaboot_overrides():
    return {"kitshop.tax-rate": 0.5, "kafkaboot.handlers.bill.concurrency": 2}

@pytest.fixture
def kafkaboot_components():
    return {Tax: Free()}

@pytest.fixture
def kafkaboot_application():
    return "kitshop"

async def test_it(app):
    assert str(app.get(ShopSettings).tax_rate) == "0.5"
    assert app.get(Tax).rate == 0
    assert app.application.describe_handlers()[0].concurrency == 2
""",
        ini=f"{BY_ASYNCIO}auto",
    )
    assert code == 0, said


def test_what_cannot_be_is_told(project):
    code, said = project(
        """
def test_not_async(app):
    pass

@pytest.mark.kafka
async def test_no_broker_named(app):
    pass

@pytest.mark.kafka("lokal")
async def test_no_such_broker(app):
    pass
""",
        ini=f"{BY_ASYNCIO}auto",
    )
    assert code == 1, said
    assert "the fixture `app` is for tests that are `async def`" in said
    assert 'write @pytest.mark.kafka("local")' in said
    assert "there is no broker of kind 'lokal' to start" in said


def test_without_a_plugin_for_async_tests_it_says_which_to_install(project):
    code, said = project(
        """
async def test_it(app):
    pass
""",
        "-p",
        "no:asyncio",
        "-p",
        "no:anyio",
        ini="",
    )
    assert code != 0
    assert "needs a plugin that runs async tests: pip install pytest-asyncio" in said


def test_the_marker_wins_over_the_option_and_is_known(project):
    code, said = project(
        f"""
@pytest.mark.kafka("embedded")
async def test_it(app):
    assert app.broker.kind == "embedded"
{indented(BILLED)}
""",
        "--kafka",
        "127.0.0.1:1",
        "--strict-markers",
        ini=f"{BY_ASYNCIO}auto",
    )
    assert code == 0, said


def test_the_plugin_alone_loads_no_client_and_no_container():
    code = (
        "import sys, json\nimport pytest\nbefore = set(sys.modules)\nimport kafkaboot.testing.plugin\n"
        "import kafkaboot.testing\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    fresh = set(json.loads(done.stdout))
    assert fresh <= {"kafkaboot", "kafkaboot.testing", "kafkaboot.testing.plugin"}


def test_the_kit_itself_loads_neither_pytest_nor_a_client():
    code = (
        "import sys\nimport kafkaboot.testing\nfrom kafkaboot.testing import eventually, generate, History\n"
        "print([name for name in ('pytest', 'confluent_kafka', 'dependency_injector') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_public_name_of_the_kit_is_there():
    import kafkaboot.testing as kit

    assert [name for name in kit.__all__ if not hasattr(kit, name)] == []
