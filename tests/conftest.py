"""The real Kafka that tests share, and topics of their own on it."""

from __future__ import annotations

import itertools
import logging
import os
import re
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from kafkaboot.client import TopicSpec
from kafkaboot.client.confluent import librdkafka
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.broker import NotInstalledError
from kafkaboot.dev.local import LocalKafka
from tests.postgres import NotThereError, Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# How long an example takes says how busy the machine is.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")

CONSUMER_SESSION = 4_000
"""Milliseconds of silence after which a member of a KIP-848 group is out, on brokers of the tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_kafka)


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Without what librdkafka says: a client of an earlier test may still be going when its broker has gone."""

    def of_this_test(record: logging.LogRecord) -> bool:
        return record.name != librdkafka.logger().name

    caplog.handler.addFilter(of_this_test)
    yield caplog
    caplog.handler.removeFilter(of_this_test)


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """An Apache Kafka of this session's own; its `bootstrap_servers` is the address."""
    broker = LocalKafka(
        properties={
            "group.consumer.session.timeout.ms": str(CONSUMER_SESSION),
            # How often it looks for transactions that are too old; every ten seconds otherwise.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
        }
    )
    try:
        broker.start()
    except NotInstalledError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must test against a real Kafka: {error}")
        pytest.skip(f"no real Kafka on this machine: {error}")
    with broker:
        yield broker


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this session's own; `url()` names a fresh database in it."""
    try:
        server = Postgres()
    except NotThereError as error:
        if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):  # make test installs it there
            pytest.fail(f"CI must test against a real PostgreSQL: {error}")
        pytest.skip(f"no PostgreSQL on this machine: {error}")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that no other test uses, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url()


@pytest.fixture
def topic(kafka: LocalKafka, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """A factory of topics that no other test uses: `topic(partitions=3, **{"retention.ms": "1000"})`."""
    admin = ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers).admin()
    test = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name)[:60].strip("-")
    number = itertools.count(1)

    def create(partitions: int = 1, **config: str) -> str:
        name = f"{test}-{next(number)}-{uuid.uuid4().hex[:8]}"
        admin.create_topics([TopicSpec(name, partitions, 1, config)], 30)
        return name

    yield create
    admin.close()
