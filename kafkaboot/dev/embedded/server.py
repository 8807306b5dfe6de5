"""Connections: frames in, frames out. Whatever comes in, the broker lives."""

from __future__ import annotations

import asyncio
import inspect
import logging
import struct
from typing import TYPE_CHECKING, Any

from kafkaboot.dev.embedded import cluster
from kafkaboot.dev.embedded.node import HOST, all_apis
from kafkaboot.dev.embedded.wire import HEAD, codec, unsupported_version

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.node import Node

log = logging.getLogger("kafkaboot.embedded")

LARGEST = 100 * 2**20
"""Bytes of a request, Kafka's `socket.request.max.bytes`; what claims to be larger is refused unread."""
IN_FLIGHT = 64
"""Requests of one connection that are being answered; then no more are read."""
_SIZE = struct.Struct(">i")


class Refused(Exception):  # noqa: N818 - not an error of ours
    """What came in is no request that is answered here: the connection is closed."""


class Connection:
    """One client's connection. Requests begin in the order of their arrival and are answered in that order."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self.apis = server.apis
        self._reader, self._writer = reader, writer
        self.peer = "{}:{}".format(*writer.get_extra_info("peername")[:2])
        self._answers: asyncio.Queue[asyncio.Future[bytes | None] | bytes | None] = asyncio.Queue(IN_FLIGHT)

    async def serve(self) -> None:
        """Until the client goes, or sends what it must not."""
        writing = asyncio.create_task(self._write())
        try:
            while True:
                (size,) = _SIZE.unpack(await self._reader.readexactly(4))
                if not HEAD.size <= size <= LARGEST:
                    raise Refused(f"a request of {size} bytes")
                answer = self._begin(await self._reader.readexactly(size))
                if answer is not None:
                    await self._answers.put(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Refused as refused:
            log.warning("%s: %s: the connection is closed", self.peer, refused)
        finally:
            writing.cancel()
            self._writer.close()

    def _begin(self, frame: bytes) -> asyncio.Future[bytes | None] | bytes | None:
        key, version, correlation = HEAD.unpack_from(frame)
        api = self._server.apis.get(key)
        if api is None:
            raise Refused(f"api key {key} is not answered here")
        if not api.oldest <= version <= api.newest:
            if key == cluster.API_VERSIONS:
                return unsupported_version(correlation)
            raise Refused(f"{api.name} in version {version} is not answered here, {api.oldest} to {api.newest} are")
        known = codec(api.name, version)
        try:
            header, request = known.read(frame)
        except Exception as error:
            raise Refused(f"no {api.name} in version {version}: {type(error).__name__}: {error}") from error
        self.client_id = getattr(header, "client_id", None) or ""
        answer = api.answer(self._server.node, request, known.response, self)
        if inspect.isawaitable(answer):
            return asyncio.ensure_future(self._later(known, correlation, answer))
        return None if answer is None else known.write(correlation, answer)

    @staticmethod
    async def _later(known: Any, correlation: int, answer: Any) -> bytes | None:
        body = await answer
        return None if body is None else known.write(correlation, body)

    async def _write(self) -> None:
        while True:
            answer = await self._answers.get()
            frame = answer if isinstance(answer, bytes | None) else await answer
            if frame is not None:
                self._writer.write(frame)
                await self._writer.drain()


class Server:
    """Listens on the loopback and serves one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.apis = all_apis()
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; `node.port` says where."""
        self._server = await asyncio.start_server(self._serve, HOST, self.node.settings.port, limit=1 << 20)
        self.node.port = self._server.sockets[0].getsockname()[1]
        self._chores = asyncio.create_task(self.node.run_chores())

    async def stop(self) -> None:
        """Close every connection and the port."""
        self._chores.cancel()
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await Connection(self, reader, writer).serve()
        except asyncio.CancelledError:
            pass
        except Exception:
            log.exception("a connection ended by a fault of the broker")
        finally:
            self._connections.discard(task)
