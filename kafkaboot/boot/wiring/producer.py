"""The application's producer: `kafkaboot.producer`."""

from __future__ import annotations

import os
import socket
from functools import partial

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_component, on_missing
from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.client import ClientFactory
from kafkaboot.producer import Producer, ProducerHealth, ProducerSettings, Requests, Transactions, TransactionSettings

WORKER = "KB_WORKER"
"""Where a process of several finds its number."""
FLUSH_LIMIT = 3600.0
"""Seconds; the producer's own `flush-timeout` is what ends its close."""


def producer(
    clients: ClientFactory, settings: ProducerSettings, application: ApplicationSettings, requests: Requests | None
) -> Producer:
    """The producer that handlers, components and `@publisher` share."""
    source = settings.source or f"/{application.name}"
    transaction = settings.transaction or TransactionSettings()
    slot = transaction.slot or f"{socket.gethostname()}-{os.environ.get(WORKER, '0')}"
    return Producer(
        clients.producer(settings.client_properties()),
        envelope=settings.envelope,
        source=source,
        flush_timeout=settings.flush_timeout,
        transactions=Transactions(
            clients,
            settings.transaction_properties(),
            prefix=f"{application.name}-{slot}",
            size=transaction.pool,
            timeout=transaction.timeout,
            make=partial(Producer, envelope=settings.envelope, source=source),
            eager=settings.transaction is not None,
        ),
        requests=requests,
    )


def start(made: Producer) -> None:
    """Make the clients of transactions, where they are configured."""
    if made.transactions is not None:
        made.transactions.start()


def health(made: Producer) -> ProducerHealth:
    """Whether records get out."""
    return ProducerHealth(made)


PRODUCER = AutoConfiguration(
    "producer",
    sections={"producer": ProducerSettings},
    offers=(
        Offer(
            producer,
            when=(on_missing(Producer),),
            starts=(start,),
            stops=(lambda made: made.sync.close(),),
            timeout=FLUSH_LIMIT,
        ),
        Offer(health, when=(on_component(Producer),)),
    ),
    after=("kafka", "requests"),
)
