"""The broker as a child of this process: it ends when this one does, even by SIGKILL."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from queue import Empty, SimpleQueue
from typing import Any

from kafkaboot.dev.broker import Broker, BrokerStartError

READY = 20.0
"""Seconds that the child may take to listen: the first start after an installation compiles the codecs."""
ANSWER = 10.0
"""Seconds that an order may take."""
END = 5.0
"""Seconds that it may take to end."""


class EmbeddedKafka(Broker):
    """One Kafka broker in Python, in a process of its own, on the loopback. For desks and tests, never for production.

    Args:
        port: Where it listens; a free port when it is `None`.
        partitions: Of a topic that a client names without having made it.
        data_dir: Where topics, records, offsets and transactions are kept across runs, and survive a kill; in memory
            when it is `None`. One broker at a time may have it.
        consumer_session_timeout: Seconds of silence after which a member of a KIP-848 group is out: there it is the
            broker's to say.
    """

    kind = "embedded"

    def __init__(
        self,
        *,
        port: int | None = None,
        partitions: int = 4,
        data_dir: str | os.PathLike[str] | None = None,
        consumer_session_timeout: float = 10.0,
    ) -> None:
        self._port = port
        self._partitions = partitions
        self._data_dir = data_dir
        self._consumer_session_timeout = consumer_session_timeout
        self._process: subprocess.Popen[str] | None = None
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._ordering = threading.Lock()
        self._servers = ""

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`; known once started."""
        if self._process is None:
            raise RuntimeError("the broker is not started")
        return self._servers

    @property
    def pid(self) -> int:
        """The process that serves."""
        if self._process is None:
            raise RuntimeError("the broker is not started")
        return self._process.pid

    def start(self) -> None:
        """Start; it answers when this returns.

        Raises:
            BrokerStartError: It did not listen in time, for instance because the port is taken.
        """
        if self._process is not None:
            return
        command = [sys.executable, "-m", "kafkaboot.dev.embedded"]
        command += ["--port", str(self._port or 0), "--partitions", str(self._partitions)]
        command += ["--consumer-session-timeout", str(self._consumer_session_timeout)]
        if self._data_dir is not None:
            command += ["--data-dir", os.fspath(self._data_dir)]
        self._lines = SimpleQueue()
        process = self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        threading.Thread(target=_read, args=(process, self._lines), daemon=True).start()
        try:
            port = self._lines.get(timeout=READY)
        except Empty:
            port = ""
        if not port.isdecimal():
            self.stop()
            raise BrokerStartError(
                f"the embedded broker did not start{f' on port {self._port}' if self._port else ''}"
                f"{f': {port}' if port else ''}",
                todo="" if port else "read what it printed above; is the port taken?",
            )
        self._port = int(port)
        self._servers = f"127.0.0.1:{self._port}"

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; one that exists already is left as it is."""
        self.order(create=name, partitions=partitions)

    def fail(
        self,
        api: str,
        *,
        error: str,
        times: int | None = 1,
        topic: str | None = None,
        client_id: str | None = None,
    ) -> None:
        """Answer the next requests of a kind with an error; nothing of what they ask is done.

        Args:
            api: The request in Kafka's name for it, in lower case with underscores: `produce`, `offset_commit`; `any`
                for each.
            error: Kafka's name of the error: `NOT_LEADER_OR_FOLLOWER`. Of `metadata` every topic carries it;
                `BROKER_NOT_AVAILABLE` is answered as by the last broker of a cluster that stops: there are none.
            times: How many requests; `None` for all until `clear_faults()`.
            topic: Only requests for this topic; of other topics in the same request nothing is kept back.
            client_id: Only requests of this client (`client.id`).

        Raises:
            BrokerStartError: There is no such request or error.
        """
        self.order(fault={"api": api, "error": error, "times": times, "topic": topic, "client_id": client_id})

    def delay(
        self,
        api: str,
        seconds: float,
        *,
        times: int | None = 1,
        topic: str | None = None,
        client_id: str | None = None,
    ) -> None:
        """Let the next requests of a kind wait before they are begun, and with them what their client sends after.

        The other arguments are those of `fail`.
        """
        self.order(fault={"api": api, "delay": seconds, "times": times, "topic": topic, "client_id": client_id})

    def drop(
        self,
        api: str,
        *,
        applied: bool = False,
        times: int | None = 1,
        topic: str | None = None,
        client_id: str | None = None,
    ) -> None:
        """Close the connection on the next requests of a kind, without an answer.

        Args:
            api: As for `fail`, like the other arguments.
            applied: Do what is asked before, so that only the answer is lost: the client cannot know.
            times: How many requests.
            topic: Only requests for this topic.
            client_id: Only requests of this client.
        """
        fault = {"api": api, "drop": True, "applied": applied, "times": times, "topic": topic, "client_id": client_id}
        self.order(fault=fault)

    def clear_faults(self) -> None:
        """Forget what was ordered by `fail`, `delay` and `drop`."""
        self.order(faults="clear")

    def faults_left(self) -> int:
        """How many of them have not run out: a test that wants to know that its fault befell looks for 0."""
        return int(self.order(faults="left")["left"])

    def order(self, **order: Any) -> dict[str, Any]:
        """Tell the broker to do something; answers what it answers.

        Raises:
            BrokerStartError: It refused, or is not there any more.
        """
        process = self._process
        if process is None or process.stdin is None:
            raise RuntimeError("the broker is not started")
        with self._ordering:
            try:
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
                answer = json.loads(self._lines.get(timeout=ANSWER) or '{"error": "it has ended"}')
            except (OSError, Empty) as error:
                raise BrokerStartError(f"the embedded broker does not answer: {error}") from error
        if "error" in answer:
            raise BrokerStartError(f"the embedded broker: {answer['error']}")
        return dict(answer)

    def stop(self) -> None:
        """End it; what it kept in memory is gone, what is in its data directory stays."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, *, clean: bool = True) -> None:
        """End and start again on the same port; what a data directory keeps is there again.

        Args:
            clean: Let it end in order; else by SIGKILL.
        """
        if not clean and self._process is not None:
            self._process.kill()
            self._process.wait()
        self.stop()
        self.start()

    def describe(self) -> str:
        """One line for the banner."""
        kept = "in memory" if self._data_dir is None else f"kept in {os.fspath(self._data_dir)}"
        return f"embedded: a broker in Python at {self.bootstrap_servers}, for desks and tests; {kept}"


def _read(process: subprocess.Popen[str], lines: SimpleQueue[str]) -> None:
    assert process.stdout is not None
    with process.stdout as said:
        for line in said:
            lines.put(line.strip())
    lines.put("")
