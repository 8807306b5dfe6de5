"""The application's producers: `kafkaboot.producer`, and others by name under `kafkaboot.producers`."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_component, on_missing
from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.client import ClientFactory
from kafkaboot.config import Configuration, InvalidConfigurationError, Problem
from kafkaboot.consumer import Backoff
from kafkaboot.declare import Named
from kafkaboot.errors import ConfigurationError
from kafkaboot.failure import Circuits, Holder, around
from kafkaboot.producer import (
    Attempts,
    Producer,
    ProducerHealth,
    ProducerSettings,
    Requests,
    SharedPorts,
    Transactions,
    TransactionSettings,
)

WORKER = "KB_WORKER"
"""Where a process of several finds its number."""
NAME = re.compile(r"\w[\w-]*")
FLUSH_LIMIT = 3600.0
"""Seconds; the producer's own `flush-timeout` is what ends its close."""


def ports(clients: ClientFactory, settings: ProducerSettings, named: dict[str, ProducerSettings]) -> SharedPorts:
    """The connections of all producers."""
    return SharedPorts(clients.producer, [one.client_properties() for one in (settings, *named.values())])


def producer(
    clients: ClientFactory,
    ports: SharedPorts,
    settings: ProducerSettings,
    application: ApplicationSettings,
    requests: Requests | None,
    circuits: Circuits | None,
) -> Producer:
    """The producer that handlers, components and `@publisher` share."""
    return _made(clients, ports, settings, application, requests, circuits)


def _made(
    clients: ClientFactory,
    ports: SharedPorts,
    settings: ProducerSettings,
    application: ApplicationSettings,
    requests: Requests | None,
    circuits: Circuits | None,
    name: str = "",
) -> Producer:
    source = settings.source or f"/{application.name}"
    transaction = settings.transaction or TransactionSettings()
    slot = transaction.slot or f"{socket.gethostname()}-{os.environ.get(WORKER, '0')}"
    return Producer(
        ports.port(settings.client_properties()),
        envelope=settings.envelope,
        source=source,
        flush_timeout=settings.flush_timeout,
        transactions=Transactions(
            clients,
            settings.transaction_properties(),
            prefix="-".join(part for part in (application.name, slot, name) if part),
            size=transaction.pool,
            timeout=transaction.timeout,
            make=partial(Producer, envelope=settings.envelope, source=source),
            eager=settings.transaction is not None,
        ),
        requests=requests,
        attempts=_attempts(settings, circuits),
    )


def _attempts(settings: ProducerSettings, circuits: Circuits | None) -> Attempts | None:
    """What `publish` does beyond the client; `None` for nothing."""
    retry, name = settings.retry, settings.circuit
    if retry is None and name is None:
        return None
    through = None
    if name is not None:
        if circuits is None:
            raise ConfigurationError(
                f"the producer goes through circuit {name!r}, and `circuits` is excluded",
                where="kafkaboot.producer.circuit",
                todo="take it out of kafkaboot.autoconfigure.exclude, or leave the circuit out",
            )
        through = partial(around, holder=Holder(name, circuits.get(name)))
    if retry is None:
        return Attempts(around=through)
    delays = retry.backoff
    backoff = Backoff(delays.initial, delays.max, delays.multiplier, delays.jitter)
    return Attempts(attempts=retry.attempts, delay=backoff.delay, time_limit=retry.time_limit, around=through)


def start(made: Producer) -> None:
    """Make the clients of transactions, where they are configured."""
    if made.transactions is not None:
        made.transactions.start()


def close(made: Producer) -> None:
    """Flush, with `flush-timeout` as the deadline, and refuse what comes later."""
    made.sync.close()


def health(made: Producer) -> ProducerHealth:
    """Whether records get out."""
    return ProducerHealth(made)


def named(configuration: Configuration) -> Iterator[Offer]:
    """A producer, and its health, for each name under `kafkaboot.producers`; given only to who asks for it by name.

    Raises:
        InvalidConfigurationError: One is called what no producer can be.
    """
    for name, settings in configuration.bind("kafkaboot.producers", dict[str, ProducerSettings]).items():
        if not NAME.fullmatch(name) or name == producer.__name__:
            key = f"kafkaboot.producers.{name}"
            why = "is the application's own, under kafkaboot.producer" if NAME.fullmatch(name) else "cannot be a name"
            todo = "use letters, digits, '_' and '-'" if why.startswith("cannot") else "give it another name"
            raise InvalidConfigurationError(
                [Problem(key, configuration.explain(key)[0].origin, f"{name!r} {why}", todo)]
            )
        yield Offer(
            _factory(name, settings), name=name, starts=(start,), stops=(close,), timeout=FLUSH_LIMIT, named_only=True
        )
        yield Offer(_health_of(name), name=name, named_only=True)


def _factory(name: str, settings: ProducerSettings) -> Any:
    def made(
        clients: ClientFactory,
        ports: SharedPorts,
        application: ApplicationSettings,
        requests: Requests | None,
        circuits: Circuits | None,
    ) -> Producer:
        return _made(clients, ports, settings, application, requests, circuits, name)

    return made


def _health_of(name: str) -> Any:
    def health_of(made: Producer) -> ProducerHealth:
        return ProducerHealth(made, f"producer {name}")

    health_of.__annotations__ = {"made": Annotated[Producer, Named(name)], "return": ProducerHealth}
    return health_of


PRODUCER = AutoConfiguration(
    "producer",
    sections={"producer": ProducerSettings, "producers": dict[str, ProducerSettings]},
    offers=(
        ports,
        Offer(producer, when=(on_missing(Producer),), starts=(start,), stops=(close,), timeout=FLUSH_LIMIT),
        Offer(health, when=(on_component(Producer),)),
    ),
    after=("kafka", "circuits", "requests"),
    more=named,
)
