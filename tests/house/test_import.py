from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

STRANGERS = {
    "confluent_kafka",
    "dependency_injector",
    "yaml",
    "prometheus_client",
    "opentelemetry",
    "pydantic",
    "msgspec",
    "click",
    "rich",
    "asyncio",
}
LISTING = """
import sys, time, json
before = set(sys.modules)
start = time.perf_counter()
{statement}
print(json.dumps([time.perf_counter() - start, sorted(set(sys.modules) - before)]))
"""


def loaded_by(statement: str) -> tuple[float, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LISTING.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    seconds, modules = json.loads(done.stdout)
    return seconds, set(modules)


def roots(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_importing_kafkaboot_loads_no_stranger_and_hardly_anything(record_property: pytest.RecordProperty) -> None:
    seconds, modules = loaded_by("import kafkaboot")
    record_property("seconds", seconds)
    print(f"import kafkaboot: {seconds * 1000:.1f} ms, {len(modules)} modules")
    assert roots(modules).isdisjoint(STRANGERS)
    assert {module for module in modules if module.startswith("kafkaboot.")} == set()
    assert len(modules) < 30


def test_the_decorators_load_no_client_container_or_model() -> None:
    names = "circuit, component, event, event_handler, publisher, settings, RetryPolicy"
    _, modules = loaded_by(f"from kafkaboot import {names}")
    assert roots(modules).isdisjoint(STRANGERS - {"msgspec"})


def test_the_listing_would_notice_a_stranger() -> None:
    _, modules = loaded_by("from kafkaboot import Secret")
    assert "pydantic" in roots(modules)


def test_all_public_names_exist_and_are_listed_for_completion() -> None:
    import kafkaboot

    assert sorted(kafkaboot.__all__) == sorted(set(kafkaboot.__all__))
    missing = [name for name in kafkaboot.__all__ if not hasattr(kafkaboot, name)]
    assert missing == []
    assert set(kafkaboot.__all__) <= set(dir(kafkaboot))


def test_the_names_for_type_checkers_are_those_that_load() -> None:
    import kafkaboot

    text = Path(kafkaboot.__file__).read_text()
    block = text[text.index("if TYPE_CHECKING:") : text.index("_ROOMS = ")]
    seen = set(re.findall(r"^        (\w+),$", block, re.MULTILINE))
    for line in re.findall(r"^    from [\w.]+ import ([^(\n]+)$", block, re.MULTILINE):
        seen |= {part.split(" as ")[-1].strip() for part in line.split(",")}
    seen |= set(re.findall(r"^    (\w+): ", block, re.MULTILINE))
    assert seen == set(kafkaboot.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    import kafkaboot

    with pytest.raises(AttributeError, match="module 'kafkaboot' has no attribute 'evnt'"):
        kafkaboot.evnt


def test_the_version_is_that_of_the_distribution() -> None:
    import tomllib

    import kafkaboot

    project = tomllib.loads((Path(kafkaboot.__file__).parent.parent / "pyproject.toml").read_text())
    assert kafkaboot.__version__ == project["project"]["version"]
