"""What a local broker says when it cannot start, on a `java` and a `mvn` that the test writes."""

from __future__ import annotations

import stat
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafkaboot.dev import BrokerStartError, NotInstalledError, artefacts, broker_for
from kafkaboot.dev.local import LocalKafka
from kafkaboot.dev.ports import free_port, is_free
from kafkaboot.dev.settings import BrokerSettings


def _program(path, code: str) -> None:
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an empty search path, an empty cache and neither JAVA_HOME nor KAFKA_HOME."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    monkeypatch.setenv("PATH", str(bin_))
    monkeypatch.setenv("KB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    return bin_


@pytest.fixture
def kafka_home(tmp_path, monkeypatch):
    libs = tmp_path / "kafka" / "libs"
    libs.mkdir(parents=True)
    (libs / "kafka_2.13-4.1.1.jar").touch()
    monkeypatch.setenv("KAFKA_HOME", str(libs.parent))
    return libs.parent


COPIES = (
    "import pathlib, sys\n"
    "[out] = [a.split('=')[1] for a in sys.argv if a.startswith('-DoutputDirectory=')]\n"
    "pathlib.Path(out).mkdir(); (pathlib.Path(out) / 'kafka_2.13-4.1.1.jar').touch()\n"
    "open({count!r}, 'a').write('x')\n"
)


def test_without_java_the_error_says_what_to_install_and_what_needs_none(machine):
    with pytest.raises(NotInstalledError, match="no `java`") as caught:
        LocalKafka().start()
    assert "openjdk-17" in caught.value.todo
    assert "embedded" in caught.value.todo


def test_a_wrong_java_home_is_named(machine, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/nowhere/java")
    with pytest.raises(NotInstalledError, match="JAVA_HOME is /nowhere/java"):
        artefacts.java()


def test_without_maven_the_error_names_maven_and_kafka_home(machine):
    with pytest.raises(NotInstalledError, match="no `mvn`") as caught:
        artefacts.class_path()
    assert "KAFKA_HOME" in caught.value.todo


def test_kafka_home_needs_no_maven(machine, kafka_home):
    assert artefacts.class_path() == str(kafka_home / "libs" / "*")


def test_a_kafka_home_without_kafka_is_named(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(NotInstalledError, match="no Apache Kafka in its libs"):
        artefacts.class_path()


def test_a_failing_maven_leaves_nothing_behind_and_its_words_are_in_the_error(machine, tmp_path):
    _program(machine / "mvn", "print('[ERROR] Could not transfer artifact'); raise SystemExit(1)")
    with pytest.raises(NotInstalledError, match="Could not transfer artifact"):
        artefacts.class_path()
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_several_at_once_resolve_once(machine, tmp_path):
    count = tmp_path / "count"
    _program(machine / "mvn", "import time; time.sleep(0.2)\n" + COPIES.format(count=str(count)))
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: artefacts.class_path(), range(4)))
    assert found == {str(tmp_path / "cache" / f"kafka-{artefacts.VERSION}" / "*")}
    assert count.read_text() == "x"


FAILS = (
    "import sys\n"
    "if 'kafka.Kafka' in sys.argv:\n"
    "    print('[main] ERROR kafka.Kafka - {line}')\n"
    "    print('\\tat java.base/Somewhere.java:1')\n"
    "    raise SystemExit(1)\n"
)


def test_a_broker_that_dies_while_starting_shows_the_end_of_its_log(machine, kafka_home):
    _program(machine / "java", FAILS.format(line="java.lang.OutOfMemoryError: Java heap space"))
    with pytest.raises(BrokerStartError, match="ended while it was starting") as caught:
        LocalKafka().start()
    assert "OutOfMemoryError: Java heap space" in str(caught.value)
    assert "Somewhere.java" not in str(caught.value)
    assert "larger heap" in caught.value.todo


def test_an_old_java_is_recognised(machine, kafka_home):
    line = "java.lang.UnsupportedClassVersionError: kafka/Kafka"
    _program(machine / "java", f"print('{line}'); raise SystemExit(1)")
    with pytest.raises(BrokerStartError) as caught:
        LocalKafka().start()
    assert "Java 17" in caught.value.todo


def test_a_port_that_is_taken_in_between_is_tried_anew_and_only_so_often(machine, kafka_home, tmp_path):
    line = "Address already in use"
    count = f"open({str(tmp_path / 'count')!r}, 'a').write('x')\n"
    _program(machine / "java", "import sys\n" + f"if 'kafka.Kafka' in sys.argv: {count}" + FAILS.format(line=line))
    with pytest.raises(BrokerStartError, match="found no free port in 5 attempts"):
        LocalKafka().start()
    assert (tmp_path / "count").read_text() == "xxxxx"


def test_a_broker_that_never_answers_is_given_up_at_the_deadline_and_its_folder_removed(
    machine, kafka_home, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _program(machine / "java", "import sys, time\nif 'kafka.Kafka' in sys.argv: time.sleep(60)")
    with pytest.raises(BrokerStartError, match="did not answer within 1 s"):
        LocalKafka(deadline=1.0).start()
    assert list(tmp_path.glob("kafkaboot-kafka-*")) == []


def test_a_fixed_port_in_use_is_refused_before_anything_is_started(machine, kafka_home):
    import socket

    _program(machine / "java", "raise SystemExit(1)")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerStartError, match=f"port {port} .* in use"):
            LocalKafka(port=port).start()


def test_free_ports_can_be_bound_and_lie_below_those_of_outgoing_connections():
    port = free_port()
    assert is_free(port)
    assert port < 32_768


def test_a_broker_that_is_not_started_has_no_address_and_stops_at_ease():
    broker = LocalKafka()
    broker.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = broker.bootstrap_servers


def test_settings_reach_the_broker_of_their_kind_and_unknown_kinds_are_refused(tmp_path):
    settings = BrokerSettings.model_validate({"local": {"data-dir": str(tmp_path), "port": 20001, "heap": "512m"}})
    assert broker_for("local", settings).kind == "local"
    assert [broker_for(kind).kind for kind in ("local", "container", "embedded")] == ["local", "container", "embedded"]
    with pytest.raises(BrokerStartError, match="'rabbit'"):
        broker_for("rabbit")
