"""The best broker that this machine can give."""

from __future__ import annotations

import pytest

from kafkaboot.dev import BrokerStartError, NotInstalledError
from kafkaboot.testing import create_test_environment, environment


class Stand:
    bootstrap_servers = "127.0.0.1:1"

    def __init__(self, kind, there):
        self.kind, self._there, self.ended = kind, there, False

    def start(self):
        if not self._there:
            raise NotInstalledError(f"{self.kind} is not installed here")

    def stop(self):
        self.ended = True


@pytest.fixture
def there(monkeypatch):
    kinds = {}
    monkeypatch.setattr(environment, "broker_for", lambda kind: Stand(kind, kinds[kind]))
    return kinds


@pytest.mark.parametrize(
    ("installed", "expected"),
    [({"container", "local"}, "container"), ({"local"}, "local"), (set(), "embedded")],
)
def test_a_container_is_first_then_a_local_kafka_then_the_embedded_one(there, installed, expected):
    there.update({kind: kind in installed or kind == "embedded" for kind in ("container", "local", "embedded")})
    with create_test_environment() as found:
        assert found.kind == expected
        assert found.bootstrap_servers == "127.0.0.1:1"
        broker = found.broker
    assert broker.ended
    before = ("container", "local", "embedded")
    assert set(found.passed_over) == set(before[: before.index(expected)])


def test_whoever_wants_a_real_kafka_or_none_is_told_why_there_is_none(there):
    there.update(container=False, local=False)
    with pytest.raises(BrokerStartError, match=r"container is not installed here.*local is not installed here"):
        create_test_environment(("container", "local"))


def test_the_embedded_one_really_starts():
    with create_test_environment(("embedded",)) as found:
        assert found.kind == "embedded"
        assert found.bootstrap_servers.startswith("127.0.0.1:")
