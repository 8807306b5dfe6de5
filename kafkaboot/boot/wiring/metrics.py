"""The application's metrics: `kafkaboot.metrics`."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_setting
from kafkaboot.observe import Metrics, MetricsSettings


def metrics(settings: MetricsSettings) -> Metrics:
    """What overhears the application, and serves what it has counted."""
    from kafkaboot.observe.prometheus import Exposition

    return Metrics(Exposition(settings))


def start(made: Metrics) -> None:
    """Serve them."""
    made.exposition.start()


def stop(made: Metrics) -> None:
    """Serve them no more."""
    made.exposition.stop()


METRICS = AutoConfiguration(
    "metrics",
    sections={"metrics": MetricsSettings},
    when=(on_setting("kafkaboot.metrics"),),
    offers=(Offer(metrics, starts=(start,), stops=(stop,)),),
)
