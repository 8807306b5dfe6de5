"""Measurements of a broker and of a handler, for `kafkaboot bench`."""

from kafkaboot.testing.bench.consume import consume
from kafkaboot.testing.bench.figures import Measured, Side, Spread
from kafkaboot.testing.bench.ground import NEEDS, PREFIX, BenchError, Ground
from kafkaboot.testing.bench.handler import Fed, HandlerMeasured, measure_handler
from kafkaboot.testing.bench.latency import latency
from kafkaboot.testing.bench.plan import Plan, Progress
from kafkaboot.testing.bench.produce import produce
from kafkaboot.testing.bench.transactions import MOST_IN_TRANSACTIONS, transactions

__all__ = [
    "MOST_IN_TRANSACTIONS",
    "NEEDS",
    "PREFIX",
    "BenchError",
    "Fed",
    "Ground",
    "HandlerMeasured",
    "Measured",
    "Plan",
    "Progress",
    "Side",
    "Spread",
    "consume",
    "latency",
    "measure_handler",
    "produce",
    "transactions",
]
