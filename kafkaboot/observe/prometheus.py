"""The figures in Prometheus's text format; the only file that knows `prometheus_client`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server

from kafkaboot.errors import ConfigurationError
from kafkaboot.observe.metrics import FAMILIES, SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.observe.metrics import Family
    from kafkaboot.observe.settings import MetricsSettings

log = logging.getLogger("kafkaboot.observe")

PREFIX = "kafkaboot"
STOP = 5.0
"""Seconds that ending the server may take."""


class Exposition:
    """Keeps the figures of an application, in a registry of its own, and serves them. From any thread.

    Args:
        settings: `kafkaboot.metrics`.
        families: What there is.

    Attributes:
        registry: For whoever serves it in another way, or has figures of its own beside these.
        port: Where it is served; 0 before it is.
    """

    def __init__(self, settings: MetricsSettings, families: Sequence[Family] = FAMILIES) -> None:
        self.registry = CollectorRegistry()
        self.port = 0
        self._settings = settings
        self._kept = {family: self._made(family) for family in families}
        self._server: Any = None

    def _made(self, family: Family) -> Any:
        name, about, labels = f"{PREFIX}_{family.name}", family.help, family.labels
        if family.kind == "histogram":
            return Histogram(name, about, labels, buckets=SECONDS, registry=self.registry)
        return (Counter if family.kind == "counter" else Gauge)(name, about, labels, registry=self.registry)

    def count(self, family: Family, *labels: str) -> None:
        """One more of a counter."""
        self._of(family, labels).inc()

    def set(self, family: Family, value: float, *labels: str) -> None:
        """A gauge's value now."""
        self._of(family, labels).set(value)

    def observe(self, family: Family, seconds: float, *labels: str) -> None:
        """One observation of a histogram."""
        self._of(family, labels).observe(seconds)

    def _of(self, family: Family, labels: tuple[str, ...]) -> Any:
        kept = self._kept[family]
        return kept.labels(*labels) if labels else kept

    def text(self) -> str:
        """All figures, in the text format."""
        return generate_latest(self.registry).decode()

    def start(self) -> None:
        """Serve them.

        Raises:
            ConfigurationError: The port cannot be had.
        """
        host, port = self._settings.host, self._settings.port
        try:
            self._server = start_http_server(port, host, self.registry)
        except OSError as error:
            raise ConfigurationError(
                f"metrics cannot be served at {host}:{port}: {error.strerror or error}",
                where="kafkaboot.metrics",
                todo='choose another port or host; several workers need one each, such as port: "940${KB_WORKER:0}"',
            ) from error
        self.port = self._server[0].server_port
        log.info("metrics at http://%s:%d/metrics", host, self.port)

    def stop(self) -> None:
        """Serve them no more."""
        if self._server is not None:
            (server, thread), self._server = self._server, None
            server.shutdown()
            server.server_close()
            thread.join(STOP)
