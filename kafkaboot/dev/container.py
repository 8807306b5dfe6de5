"""Apache Kafka in a container, by Testcontainers."""

from __future__ import annotations

from typing import Any

from kafkaboot.dev.broker import Broker, BrokerStartError, NotInstalledError

IMAGE = "confluentinc/cp-kafka:7.9.0"


class ContainerKafka(Broker):
    """Kafka in a container that Testcontainers removes again, also when this process is killed.

    Args:
        image: A Confluent Platform image of Kafka, 7.0.0 or newer.
        deadline: Seconds in which it must answer, once its image is here.
    """

    kind = "container"

    def __init__(self, *, image: str = IMAGE, deadline: float = 120.0) -> None:
        self._image = image
        self._deadline = deadline
        self._container: Any = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`; known once started."""
        if self._container is None:
            raise RuntimeError("the broker is not started")
        return str(self._container.get_bootstrap_server())

    def start(self) -> None:
        """Start the container, pulling its image the first time, and wait until it answers."""
        if self._container is not None:
            return
        made = _container_class()
        from docker.errors import DockerException  # type: ignore[import-untyped]

        container: Any = None
        try:
            container = made(image=self._image)
            container.with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
            container.start(timeout=int(self._deadline))
        except DockerException as error:
            _discard(container)
            if _engine_answers():
                raise BrokerStartError(f"Docker did not start {self._image}: {error}") from error
            raise NotInstalledError(
                f"no Docker engine answers: {error}",
                todo="start Docker, let DOCKER_HOST name it, or use kafkaboot.kafka.broker: local or embedded",
            ) from error
        except (TimeoutError, ValueError) as error:
            _discard(container)
            raise BrokerStartError(f"{self._image} does not start: {error}") from error
        self._container = container

    def stop(self) -> None:
        """Stop and remove the container."""
        container, self._container = self._container, None
        _discard(container)

    def describe(self) -> str:
        """One line for the banner."""
        return f"container: {self._image} at {self.bootstrap_servers}, gone at stop"


def _discard(container: Any) -> None:
    if container is not None and container.get_wrapped_container() is not None:
        container.stop()


def _container_class() -> Any:
    try:
        try:
            from testcontainers.community.kafka import KafkaContainer
        except ImportError:  # its name before Testcontainers 4.15
            from testcontainers.kafka import KafkaContainer
    except ImportError as error:
        raise NotInstalledError(
            f"kafkaboot.kafka.broker: container needs Testcontainers, which is not installed ({error})",
            todo='pip install "kafkaboot[container]"',
        ) from error
    return KafkaContainer


def _engine_answers() -> bool:
    import docker  # type: ignore[import-untyped]
    from docker.errors import DockerException

    try:
        client = docker.from_env()
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except DockerException:
        return False
    finally:
        client.close()
