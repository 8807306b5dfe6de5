"""The broker's process: `python -m kafkaboot.dev.embedded OPTIONS`, started by `process.EmbeddedKafka`.

It prints its port, then takes orders on standard input, one JSON object a line, and answers each with one line. When
standard input ends, or the process that started it is gone, it ends too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # kio registers its types with hypothesis where that is installed, which takes longer than all of the rest.
    sys.modules["hypothesis"] = None  # type: ignore[assignment]

from kafkaboot.dev.broker import BrokerStartError
from kafkaboot.dev.embedded.node import Node, NodeSettings
from kafkaboot.dev.embedded.orders import obey
from kafkaboot.dev.embedded.server import Server
from kafkaboot.dev.embedded.store import Store

LOOK = 0.5
"""Seconds between two looks at the parent: a process that it forked may keep the pipe open."""


async def main() -> None:
    """Serve until told to end."""
    given = _arguments()
    logging.basicConfig(level=logging.WARNING, format="embedded broker: %(message)s")
    node = Node(NodeSettings(given.port, given.partitions, consumer_session_timeout=given.consumer_session_timeout))
    try:
        store = Store(node, given.data_dir) if given.data_dir else None
    except BrokerStartError as error:
        print(error.line, flush=True)
        sys.exit(1)
    server = Server(node)
    await server.start()
    print(node.port, flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    threading.Thread(target=_take_orders, args=(loop, server, ended), daemon=True).start()
    parent = os.getppid()
    while not ended.is_set() and os.getppid() == parent:
        try:
            await asyncio.wait_for(ended.wait(), LOOK)
        except TimeoutError:
            continue
    await server.stop()
    if store is not None:
        store.close()


def _take_orders(loop: asyncio.AbstractEventLoop, server: Server, ended: asyncio.Event) -> None:
    async def obeyed(order: dict[str, Any]) -> dict[str, Any]:
        return obey(server, order)

    for line in sys.stdin:
        done = asyncio.run_coroutine_threadsafe(obeyed(json.loads(line)), loop)
        print(json.dumps(done.result()), flush=True)
    loop.call_soon_threadsafe(ended.set)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kafkaboot.dev.embedded")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--consumer-session-timeout", type=float, default=10.0)
    parser.add_argument("--data-dir", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
