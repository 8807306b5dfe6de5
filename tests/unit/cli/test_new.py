from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from kafkaboot.errors import KafkabootError


def test_new_says_what_it_wrote_and_what_comes_next(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    done = call("new", "corner-shop")
    assert done.exit_code == 0, done.output
    assert "kafkaboot dev" in done.output
    for line in done.output.splitlines():
        if line.startswith("  ") and "/" in line and "{" not in line:
            assert (tmp_path / "corner-shop" / line.strip()).is_file(), line
    yaml = (tmp_path / "corner-shop/config/application.yaml").read_text()
    assert yaml.startswith("# yaml-language-server: $schema=application.schema.json\n")
    schema = json.loads((tmp_path / "corner-shop/config/application.schema.json").read_text())
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    for file in (tmp_path / "corner-shop").rglob("*.*"):
        if file.is_file():
            assert "@NAME@" not in file.read_text()
            assert "@PACKAGE@" not in file.read_text()


@pytest.mark.parametrize("name", ["1shop", "my shop", "class", "json", "kafkaboot", "config"])
def test_a_name_that_cannot_be_a_package_is_refused(tmp_path, monkeypatch, call, name):
    monkeypatch.chdir(tmp_path)
    done = call("new", name)
    assert done.exit_code == 2
    assert repr(name) in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("mine")
    done = call("new", "shop")
    assert done.exit_code == 2
    assert "not empty" in done.output
    assert [file.name for file in (tmp_path / "shop").iterdir()] == ["mine.txt"]


def test_a_broken_starter_leaves_nothing(tmp_path, monkeypatch, call):
    def broken(switched_off):
        raise KafkabootError("starter audit cannot be loaded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kafkaboot.boot.starters.load", broken)
    done = call("new", "shop")
    assert done.exit_code == 1
    assert "starter audit cannot be loaded" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full_disk(monkeypatch):
    """The disk is full when pyproject.toml is to be written; part of it is."""
    write = Path.write_text

    def fail(path, text, **options):
        if path.name == "pyproject.toml":
            write(path, text[:20], **options)
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", fail)


@pytest.mark.parametrize("into", ["shop", "far/below/shop"])
def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch, call, full_disk, into):
    monkeypatch.chdir(tmp_path)
    done = call("new", "shop", "--into", into)
    assert done.exit_code == 1
    assert "No space left on device" in done.output
    assert "pyproject.toml" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_an_empty_folder_that_was_there(tmp_path, monkeypatch, call, full_disk):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert call("new", "shop", "--into", "mine").exit_code == 1
    assert [file.name for file in tmp_path.rglob("*")] == ["mine"]
