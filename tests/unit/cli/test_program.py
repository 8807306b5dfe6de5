from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click

import kafkaboot.cli
from kafkaboot.cli.program import SECTIONS

ENTRIES = {name: entry for section in SECTIONS.values() for name, entry in section.items()}
STRANGERS = {"confluent_kafka", "rich", "pydantic", "yaml", "msgspec", "dependency_injector", "asyncio"}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


LOADED = """
import sys, json
sys.argv = ["kafkaboot", *{args!r}]
from kafkaboot.cli import main
try:
    main()
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def loaded_by(*args: str) -> set[str]:
    done = python(LOADED.format(args=args))
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_help_loads_click_and_none_of_what_commands_need():
    assert loaded_by("--help").isdisjoint(STRANGERS)
    assert loaded_by("run", "--help").isdisjoint(STRANGERS)


def test_the_look_at_what_is_loaded_would_notice_a_stranger():
    assert "pydantic" in loaded_by("config", "schema")


def test_help_shows_every_command_under_its_section_with_examples(call):
    text = call("--help").output
    for title, commands in SECTIONS.items():
        assert f"{title}:" in text
        for name, entry in commands.items():
            assert f"{name} " in text
            assert entry.line in text
    assert "kafkaboot run --profile dev" in text


def test_every_command_is_where_the_list_says_and_has_help_with_examples(call):
    for name, entry in ENTRIES.items():
        module, _, attribute = entry.target.partition(":")
        assert isinstance(getattr(import_module(module), attribute), click.Command)
        done = call(name, "--help")
        assert done.exit_code == 0
        assert "Examples:" in done.output, name


def test_a_mistyped_command_names_the_nearest(call):
    done = call("rnu")
    assert done.exit_code == 2
    assert "No such command 'rnu'. Did you mean 'run'?" in done.output
    assert "Did you mean 'explain'?" in call("config", "explan").output
    assert "There are: show, check, explain, schema" not in call("xyzzyx").output
    assert "There are: run, dev, broker" in call("xyzzyx").output


def test_a_mistyped_option_names_the_nearest(call):
    done = call("run", "--profil", "dev")
    assert done.exit_code == 2
    assert "--profile" in done.output


def test_an_assignment_without_a_value_is_wrong_usage(call):
    done = call("handlers", "--set", "kafkaboot.kafka.broker")
    assert done.exit_code == 2
    assert "is no KEY=VALUE" in done.output


def test_no_colour_leaves_out_all_colour_even_where_it_was_forced(call):
    assert "\x1b[" in call("doctor", "nothere", color=True).output
    assert "\x1b[" not in call("doctor", "nothere", color=True, env={"NO_COLOR": "1"}).output


def test_no_module_of_the_room_has_the_name_of_one_of_the_standard_library():
    names = {file.stem for file in Path(kafkaboot.cli.__file__).parent.glob("*.py")} - {"__init__"}
    assert names.isdisjoint(sys.stdlib_module_names)
    assert len(names) > 10


def test_the_version_is_said(call):
    assert call("--version").output == f"kafkaboot {kafkaboot.__version__}\n"
