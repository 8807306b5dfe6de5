"""A bad network on demand: a TCP proxy that Kafka clients cannot get past, whatever the broker advertises."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Self

from kafkaboot.testing.advertised import NAMES, UnreadableAnswerError, rewritten

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

log = logging.getLogger("kafkaboot.testing")

HOST = "127.0.0.1"
_SIZE = struct.Struct(">i")
_HEAD = struct.Struct(">hhi")
_LARGEST = 2**30
_SLICE = 4096
_RESET = struct.pack("ii", 1, 0)
_HELD = 1000
"""Frames of one direction that are on their way; then no more are read."""
_CONNECT = 10.0
_DEADLINE = 30.0


class _Weather:
    """What the network is like now; read by every connection, changed from any thread."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.rate: float | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.losses: dict[int, int] = {}


class ChaosProxy:
    """Stands between clients and a broker. `bootstrap_servers` is what clients are told.

    Answers that name brokers (Metadata, FindCoordinator, DescribeCluster) are rewritten on the way, and each broker of
    a cluster gets a port of its own here, so that no connection goes past the proxy. Unencrypted connections only. It
    runs on a thread of its own; its methods may be called from anywhere, and have taken effect when they return.

    Args:
        bootstrap_servers: Where the broker is; of several addresses the first.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        host, _, port = bootstrap_servers.partition(",")[0].strip().rpartition(":")
        self._first = host, int(port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="kafkaboot-chaos-proxy", daemon=True)
        self._doors: dict[tuple[str, int], _Door] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pipes: set[_Pipe] = set()
        self._weather: _Weather
        self.cuts = 0
        """Connections that were cut: a run without any is no evidence."""

    # --- life

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self._do(self._begin())
        return self

    def stop(self) -> None:
        """Cut everything and end. A second call does nothing."""
        if self._loop.is_closed():
            return
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_DEADLINE)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin."""
        return f"{HOST}:{self._doors[self._first].port}"

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._pipes)

    # --- weather

    def cut(self) -> int:
        """Reset every open connection (RST, not a tidy end); answers how many. New ones get through."""
        count: int = self._do(self._cut())
        return count

    def refuse(self) -> None:
        """Cut, and refuse every new connection until `heal`."""
        self._do(self._refuse())

    def black_hole(self) -> None:
        """Let nothing through in either direction, and no one notice: connections stay open until `heal`."""
        self._do(self._set(flowing=False))

    def delay(self, seconds: float) -> None:
        """Let every answer take so much longer. Requests that follow each other don't wait for each other."""
        self._do(self._set(delay=seconds))

    def throttle(self, bytes_per_second: float | None) -> None:
        """Let no direction of a connection carry more than that."""
        self._do(self._set(rate=bytes_per_second))

    def lose_answers(self, api: int, times: int = 1) -> None:
        """Let the next requests of a kind reach the broker, and cut the connection instead of bringing the answer.

        So a client cannot know whether what it asked for was done.

        Args:
            api: The request's number in the protocol: 0 Produce, 8 OffsetCommit, 26 EndTxn.
            times: How many of them.
        """
        self._do(self._set(losses=(api, times)))

    def heal(self) -> None:
        """As if nothing had been ordered; what was held back in a black hole goes on its way."""
        self._do(self._heal())

    # --- inside, on the loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, order: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(order, self._loop).result(_DEADLINE)

    async def _begin(self) -> None:
        self._weather = _Weather()
        await self._open(self._first)

    async def _open(self, broker: tuple[str, int]) -> None:
        if broker not in self._doors:
            self._doors[broker] = _Door(broker, self._accept)
        await self._doors[broker].open()

    async def _accept(
        self, broker: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        pipe = _Pipe(self._weather, self._here)
        self._pipes.add(pipe)
        try:
            await pipe.run(broker, reader, writer)
        finally:
            self._pipes.discard(pipe)
            self.cuts += pipe.reset
            pipe.ended.set()

    async def _here(self, host: str, port: int) -> tuple[str, int]:
        """The address of the door that leads to a broker."""
        broker = host, port
        if port == self._first[1] and host in {self._first[0], "localhost", HOST}:
            broker = self._first  # the broker knows itself by another name than we were given
        if broker not in self._doors:
            await self._open(broker)
        return HOST, self._doors[broker].port

    async def _cut(self) -> int:
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.cut()
        for pipe in pipes:
            await pipe.ended.wait()
        return len(pipes)

    async def _refuse(self) -> None:
        for door in list(self._doors.values()):
            await door.close()
        await self._cut()

    async def _heal(self) -> None:
        weather = self._weather
        weather.delay, weather.rate = 0.0, None
        weather.losses.clear()
        weather.flowing.set()
        for door in self._doors.values():
            await door.open()

    async def _set(
        self,
        *,
        flowing: bool | None = None,
        delay: float | None = None,
        rate: float | None = -1.0,
        losses: tuple[int, int] | None = None,
    ) -> None:
        weather = self._weather
        if flowing is False:
            weather.flowing.clear()
        if delay is not None:
            weather.delay = delay
        if rate != -1.0:
            weather.rate = rate
        if losses is not None:
            weather.losses[losses[0]] = losses[1]

    async def _end(self) -> None:
        await self._refuse()
        # Who knocked before the door was shut is let in first, and can be shown out only then.
        until = self._loop.time() + _DEADLINE / 2
        me = asyncio.current_task()
        while (others := asyncio.all_tasks() - {me}) and self._loop.time() < until:
            await self._cut()
            await asyncio.wait(others, timeout=0.05)
        await asyncio.sleep(0)  # transports close in a turn of their own


_TURNS = 5
"""Of the event loop, in which an accepted connection is set up."""


class _Door:
    """A port that leads to one broker; it keeps its number when it is closed for a while."""

    def __init__(self, broker: tuple[str, int], accept: Callable[..., Coroutine[Any, Any, None]]) -> None:
        self._broker, self._accept = broker, accept
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._come_in, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        # asyncio drops a connection that was accepted and not yet set up when its server closes (CPython 3.11): first
        # nobody new, then a few turns for those who are half inside.
        loop = asyncio.get_running_loop()
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        server.close()

    async def _come_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._accept(self._broker, reader, writer)


class _Cut(Exception):  # noqa: N818 - it is ordered, no error
    """The connection is to be reset."""


class _Pipe:
    """One connection with both of its directions."""

    def __init__(self, weather: _Weather, here: Callable[[str, int], Coroutine[Any, Any, tuple[str, int]]]) -> None:
        self._weather, self._here = weather, here
        self._asked: dict[int, tuple[int, int]] = {}
        self._ordered = asyncio.Event()
        self.ended = asyncio.Event()
        self.reset = False

    def cut(self) -> None:
        """Reset it."""
        self._ordered.set()

    async def run(self, broker: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side ends it, or it is cut."""
        writers = [writer]
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self._ordered.wait())]
        try:
            async with asyncio.timeout(_CONNECT):
                there, back = await asyncio.open_connection(*broker)
            writers.append(back)
            tasks += [
                asyncio.create_task(self._carry(reader, back, self._request, late=False)),
                asyncio.create_task(self._carry(there, writer, self._answer, late=True)),
            ]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self.reset = any(isinstance(task.exception(), _Cut) for task in done) or self._ordered.is_set()
        except (OSError, TimeoutError):
            # The broker is away: the client sees its connection end, as it would without us.
            log.debug("%s:%d does not answer", *broker)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for one in writers:
                self._close(one)

    def _close(self, writer: asyncio.StreamWriter) -> None:
        if self.reset:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        else:
            writer.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: Callable[[bytes], Coroutine[Any, Any, bytes]],
        *,
        late: bool,
    ) -> None:
        frames: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue(_HELD)
        sending = asyncio.create_task(self._send(frames, writer))
        loop = asyncio.get_running_loop()
        try:
            while not sending.done():
                head = await reader.readexactly(4)
                (size,) = _SIZE.unpack(head)
                if not 0 <= size <= _LARGEST:
                    raise _Cut(f"a frame of {size} bytes")
                frame = await look(head + await reader.readexactly(size))
                await frames.put((loop.time() + (self._weather.delay if late else 0.0), frame))
        except (asyncio.IncompleteReadError, ConnectionError):
            await frames.put(None)  # what is on its way arrives before the end does
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, frames: asyncio.Queue[tuple[float, bytes] | None], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while (held := await frames.get()) is not None:
            due, frame = held
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            for begin in range(0, len(frame), _SLICE):
                piece = frame[begin : begin + _SLICE]
                if self._weather.rate:
                    await asyncio.sleep(len(piece) / self._weather.rate)
                await self._weather.flowing.wait()
                writer.write(piece)
                await writer.drain()

    async def _request(self, frame: bytes) -> bytes:
        if len(frame) >= 4 + _HEAD.size:
            api, version, correlation = _HEAD.unpack_from(frame, 4)
            if api in NAMES or api in self._weather.losses:
                self._asked[correlation] = api, version
        return frame

    async def _answer(self, frame: bytes) -> bytes:
        (correlation,) = _SIZE.unpack_from(frame, 4)
        api, version = self._asked.pop(correlation, (-1, -1))
        left = self._weather.losses.get(api, 0)
        if left:
            self._weather.losses[api] = left - 1
            raise _Cut("an answer is lost by order")
        if api not in NAMES:
            return frame
        try:
            doors: dict[tuple[str, int], tuple[str, int]] = {}
            rewritten(frame, api, version, lambda host, port: doors.setdefault((host, port), (host, port)))
            for host, port in list(doors):
                doors[host, port] = await self._here(host, port)
            return rewritten(frame, api, version, lambda host, port: doors[host, port])
        except UnreadableAnswerError as error:
            log.warning("the connection is cut, a client would be sent past the proxy: %s", error)
            raise _Cut from error
