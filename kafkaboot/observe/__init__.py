"""What a running application can be watched by: its metrics."""

from kafkaboot.observe.metrics import FAMILIES, Metrics
from kafkaboot.observe.settings import MetricsSettings

__all__ = ["FAMILIES", "Metrics", "MetricsSettings"]
