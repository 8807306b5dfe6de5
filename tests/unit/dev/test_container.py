"""Testcontainers' Kafka, up to the engine."""

from __future__ import annotations

import gc
import sys
import warnings

import pytest

from kafkaboot.dev import BrokerStartError, NotInstalledError
from kafkaboot.dev.container import ContainerKafka


def test_without_the_extra_the_error_is_the_line_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "testcontainers.community.kafka", None)
    monkeypatch.setitem(sys.modules, "testcontainers.kafka", None)
    with pytest.raises(NotInstalledError) as caught:
        ContainerKafka().start()
    assert caught.value.todo == 'pip install "kafkaboot[container]"'


def test_without_an_engine_the_error_says_so(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py forgets to close the socket
        with pytest.raises(NotInstalledError, match="no Docker engine answers") as caught:
            ContainerKafka().start()
        todo = caught.value.todo
        del caught
        gc.collect()
    assert "DOCKER_HOST" in todo


def test_an_image_too_old_for_kraft_is_refused(monkeypatch):
    class Old:
        def __init__(self, image): ...
        def with_kraft(self):
            raise ValueError("must be 7.0.0 or above")

        def get_wrapped_container(self):
            return None

    monkeypatch.setattr("kafkaboot.dev.container._container_class", lambda: Old)
    with pytest.raises(BrokerStartError, match=r"must be 7.0.0"):
        ContainerKafka(image="confluentinc/cp-kafka:6.0.0").start()


def test_the_container_is_started_with_kraft_and_without_created_topics(monkeypatch):
    calls: list[object] = []

    class Fake:
        def __init__(self, image):
            calls.append(image)

        def with_kraft(self):
            calls.append("kraft")
            return self

        def with_env(self, key, value):
            calls.append((key, value))

        def start(self, timeout):
            calls.append(("start", timeout))

        def get_bootstrap_server(self):
            return "localhost:1234"

        def get_wrapped_container(self):
            return self

        def stop(self):
            calls.append("stop")

    monkeypatch.setattr("kafkaboot.dev.container._container_class", lambda: Fake)
    with ContainerKafka(image="i:7.9.0", deadline=9) as broker:
        assert broker.bootstrap_servers == "localhost:1234"
        assert "i:7.9.0" in broker.describe()
    assert calls == ["i:7.9.0", "kraft", ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"), ("start", 9), "stop"]
