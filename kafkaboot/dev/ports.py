"""Free ports of the loopback."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the ranges from which Linux and macOS give ports to outgoing connections. From within them, a client that
# reconnects to a broker which is down can be given the broker's own port, connect to itself, and so keep the broker
# from coming back.
_RANGE = range(20_000, 32_000)
_TRIES = 200


def free_port() -> int:
    """A port that could be bound just now. Another process may take it before you do: be ready to ask again."""
    for _ in range(_TRIES):
        port = random.choice(_RANGE)
        if is_free(port):
            return port
    raise OSError(f"no free port found between {_RANGE.start} and {_RANGE.stop}")


def is_free(port: int) -> bool:
    """Whether the port can be bound on the loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
