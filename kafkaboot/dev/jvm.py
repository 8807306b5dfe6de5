"""Starting, asking and ending the Java programs of Apache Kafka."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

from kafkaboot.dev import watchdog
from kafkaboot.dev.broker import BrokerStartError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TERMINATE, KILL = watchdog.TERMINATE, watchdog.KILL

# Programs that live for a second or two gain nothing from the optimising compiler or a parallel collector.
_SHORT_LIVED = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_ADVICE = (
    (
        "UnsupportedClassVersionError",
        "this Java is too old for this Kafka: install Java 17 or newer, or point JAVA_HOME at one",
    ),
    ("Unable to locate a Java Runtime", "this `java` is only a placeholder: install Java 17 or newer"),
    ("Failed to acquire lock on file", "another broker runs on this data folder: stop it, or choose another folder"),
    ("OutOfMemoryError", "give the broker a larger heap"),
    ("Could not reserve enough space", "there is too little memory for this heap: choose a smaller one"),
    ("Address already in use", "another process listens on its port: stop it, or leave the port out to get a free one"),
)


def flags(heap: str, jit: str, options: Sequence[str]) -> list[str]:
    """The JVM's options for a broker."""
    quick = _SHORT_LIVED if jit == "quick" else ()
    return [f"-Xmx{heap}", *quick, "-Djava.awt.headless=true", *options]


def logging_options(directory: Path) -> list[str]:
    """Make Kafka log to standard error, through slf4j-simple (Maven's artefacts) or log4j2 (an unpacked Kafka)."""
    path = directory / "log4j2.properties"
    path.write_text(
        "appender.out.type=Console\nappender.out.name=out\nappender.out.layout.type=PatternLayout\n"
        "appender.out.layout.pattern=%d %p %c - %m%n\nrootLogger.level=INFO\nrootLogger.appenderRef.out.ref=out\n",
        encoding="utf-8",
    )
    return [
        f"-Dlog4j2.configurationFile={path}",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
    ]


def advice(lines: Sequence[str]) -> str:
    """What to do about a failure, by what the log says."""
    text = "\n".join(lines)
    return next((todo for sign, todo in _ADVICE if sign in text), "the first ERROR line above names the cause")


def launch(command: Sequence[str], log: Path, remove: Path | None) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program under the watchdog; answers the watchdog and the program's process id.

    The session is its own, so that Ctrl-C on the terminal reaches the application and not the broker that it is
    still draining to.
    """
    arguments = [sys.executable, "-I", "-S", watchdog.__file__]
    if remove is not None:
        arguments += ["--remove", str(remove)]
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*arguments, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            bufsize=0,  # an order that nobody reads any more must not come back when the pipe is closed
        )
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    return process, int(first) if first else 0


def end(process: subprocess.Popen[bytes], order: bytes, deadline: float) -> None:
    """Give the order, and kill when it is not followed within `deadline` seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for last in (order, KILL):
            _tell(process, last)
            try:
                process.wait(deadline)
                return
            except subprocess.TimeoutExpired:
                continue
        process.kill()
        process.wait()
    finally:
        process.stdin.close()
        process.stdout.close()


def _tell(process: subprocess.Popen[bytes], order: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(order)
    except BrokenPipeError:
        return  # it has ended already


def has_controller(bootstrap_servers: str, timeout: float) -> bool:
    """Whether the broker answers a metadata request and has taken up its duties."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    silent: dict[str, Any] = {"log_level": 0, "error_cb": lambda _: None}
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "socket.timeout.ms": int(timeout * 1000), **silent})
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        try:
            if client.list_topics(timeout=timeout).controller_id >= 0:
                return True
        except KafkaException:
            return False
        time.sleep(0.02)
    return False


def format_storage(java: str, class_path: str, configuration: Path, timeout: float) -> None:
    """Prepare a data folder for a new cluster.

    Raises:
        BrokerStartError: Refused; the text has what the tool said.
    """
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # An id that begins with a dash would be read as an option.
    arguments = ["format", "--config", str(configuration), f"--cluster-id={cluster}"]
    run_tool(java, class_path, "kafka.tools.StorageTool", arguments, b"", timeout)


def run_tool(
    java: str, class_path: str, main_class: str, arguments: Sequence[str], stdin: str | bytes, timeout: float
) -> str:
    """Run a Java program to its end and answer what it wrote to standard output."""
    command = [java, "-Xmx256m", *_SHORT_LIVED, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", class_path]
    sent = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        done = subprocess.run(
            [*command, main_class, *arguments], input=sent, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        written = (error.stderr or b"").decode("utf-8", "replace").strip()
        raise BrokerStartError(f"{main_class} did not end within {timeout:.0f} s\n{written}".rstrip()) from error
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
        written = "\n".join(f"    {line}" for line in lines[-25:])
        raise BrokerStartError(f"{main_class} ended with exit code {done.returncode}:\n{written}", todo=advice(lines))
    return done.stdout.decode("utf-8", "replace")
