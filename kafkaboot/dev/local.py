"""A real Apache Kafka on the JVM: broker and controller in one process, on the loopback, ending with its parent."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kafkaboot.dev import artefacts, jvm
from kafkaboot.dev.broker import Broker, BrokerStartError
from kafkaboot.dev.ports import LOOPBACK, answers, free_port, is_free

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

_logger = logging.getLogger("kafkaboot.dev")
_PORT_ATTEMPTS = 5
_TAIL = 25

# One node: what is replicated by default must be content with itself. Tests need short sessions, no wait before the
# first assignment of a group, and transactions that are aborted when their time is up. A broker that was killed is let
# in again only when its former session has run out.
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "200",
    "auto.create.topics.enable": "false",
}


class LocalKafka(Broker):
    """Apache Kafka in a JVM of its own.

    Args:
        data_dir: Where topics, offsets and the log stay between runs; a temporary folder when left out.
        port: The port to listen on; a free one when left out.
        heap: The JVM's heap.
        jit: `quick` starts faster, `full` runs faster after a while: for benchmarks.
        jvm_options: Further options of the JVM.
        properties: Broker properties over the defaults.
        deadline: Seconds in which it must answer.
    """

    kind = "local"

    def __init__(
        self,
        *,
        data_dir: str | Path | None = None,
        port: int | None = None,
        heap: str = "1g",
        jit: Literal["quick", "full"] = "quick",
        jvm_options: Sequence[str] = (),
        properties: Mapping[str, str] | None = None,
        deadline: float = 60.0,
    ) -> None:
        self._data_dir = None if data_dir is None else Path(data_dir).absolute()
        self._port = port
        self._flags = jvm.flags(heap, jit, jvm_options)
        self._properties = dict(properties or {})
        self._deadline = deadline
        self._directory: Path | None = None
        self._ports: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`; known once started, and the same after `kill` and `restart`."""
        if self._ports is None:
            raise RuntimeError("the broker is not started")
        return f"{LOOPBACK}:{self._ports[0]}"

    @property
    def pid(self) -> int:
        """The JVM's process id, to look at it or to pause it; 0 while it is down."""
        return self._pid

    @property
    def log(self) -> Path:
        """The broker's log file."""
        if self._directory is None:
            raise RuntimeError("the broker is not started")
        return self._directory / "server.log"

    def start(self) -> None:
        """Start and wait until it answers; after `kill` on the same ports and data."""
        if self._process is not None:
            return
        java, class_path = artefacts.java(), artefacts.class_path()
        until = time.monotonic() + self._deadline
        self._directory = self._directory or self._make_directory()
        known = self._ports
        try:
            for attempt in range(_PORT_ATTEMPTS):
                ports = known or (self._port or free_port(), free_port())
                self._refuse_taken(ports[0], fixed=known is not None or self._port is not None)
                if self._launch(java, class_path, ports, until):
                    self._ports = ports
                    return
                _logger.info("port %d or %d was taken by another process, attempt %d", *ports, attempt + 1)
            raise self._failed(f"found no free port in {_PORT_ATTEMPTS} attempts")
        except BaseException:
            self._end(jvm.KILL, 5.0)
            if known is None:
                self._remove_temporary()
            raise

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after ten seconds; a temporary folder is removed."""
        self._end(jvm.TERMINATE, 10.0)
        self._remove_temporary()
        self._ports = None

    def kill(self) -> None:
        """SIGKILL, as a power cut would. `start` or `restart` brings it back with its data on the same ports."""
        self._end(jvm.KILL, 10.0)

    def restart(self, *, clean: bool = True) -> None:
        """End it, by SIGTERM when `clean` and by SIGKILL otherwise, and start it on the same ports and data."""
        self._end(jvm.TERMINATE if clean else jvm.KILL, 10.0)
        self.start()

    def tools(self, main_class: str, *arguments: str, stdin: str | bytes = b"", timeout: float = 60.0) -> str:
        """Run one of Kafka's own command-line tools, for example `org.apache.kafka.tools.ConsoleProducer`.

        Args:
            main_class: The tool's Java class.
            arguments: Its arguments; the address is not added.
            stdin: What it reads; text is sent as UTF-8.
            timeout: Seconds after which it is killed.

        Returns:
            What it wrote to standard output.

        Raises:
            BrokerStartError: It failed or took too long; the text has what it wrote.
        """
        return jvm.run_tool(artefacts.java(), artefacts.class_path(), main_class, arguments, stdin, timeout)

    def describe(self) -> str:
        """One line for the banner."""
        kept = "kept in no folder: gone at stop" if self._data_dir is None else f"kept in {self._data_dir}"
        return f"local: Apache Kafka on the JVM at {self.bootstrap_servers}, data {kept}, log {self.log}"

    def _make_directory(self) -> Path:
        if self._data_dir is None:
            return Path(tempfile.mkdtemp(prefix="kafkaboot-kafka-"))
        self._data_dir.mkdir(parents=True, exist_ok=True)
        return self._data_dir

    def _refuse_taken(self, port: int, *, fixed: bool) -> None:
        if fixed and not is_free(port):
            raise BrokerStartError(
                f"port {port} of {LOOPBACK} is in use by another process",
                todo="stop that process, or leave the port out to get a free one",
            )

    def _launch(self, java: str, class_path: str, ports: tuple[int, int], until: float) -> bool:
        """Answers whether the broker runs; `False` when another process took a port in between."""
        assert self._directory is not None
        configuration = self._write_properties(ports)
        data = self._directory / "data"
        if not (data / "meta.properties").exists():
            jvm.format_storage(java, class_path, configuration, max(1.0, until - time.monotonic()))
        begin = self.log.stat().st_size if self.log.exists() else 0
        command = [java, *self._flags, "-cp", class_path, *jvm.logging_options(self._directory), "kafka.Kafka"]
        command.append(str(configuration))
        temporary = self._directory if self._data_dir is None else None
        self._process, self._pid = jvm.launch(command, self.log, temporary)
        while time.monotonic() < until:
            if self._process.poll() is not None:
                self._end(jvm.KILL, 5.0)
                if any("Address already in use" in line for line in self._tail(begin)):
                    return False
                raise self._failed("ended while it was starting", begin)
            if answers(ports[0]) and jvm.has_controller(f"{LOOPBACK}:{ports[0]}", 1.0):
                return True
            time.sleep(0.05)
        raise self._failed(f"did not answer within {self._deadline:.0f} s", begin)

    def _write_properties(self, ports: tuple[int, int]) -> Path:
        assert self._directory is not None
        broker, controller = ports
        properties = {
            **_PROPERTIES,
            "listeners": f"PLAINTEXT://{LOOPBACK}:{broker},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{broker}",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "log.dirs": str(self._directory / "data"),
            **self._properties,
        }
        path = self._directory / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8")
        return path

    def _end(self, order: bytes, deadline: float) -> None:
        process, self._process, self._pid = self._process, None, 0
        if process is not None:
            jvm.end(process, order, deadline)

    def _remove_temporary(self) -> None:
        if self._data_dir is None and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
        self._directory = None

    def _tail(self, begin: int) -> list[str]:
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(begin)
            return file.read().decode("utf-8", "replace").splitlines()

    def _failed(self, what: str, begin: int = 0) -> BrokerStartError:
        lines = self._tail(begin)
        telling = [line for line in lines if not line.startswith(("\tat ", "\t... "))][-_TAIL:]
        return BrokerStartError(
            f"Apache Kafka {what}. The end of its log:\n" + "\n".join(f"    {line}" for line in telling),
            todo=jvm.advice(lines),
        )
