"""Connections: frames in, frames out. Whatever comes in, the broker lives."""

from __future__ import annotations

import asyncio
import inspect
import logging
import struct
from typing import TYPE_CHECKING, Any

from kafkaboot.dev.embedded import cluster
from kafkaboot.dev.embedded.faults import Dropped, Faults, befall
from kafkaboot.dev.embedded.node import HOST, all_apis
from kafkaboot.dev.embedded.wire import HEAD, codec, unsupported_version

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from kafkaboot.dev.embedded.node import Node
    from kafkaboot.dev.embedded.wire import Api, Codec

log = logging.getLogger("kafkaboot.embedded")

LARGEST = 100 * 2**20
"""Bytes of a request, Kafka's `socket.request.max.bytes`; what claims to be larger is refused unread."""
LARGE = 64 * 2**10
"""Bytes from which on a request counts against what may be read at a time, and must arrive in `PATIENCE`."""
PATIENCE = 30.0
"""Seconds that a large request may take to arrive, once it has claimed its room."""
MOST_READ = 256 * 2**20
"""Bytes of large requests that are being read at a time, from all clients."""
MOST_UNSENT = 512 * 2**20
"""Bytes of answers that clients have not taken, all together: one who never reads must not fill the memory."""
MOST_CONNECTIONS = 1000
IN_FLIGHT = 64
"""Answers that one connection may have waiting; then no more is read from it."""
UNSENT = 2**20
"""Bytes of them likewise."""
_SIZE = struct.Struct(">i")
_FETCH = 1


class Refused(Exception):  # noqa: N818 - not an error of ours
    """What came in is no request that is answered here: the connection is closed."""


class Connection:
    """One client's connection. Requests are answered in the order of their arrival.

    One that may have to wait is answered before the next one begins, as in Kafka: a connection holds one long answer
    at most.
    """

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self.apis = server.apis
        self.client_id = ""
        self._reader, self._writer = reader, writer
        self.peer = "{}:{}".format(*writer.get_extra_info("peername")[:2])
        self._answers: asyncio.Queue[asyncio.Future[bytes | None] | bytes] = asyncio.Queue(IN_FLIGHT)
        self._unsent = 0
        self._gone = False
        self._poll: asyncio.Future[bytes | None] | None = None

    async def serve(self) -> None:
        """Until the client goes, or sends what it must not."""
        writing = asyncio.create_task(self._write())
        reading = asyncio.current_task()
        assert reading is not None
        # Without its writer a connection would read on, or wait for ever to have its answers sent.
        writing.add_done_callback(lambda _: reading.cancel())
        try:
            await self._read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Refused as refused:
            log.warning("%s: %s: the connection is closed", self.peer, refused)
        finally:
            self._gone = True
            writing.cancel()
            if self._poll is not None:
                self._poll.cancel()
            self._server.unsent -= self._unsent

    async def _read(self) -> None:
        waits = False
        while True:
            (size,) = _SIZE.unpack(await self._reader.readexactly(4))
            if not HEAD.size <= size <= LARGEST:
                raise Refused(f"a request of {size} bytes")
            frame = await (self._reader.readexactly(size) if size < LARGE else self._large(size))
            if waits or self._unsent > UNSENT:
                await self._answers.join()
            answer = self._begin(frame)
            waits = isinstance(answer, asyncio.Future)
            if answer is not None:
                await self._answers.put(answer)

    async def _large(self, size: int) -> bytes:
        if self._server.reading + size > MOST_READ:
            raise Refused(f"a request of {size} bytes, with {self._server.reading} from others under way")
        self._server.reading += size
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._reader.readexactly(size)
        except TimeoutError as error:
            raise Refused(f"{size} bytes were claimed and did not arrive in {PATIENCE:.0f} s") from error
        finally:
            self._server.reading -= size

    def _begin(self, frame: bytes) -> asyncio.Future[bytes | None] | bytes | None:
        key, version, correlation = HEAD.unpack_from(frame)
        api = self._server.apis.get(key)
        if api is None:
            raise Refused(f"api key {key} is not answered here")
        if not api.oldest <= version <= api.newest:
            if key == cluster.API_VERSIONS:
                return self._counted(unsupported_version(correlation))
            raise Refused(f"{api.name} in version {version} is not answered here, {api.oldest} to {api.newest} are")
        known = codec(api.name, version)
        try:
            header, request = known.read(frame)
        except Exception as error:
            raise Refused(f"no {api.name} in version {version}: {type(error).__name__}: {error}") from error
        self.client_id = getattr(header, "client_id", None) or ""
        answer = self._answer(api, known, request)
        if inspect.isawaitable(answer):
            later = asyncio.ensure_future(self._later(known, correlation, answer))
            if key == _FETCH:
                self._poll = later
            return later
        return None if answer is None else self._counted(known.write(correlation, answer))

    def _answer(self, api: Api, known: Codec, request: Any) -> Any:
        def work(asked: Any) -> Any:
            return api.answer(self._server.node, asked, known.response, self)

        faults = self._server.faults
        fault = faults.take(api.name, self.client_id, request) if faults else None
        return work(request) if fault is None else befall(fault, work, api.name, request, known.response)

    async def _later(self, known: Codec, correlation: int, answer: Awaitable[Any]) -> bytes | None:
        body = await answer
        return None if body is None else self._counted(known.write(correlation, body))

    def _counted(self, frame: bytes) -> bytes:
        if self._gone:
            return frame
        if self._server.unsent + len(frame) > MOST_UNSENT:
            raise Refused(f"clients leave {self._server.unsent} bytes of answers unread")
        self._unsent += len(frame)
        self._server.unsent += len(frame)
        return frame

    async def _write(self) -> None:
        try:
            while True:
                answer = await self._answers.get()
                frame = answer if isinstance(answer, bytes) else await answer
                if frame is not None:
                    self._writer.write(frame)
                    await self._writer.drain()
                    self._unsent -= len(frame)
                    self._server.unsent -= len(frame)
                self._answers.task_done()
        except ConnectionError:
            pass
        except (Dropped, Refused) as reason:
            log.warning("%s: %s: the connection is closed", self.peer, reason)
        except Exception:
            log.exception("%s: a fault of the broker: the connection is closed", self.peer)


class Server:
    """Listens on the loopback and serves one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.apis = all_apis()
        self.faults = Faults()
        self.reading = self.unsent = 0
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
        if len(self._connections) >= MOST_CONNECTIONS:
            log.warning("there are %d connections: one more is closed", len(self._connections))
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await Connection(self, reader, writer).serve()
        except asyncio.CancelledError:
            pass
        except Exception:
            log.exception("a connection ended by a fault of the broker")
        finally:
            self._connections.discard(task)
            writer.transport.abort()
