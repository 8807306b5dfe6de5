"""What is asked of the cluster beside reading and writing, on confluent-kafka's admin client."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from kafkaboot.client.confluent.comeback import Comeback
from kafkaboot.client.confluent.onlooker import Onlooker
from kafkaboot.client.confluent.translate import client_error, mismatch_in
from kafkaboot.client.ports import TP, Committed, TopicInfo, TopicSetting
from kafkaboot.errors import BrokerUnreachableError, ClientError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from concurrent.futures import Future

    from confluent_kafka.admin import TopicMetadata  # type: ignore[attr-defined]

    from kafkaboot.client.ports import TopicSpec

T = TypeVar("T")

REFUSED = 3.0
"""Seconds after which a cluster whose every address refuses is unreachable."""
_CAUSES_KEPT = 20
_LOOK = 0.02
_AWAY = frozenset({"_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "REQUEST_TIMED_OUT"})
_TOO_OLD = frozenset({"UNSUPPORTED_VERSION", "_UNSUPPORTED_FEATURE"})
_TELLING = frozenset({"_AUTHENTICATION", "_SSL", "_RESOLVE"})


class ConfluentAdmin:
    """`AdminPort`. Any thread may call it; each call waits for its answer.

    The client is held for as long as this object lives: one that is garbage-collected destroys the futures of what
    was asked of it.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        # librdkafka tells why a broker cannot be reached only beside the call that waits for it.
        self._causes: deque[KafkaError] = deque(maxlen=_CAUSES_KEPT)
        self._comeback = Comeback(config)
        self._servers = str(config.get("bootstrap.servers", ""))
        heard: dict[str, Any] = {**config, "error_cb": self._causes.append}
        self._client: AdminClient | None = AdminClient(heard)
        self._onlooker = Onlooker(config)

    def topics(self, timeout: float) -> dict[str, TopicInfo]:
        """All topics by name, internal ones too.

        A broker that takes its time gets all of it; that every address refuses is known after `REFUSED` seconds.
        """
        self._causes.clear()
        shortly = min(REFUSED, timeout)
        try:
            found = self._open().list_topics(timeout=shortly)
        except KafkaException as error:
            if timeout <= shortly or self._refused():
                raise self._explained(error, "the list of topics") from error
            try:
                found = self._open().list_topics(timeout=timeout - shortly)
            except KafkaException as later:
                raise self._explained(later, "the list of topics") from later
        return {
            name: TopicInfo(
                name,
                len(topic.partitions),
                topic.error.name() if topic.error else "",
                min((len(partition.replicas) for partition in topic.partitions.values()), default=0),
            )
            for name, topic in found.topics.items()
        }

    def create_topics(self, specs: Sequence[TopicSpec], timeout: float, *, dry_run: bool = False) -> None:
        """Create, and return when they can be used; one that exists already is left as it is.

        The controller answers before every broker has heard of the topic, and a client that asks in between is told
        that it does not exist.
        """
        if not specs:
            return
        asked = [NewTopic(spec.name, spec.partitions, spec.replication, config=spec.config) for spec in specs]
        futures = self._ask("create_topics", asked, timeout, "the creation of topics", validate_only=dry_run)
        until = time.monotonic() + timeout
        for name, future in futures.items():
            try:
                self._answer(future, until, f"creating topic {name}")
            except ClientError as error:
                if error.code != "TOPIC_ALREADY_EXISTS":
                    raise
        if not dry_run:
            self._await_leaders({spec.name: 1 for spec in specs}, until)

    def add_partitions(self, topic: str, total: int, timeout: float, *, dry_run: bool = False) -> None:
        """Let a topic grow, and return when the new partitions have leaders."""
        what, until = f"adding partitions to topic {topic}", time.monotonic() + timeout
        asked = [NewPartitions(topic, total)]
        self._answer(self._ask("create_partitions", asked, timeout, what, validate_only=dry_run)[topic], until, what)
        if not dry_run:
            self._await_leaders({topic: total}, until)

    def topic_settings(self, topics: Sequence[str], timeout: float) -> dict[str, dict[str, TopicSetting] | ClientError]:
        """All settings of each topic by name; where the cluster does not tell those of one, its error."""
        if not topics:
            return {}
        asked = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        futures = self._ask("describe_configs", asked, timeout, "the settings of topics")
        until = time.monotonic() + timeout
        found: dict[str, dict[str, TopicSetting] | ClientError] = {}
        for resource, future in futures.items():
            try:
                entries = self._answer(future, until, f"the settings of topic {resource.name}")
            except BrokerUnreachableError:
                raise
            except ClientError as error:
                found[resource.name] = error
            else:
                found[resource.name] = {name: _setting(entry) for name, entry in entries.items()}
        return found

    def set_topic_settings(
        self, topic: str, settings: Mapping[str, str], timeout: float, *, dry_run: bool = False
    ) -> None:
        """Set these on a topic, all or none, and leave its others as they are."""
        if not settings:
            return
        what, until = f"changing the settings of topic {topic}", time.monotonic() + timeout
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
        ]
        asked = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]
        futures = self._ask("incremental_alter_configs", asked, timeout, what, validate_only=dry_run)
        for future in futures.values():
            self._answer(future, until, what)

    def permissions(self, topics: Sequence[str], timeout: float) -> dict[str, frozenset[str] | None]:
        """What this user may do with each topic; `None` where the broker does not say."""
        if not topics:
            return {}
        asked = TopicCollection(list(topics))
        futures = self._ask("describe_topics", asked, timeout, "permissions", include_authorized_operations=True)
        until = time.monotonic() + timeout
        found: dict[str, frozenset[str] | None] = {}
        for name, future in futures.items():
            try:
                operations = self._answer(future, until, f"permissions on topic {name}").authorized_operations
            except ClientError as error:
                if error.code not in _TOO_OLD:
                    raise
                operations = None
            # Who may look at a topic may at least describe it: an empty answer is none.
            found[name] = frozenset(one.name for one in operations) if operations else None
        return found

    def end_offsets(self, partitions: Sequence[TP], timeout: float) -> dict[TP, int]:
        """The high watermark of each partition."""
        return self._offsets(partitions, OffsetSpec.latest(), "end", timeout)  # type: ignore[no-untyped-call]

    def begin_offsets(self, partitions: Sequence[TP], timeout: float) -> dict[TP, int]:
        """The first offset that retention has left of each partition."""
        return self._offsets(partitions, OffsetSpec.earliest(), "first", timeout)  # type: ignore[no-untyped-call]

    def _offsets(self, partitions: Sequence[TP], which: Any, named: str, timeout: float) -> dict[TP, int]:
        if not partitions:
            return {}
        asked = {TopicPartition(topic, partition): which for topic, partition in partitions}
        futures = self._ask("list_offsets", asked, timeout, f"{named} offsets")
        until = time.monotonic() + timeout
        return {
            TP(at.topic, at.partition): self._answer(
                future, until, f"{named} offset of {at.topic}[{at.partition}]"
            ).offset
            for at, future in futures.items()
        }

    def broker_setting(self, name: str, timeout: float) -> str | None:
        """A setting of the brokers, as the first of them tells it; `None` for one that it does not know."""
        try:
            brokers = self._open().list_topics(timeout=timeout).brokers
        except KafkaException as error:
            raise self._explained(error, "the list of brokers") from error
        asked = ConfigResource(ConfigResource.Type.BROKER, str(min(brokers)))
        futures = self._ask("describe_configs", [asked], timeout, f"the brokers' {name}")
        entry = self._answer(futures[asked], time.monotonic() + timeout, f"the brokers' {name}").get(name)
        return None if entry is None else entry.value

    def delete_records(self, before: Mapping[TP, int], timeout: float) -> None:
        """Delete what stands before these offsets."""
        if not before:
            return
        asked = [TopicPartition(*tp, offset) for tp, offset in before.items()]
        futures = self._ask("delete_records", asked, timeout, "the deletion of records")
        until = time.monotonic() + timeout
        for at, future in futures.items():
            self._answer(future, until, f"deleting records of {at.topic}[{at.partition}] before {at.offset}")

    def group_offsets(self, group: str, timeout: float, partitions: Sequence[TP] | None = None) -> dict[TP, Committed]:
        """What the group has committed; empty for a group that nobody knows."""
        until = time.monotonic() + timeout
        self._open()
        if partitions is None:
            known = self.topics(timeout).values()
            partitions = [TP(topic.name, at) for topic in known for at in range(topic.partitions)]
        if not partitions:
            return {}
        self._causes.clear()
        try:
            return self._onlooker.committed(group, partitions, max(0.1, until - time.monotonic()))
        except KafkaException as error:
            raise self._explained(error, f"offsets of group {group}") from error

    def delete_topics(self, names: Collection[str], timeout: float) -> None:
        """Delete, and return when no broker shows them any more; one that does not exist is no error."""
        if not names:
            return
        futures = self._ask("delete_topics", list(names), timeout, "the deletion of topics")
        until = time.monotonic() + timeout
        for name, future in futures.items():
            try:
                self._answer(future, until, f"deleting topic {name}")
            except ClientError as error:
                if error.code != "UNKNOWN_TOPIC_OR_PART":
                    raise
        while left := set(names) & self.topics(max(0.1, until - time.monotonic())).keys():
            if time.monotonic() >= until:
                raise ClientError(
                    f"deleted, and still shown: {', '.join(sorted(left))}",
                    code="_TIMED_OUT",
                    retriable=True,
                    where=self._servers,
                    todo="wait until all brokers are up, and try again",
                )
            time.sleep(_LOOK)

    def groups(self, timeout: float) -> set[str]:
        """The names of all groups."""
        try:
            future = self._open().list_consumer_groups(request_timeout=timeout)
        except KafkaException as error:
            raise self._explained(error, "the list of groups") from error
        answer = self._answer(future, time.monotonic() + timeout, "the list of groups")
        for refused in answer.errors or ():
            raise self._explained(refused, "the list of groups")
        return {group.group_id for group in answer.valid or ()}

    def group_members(self, group: str, timeout: float) -> int:
        """How many members the group has now; 0 for a group that nobody knows."""
        until = time.monotonic() + timeout
        while True:
            left = max(0.1, until - time.monotonic())
            futures = self._ask("describe_consumer_groups", [group], left, f"the members of group {group}")
            try:
                return len(self._answer(futures[group], until, f"the members of group {group}").members)
            except ClientError as error:
                if error.code == "GROUP_ID_NOT_FOUND":
                    return 0
                # A coordinator that has just moved, or is just loading, is not asked again by the client.
                if "COORDINATOR" not in error.code or time.monotonic() >= until:
                    raise
            time.sleep(_LOOK)

    def delete_groups(self, names: Collection[str], timeout: float) -> None:
        """Delete groups without members; one that does not exist is no error."""
        if not names:
            return
        futures = self._ask("delete_consumer_groups", list(names), timeout, "the deletion of groups")
        until = time.monotonic() + timeout
        for name, future in futures.items():
            try:
                self._answer(future, until, f"deleting group {name}")
            except ClientError as error:
                if error.code != "GROUP_ID_NOT_FOUND":
                    raise

    def close(self) -> None:
        """Drop the connection; a second call does nothing."""
        self._client = None
        self._onlooker.close()

    def _await_leaders(self, partitions: Mapping[str, int], until: float) -> None:
        """Wait until each topic has so many partitions at least, and all have a leader."""
        while True:
            try:
                known = self._open().list_topics(timeout=max(0.1, until - time.monotonic())).topics
            except KafkaException as error:
                raise self._explained(error, "the list of topics") from error
            waiting = [name for name, least in partitions.items() if name not in known or not _led(known[name], least)]
            if not waiting:
                return
            if time.monotonic() >= until:
                raise ClientError(
                    f"created, but no leader is known yet: {', '.join(sorted(waiting))}",
                    code="LEADER_NOT_AVAILABLE",
                    retriable=True,
                    where=self._servers,
                    todo="wait until all brokers are up, and try again",
                )
            time.sleep(_LOOK)

    def _open(self) -> AdminClient:
        client = self._client
        if client is None:
            raise ClientError("the admin client is closed", code="_STATE", fatal=True)
        self._comeback.look(client)
        return client

    def _ask(self, call: str, asked: object, timeout: float, what: str, **options: object) -> dict[Any, Future[Any]]:
        self._causes.clear()
        try:
            found: dict[Any, Future[Any]] = getattr(self._open(), call)(asked, request_timeout=timeout, **options)
        except KafkaException as error:
            raise self._explained(error, what) from error
        except (TypeError, ValueError) as error:
            raise ClientError(f"cannot ask for {what}: {error}", code="_INVALID_ARG", where=self._servers) from error
        return found

    def _answer(self, future: Future[T], until: float, what: str) -> T:
        try:
            # librdkafka ends the request itself; the extra second only guards against its not doing so.
            return future.result(max(0.0, until - time.monotonic()) + 1.0)
        except KafkaException as error:
            raise self._explained(error, what) from error
        except FutureTimeoutError as error:
            raise BrokerUnreachableError(
                f"no answer to {what} in time", code="_TIMED_OUT", retriable=True, where=self._servers
            ) from error

    def _refused(self) -> bool:
        self._open().poll(0)  # delivers what was reported meanwhile
        return any(cause.name() == "_ALL_BROKERS_DOWN" for cause in self._causes)

    def _explained(self, error: KafkaException, what: str) -> ClientError:
        """The error, with the cause that was reported beside it when no broker answered."""
        plain = client_error(error, where=f"{what} ({self._servers})")
        if plain.code not in _AWAY:
            return plain
        if self._client is not None:
            self._client.poll(0)  # delivers what was reported meanwhile
        causes = list(self._causes)
        telling = [cause for cause in causes if mismatch_in(cause.str()) or cause.name() in _TELLING]
        causes = telling or [cause for cause in causes if cause.name() != "_ALL_BROKERS_DOWN"]
        if causes:
            return client_error(causes[-1], where=plain.where, kind=BrokerUnreachableError)
        return client_error(error, where=plain.where, kind=BrokerUnreachableError)


def _led(topic: TopicMetadata, least: int) -> bool:
    return len(topic.partitions) >= least and all(partition.leader >= 0 for partition in topic.partitions.values())


def _setting(entry: ConfigEntry) -> TopicSetting:
    source: Any = entry.source  # a number, whatever its annotation says
    own = source in {ConfigSource.DYNAMIC_TOPIC_CONFIG, ConfigSource.DYNAMIC_TOPIC_CONFIG.value}
    return TopicSetting(None if entry.is_sensitive else entry.value, own)
