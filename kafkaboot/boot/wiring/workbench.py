"""The index of the application's dead letters, kept while they are written."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_handlers
from kafkaboot.client import ClientFactory
from kafkaboot.failure.replay import Indexer

LIMIT = 15.0
"""Seconds that the last look at the letters may take at the end."""


def indexer(clients: ClientFactory) -> Indexer:
    """Hears of every letter that is written."""
    return Indexer(clients)


# It stands before `dead-letter` in the list of the house's features, so that it stops behind the writer of letters.
WORKBENCH = AutoConfiguration(
    "workbench",
    when=(on_handlers(),),
    offers=(Offer(indexer, starts=(Indexer.start,), stops=(Indexer.stop,), timeout=LIMIT),),
    after=("kafka",),
)
