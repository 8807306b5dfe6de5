"""Where Apache Kafka's jars and the Java that runs them come from."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kafkaboot.dev.broker import NotInstalledError

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "4.1.1"

_logger = logging.getLogger("kafkaboot.dev")
_MAVEN_SECONDS = 600.0
# Without an slf4j provider on the class path Kafka logs nothing, and a failed start would have no cause to show.
_DEPENDENCIES = (
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.apache.kafka", "kafka-tools", VERSION),
    ("org.slf4j", "slf4j-simple", "1.7.36"),
)
_INSTALL_JAVA = (
    "install a Java 17 or newer (Debian: apt install openjdk-17-jre-headless; macOS: brew install openjdk@17)"
)


def java() -> str:
    """The path of the `java` to use: `JAVA_HOME` first, then the search path.

    Raises:
        NotInstalledError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    if home:
        candidate = Path(home) / "bin" / "java"
        if candidate.is_file():
            return str(candidate)
        raise NotInstalledError(
            f"JAVA_HOME is {home}, and there is no bin/java in it",
            todo=f"correct JAVA_HOME, or unset it and {_INSTALL_JAVA}",
        )
    found = shutil.which("java")
    if found is None:
        raise NotInstalledError(
            "Apache Kafka needs Java, and there is no `java` on the search path",
            todo=f"{_INSTALL_JAVA}; or use kafkaboot.kafka.broker: embedded, which needs none",
        )
    return found


def class_path() -> str:
    """The class path of Apache Kafka: `KAFKA_HOME/libs`, else the cache, filled by Maven the first time.

    Raises:
        NotInstalledError: Neither is possible.
    """
    home = os.environ.get("KAFKA_HOME")
    if home:
        libs = Path(home) / "libs"
        if not any(libs.glob("kafka_*.jar")):
            raise NotInstalledError(
                f"KAFKA_HOME is {home}, and there is no Apache Kafka in its libs/",
                todo="let KAFKA_HOME name the folder of an unpacked Kafka 4 (with bin/ and libs/), "
                "or unset it to let Maven resolve one",
            )
        return str(libs / "*")
    return str(_cached() / "*")


def cache_directory() -> Path:
    """The folder that holds resolved artefacts between runs: `KB_CACHE`, else `~/.cache/kafkaboot`."""
    return Path(os.environ.get("KB_CACHE") or Path.home() / ".cache" / "kafkaboot")


def _cached() -> Path:
    target = cache_directory() / f"kafka-{VERSION}"
    if target.is_dir():
        return target
    maven = shutil.which("mvn")
    if maven is None:
        raise NotInstalledError(
            f"Apache Kafka {VERSION} is not in {target.parent}, and there is no `mvn` to resolve it",
            todo="install Maven (Debian: apt install maven; macOS: brew install maven), or unpack a Kafka 4 from "
            "https://kafka.apache.org/downloads and let KAFKA_HOME name its folder",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent / f".kafka-{VERSION}.lock"):
        if not target.is_dir():
            _resolve(maven, target)
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process resolves, the others wait for it. The lock falls with the process that holds it."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _resolve(maven: str, target: Path) -> None:
    """Fill `target`, which appears whole or not at all."""
    _logger.info("resolving Apache Kafka %s by Maven into %s (the first time only)", VERSION, target)
    with tempfile.TemporaryDirectory(prefix=".kafka-", dir=target.parent) as scratch:
        libs = Path(scratch) / "libs"
        pom = Path(scratch) / "pom.xml"
        pom.write_text(_pom(), encoding="utf-8")
        command = [maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={libs}", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_MAVEN_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise NotInstalledError(
                f"Maven did not resolve Apache Kafka {VERSION} within {_MAVEN_SECONDS:.0f} s",
                todo="check the way to your Maven repository (proxy, ~/.m2/settings.xml), or set KAFKA_HOME",
            ) from error
        if done.returncode != 0 or not any(libs.glob("kafka_*.jar")):
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
            raise NotInstalledError(
                f"Maven could not resolve Apache Kafka {VERSION}:\n{tail}",
                todo="check the way to your Maven repository (proxy, ~/.m2/settings.xml), or set KAFKA_HOME",
            )
        libs.rename(target)


def _pom() -> str:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in _DEPENDENCIES
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>kafkaboot</groupId><artifactId>desk</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>\n"
    )
