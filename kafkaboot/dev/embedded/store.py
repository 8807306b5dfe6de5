"""A node on disk: topics, records, committed offsets and transactions, across runs and kills.

Whatever was answered was handed to the operating system before, so that it survives the death of the process. It is not
forced to the disk: when the machine goes down, the last of it may be gone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import uuid
from typing import TYPE_CHECKING

from kafkaboot.dev.broker import BrokerStartError
from kafkaboot.dev.embedded import journal
from kafkaboot.dev.embedded.segments import OpenFiles, PartitionFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kafkaboot.dev.embedded.journal import Entry
    from kafkaboot.dev.embedded.node import Node
    from kafkaboot.dev.embedded.topics import Topic

log = logging.getLogger("kafkaboot.embedded")

FORMAT = 1
"""Of the directory; another one is refused."""


class Store:
    """What a node keeps in a directory. One process at a time may have it.

    Args:
        node: What is kept. It must be new.
        directory: Made when it is not there.

    Raises:
        BrokerStartError: Another process has the directory, or it is of another format.
    """

    def __init__(self, node: Node, directory: Path) -> None:
        self._node = node
        self._files = OpenFiles()
        self._topics = directory / "topics"
        self._topics.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(directory)
        path = directory / "journal"
        entries, torn = journal.read(path)
        for entry in entries:
            self._replay(entry)
        if torn:
            log.warning("%s: the last %d bytes are no whole line, a write was cut short: they are cut off", path, torn)
        for topic in node.topics:
            self._take_up(topic)
        self._remove_strays(unsure=bool(torn) or not entries)
        for group_id in node.offsets.groups():
            node.groups.remember(group_id)
        node.journal.open(path, self._entries())
        node.topics.keeper = self
        node.transactions.recover()

    def close(self) -> None:
        """Let go of the directory."""
        self._node.topics.keeper = None
        self._node.journal.close()
        self._files.close_all()
        os.close(self._lock)

    # --- what topics tell

    def kept(self, topic: Topic) -> None:
        """A topic is new, or has more partitions or other settings."""
        self._node.journal.write(*_topic_entry(topic))
        for partition in topic.partitions:
            if partition.files is None:
                partition.files = self._files_of(topic, partition.index)

    def dropped(self, topic: Topic) -> None:
        """A topic is gone."""
        self._node.journal.write("dropped", topic.name)
        for partition in topic.partitions:
            if partition.files is not None:
                partition.files.close()
        shutil.rmtree(self._topics / topic.id.hex, ignore_errors=True)

    # --- the start

    def _replay(self, entry: Entry) -> None:
        kind, *fields = entry
        node = self._node
        if kind == "format":
            if fields != [FORMAT, *fields[1:]]:
                raise BrokerStartError(
                    f"the data directory {self._topics.parent} is of format {fields[0]}, not {FORMAT}",
                    todo="use the version that wrote it, or delete the directory.",
                )
            node.cluster_id = fields[1]
        elif kind == "topic":
            name, topic_id, partitions, config = fields
            topic = node.topics.get(name) or node.topics.create(name, partitions, config)
            topic.id = uuid.UUID(topic_id)
            topic.configure(config)
            topic.grow(partitions)
        elif kind == "dropped":
            node.topics.delete(fields[0])
        elif kind == "offsets":
            node.offsets.replay(*fields)
        else:
            node.transactions.replay(kind, *fields)

    def _entries(self) -> Iterator[Entry]:
        """What the journal comes to, without its history."""
        yield ["format", FORMAT, self._node.cluster_id]
        yield from map(_topic_entry, self._node.topics)
        yield from self._node.offsets.entries()
        yield from self._node.transactions.entries()

    def _take_up(self, topic: Topic) -> None:
        for partition in topic.partitions:
            partition.files = self._files_of(topic, partition.index)
            partition.restore(*partition.files.load())

    def _files_of(self, topic: Topic, index: int) -> PartitionFiles:
        return PartitionFiles(self._topics / topic.id.hex / str(index), self._files)

    def _remove_strays(self, *, unsure: bool) -> None:
        """Directories of topics that were being deleted when the process ended."""
        known = {topic.id.hex for topic in self._node.topics}
        for path in self._topics.iterdir():
            if path.name in known:
                continue
            if unsure:
                log.warning("%s belongs to no topic that the journal knows: it is left alone", path)
            else:
                shutil.rmtree(path, ignore_errors=True)


def _topic_entry(topic: Topic) -> Entry:
    return ["topic", topic.name, topic.id.hex, len(topic.partitions), topic.config]


def _lock(directory: Path) -> int:
    file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(file, 20).decode() or "another one"
        os.close(file)
        raise BrokerStartError(
            f"the data directory {directory} is in use by process {holder}",
            todo="stop that broker, or choose another --data-dir.",
        ) from error
    os.ftruncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    return file
