"""A broker inside this process: librdkafka's mock cluster. For desks; it tells no truth about transactions."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Self

from kafkaboot.dev.broker import BrokerStartError

if TYPE_CHECKING:
    from types import TracebackType

_ALREADY_EXISTS = 36
_PRODUCER = 0


class EmbeddedKafka:
    """librdkafka's mock cluster of one broker. Starts in milliseconds and needs nothing but confluent-kafka.

    Other processes of this machine can connect for as long as this one lives. Any topic that a client names is
    created with four partitions; `create_topic` decides otherwise beforehand.

    It keeps the newest 5 MiB of a partition and silently drops the rest, keeps nothing when it stops, shows open and
    aborted transactions to read_committed consumers, does not drop an idempotent producer's duplicates, and does not
    answer an admin client's requests about topics.
    """

    kind = "embedded"

    def __init__(self) -> None:
        self._handle: ctypes.c_void_p | None = None
        self._cluster: ctypes.c_void_p | None = None
        self._servers = ""

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`; known once started."""
        if self._cluster is None:
            raise RuntimeError("the broker is not started")
        return self._servers

    def start(self) -> None:
        """Start; it answers when this returns."""
        if self._cluster is not None:
            return
        lib = _library()
        error = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(lib.rd_kafka_conf_new())
        lib.rd_kafka_conf_set(conf, b"log_level", b"0", error, ctypes.c_size_t(len(error)))
        handle = lib.rd_kafka_new(_PRODUCER, conf, error, ctypes.c_size_t(len(error)))
        if not handle:
            raise BrokerStartError(f"librdkafka did not start: {error.value.decode('utf-8', 'replace')}")
        self._handle = ctypes.c_void_p(handle)
        cluster = lib.rd_kafka_mock_cluster_new(self._handle, 1)
        if not cluster:
            self.stop()
            raise BrokerStartError(
                "librdkafka did not start its mock cluster", todo="use kafkaboot.kafka.broker: local"
            )
        self._cluster = ctypes.c_void_p(cluster)
        # A desk waits for nobody: without this the first member of a group waits three seconds for others.
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self._servers = lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; one that exists already is left as it is.

        Raises:
            BrokerStartError: Refused.
        """
        if self._cluster is None:
            raise RuntimeError("the broker is not started")
        code = _library().rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code not in {0, _ALREADY_EXISTS}:
            raise BrokerStartError(f"the embedded broker does not create topic {name}: librdkafka's error {code}")

    def stop(self) -> None:
        """End it; everything in it is gone."""
        if self._cluster is not None:
            _library().rd_kafka_mock_cluster_destroy(self._cluster)
        if self._handle is not None:
            _library().rd_kafka_destroy(self._handle)
        self._handle = self._cluster = None

    def describe(self) -> str:
        """One line for the banner."""
        return (
            f"embedded: librdkafka's mock at {self.bootstrap_servers}, for desks only: keeps the newest 5 MiB of a "
            "partition, nothing after it stops, and does not isolate transactions"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _library() -> ctypes.CDLL:
    """The library with its mock's functions declared."""
    from kafkaboot.client.confluent import librdkafka

    lib = librdkafka.symbols()
    try:
        lib.rd_kafka_conf_new.restype = ctypes.c_void_p
        lib.rd_kafka_new.restype = ctypes.c_void_p
        lib.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
        lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms.restype = None
    except AttributeError as error:
        raise BrokerStartError(
            f"this confluent-kafka does not show librdkafka's mock cluster ({error})",
            todo='install the wheel from PyPI (pip install --force-reinstall "confluent-kafka>=2.16"), or use '
            "kafkaboot.kafka.broker: local",
        ) from error
    return lib
