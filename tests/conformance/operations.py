"""What the differential run does: operations of clients, well-behaved and not, as requests of the protocol."""

from datetime import timedelta

from kio.schema.errors import ErrorCode

from tests.conformance.protocol_client import WAIT, Introduced, batch, becomes, schema, settled, visible

EXPIRY = 1.5
"""Seconds until a transaction that nobody ends is ended by the broker."""
LATEST, EARLIEST, NEWEST = -1, -2, -3


class Run:
    """One sequence on one broker. Each operation answers what a client sees, in a form that can be compared."""

    def __init__(self, peer, run, begin):
        self.peer, self.name, self.begin, self.step = peer, run, begin, 0
        self.producers, self.zombies, self.plain = {}, {}, None
        self.trimmed = set()

    async def play(self, operations):
        """The results in order."""
        await self.create(partitions=2, topic="T")
        results = []
        for self.step, (name, arguments) in enumerate(operations):
            results.append(await getattr(self, name)(**arguments))
        return results

    def topic(self, topic):
        return f"{self.name}-{topic}"

    def time(self):
        return self.begin + self.step * 10

    # --- records in

    async def _store(self, topic, partition, raw, transactional_id=None):
        spoken = schema("produce")
        data = spoken.TopicProduceData(
            name=self.topic(topic),
            partition_data=(spoken.PartitionProduceData(index=partition, records=raw),),
        )

        async def ask():
            found = await self.peer.ask(
                "produce", transactional_id=transactional_id, acks=-1, timeout=WAIT, topic_data=(data,)
            )
            part = found.responses[0].partition_responses[0]
            return part.error_code, part.base_offset

        error, offset = await settled(ask)
        return error.name, offset if error is ErrorCode.none else None

    async def _in_row(self, producer, topic, partition, count, transactional_id=None, by=0):
        sequence = producer.sequences.get((topic, partition), 0)
        values = [b"%d.%d" % (self.step, at) for at in range(count)]
        raw = batch(
            values,
            self.time(),
            producer.id,
            producer.epoch,
            max(0, sequence + by),
            transactional=transactional_id is not None,
        )
        result = await self._store(topic, partition, raw, transactional_id)
        if result[0] == "none" and not by:
            producer.sequences[topic, partition] = sequence + count
            producer.kept[topic, partition] = raw
        return result

    async def produce(self, topic, partition, count, codec):
        values = [b"%d.%d" % (self.step, at) * 9 for at in range(count)]
        return await self._store(topic, partition, batch(values, self.time(), codec=codec))

    async def idempotent(self, topic, partition, count):
        return await self._in_row(await self._counted(), topic, partition, count)

    async def again(self, topic, partition):
        """The last batch of the idempotent producer once more, as after an answer that was lost."""
        producer = await self._counted()
        raw = producer.kept.get((topic, partition))
        return ("nothing",) if raw is None else await self._store(topic, partition, raw)

    async def gap(self, topic, partition, by):
        return await self._in_row(await self._counted(), topic, partition, 1, by=by)

    async def _counted(self):
        if self.plain is None:
            _, self.plain = await self._introduce(None)
        return self.plain

    # --- transactions

    async def _introduce(self, who, known=None, timeout=60.0):
        identity = None if who is None else f"{self.name}-{who}"

        async def ask():
            found = await self.peer.ask(
                "init_producer_id",
                transactional_id=identity,
                transaction_timeout=timedelta(seconds=timeout),
                producer_id=known.id if known else -1,
                producer_epoch=known.epoch if known else -1,
            )
            return found.error_code, found

        error, found = await settled(ask)
        return error.name, Introduced(found.producer_id, found.producer_epoch)

    async def init(self, who):
        error, producer = await self._introduce(who)
        if error == "none":
            self._replace(who, producer)
        return error

    async def recover(self, who, stale):
        known = self.zombies.get(who) if stale else self.producers.get(who)
        if known is None:
            return ("nothing",)
        error, producer = await self._introduce(who, known)
        if error == "none":
            self._replace(who, producer)
        return error

    def _replace(self, who, producer):
        if who in self.producers:
            self.zombies[who] = self.producers[who]
        self.producers[who] = producer

    async def _known(self, who):
        if who not in self.producers:
            error = await self.init(who)
            assert error == "none", error
        return self.producers[who]

    async def _announce(self, who, producer, topic, partition):
        asked = schema("add_partitions_to_txn").AddPartitionsToTxnTopic(name=self.topic(topic), partitions=(partition,))

        async def ask():
            found = await self.peer.ask(
                "add_partitions_to_txn",
                v3_and_below_transactional_id=f"{self.name}-{who}",
                v3_and_below_producer_id=producer.id,
                v3_and_below_producer_epoch=producer.epoch,
                v3_and_below_topics=(asked,),
            )
            return found.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, None

        error, _ = await settled(ask)
        error = error if isinstance(error, ErrorCode) else ErrorCode(error)
        if error is ErrorCode.none:
            producer.announced.add((topic, partition))
        return error.name

    async def transactional(self, who, topic, partition, count):
        producer = await self._known(who)
        error = await self._announce(who, producer, topic, partition)
        if error != "none":
            return error
        return await self._in_row(producer, topic, partition, count, f"{self.name}-{who}")

    async def unannounced(self, who, topic, partition, count):
        """Transactional records for a partition that the coordinator was perhaps not told of."""
        return await self._in_row(await self._known(who), topic, partition, count, f"{self.name}-{who}")

    async def end(self, who, commit):
        return await self._end(who, await self._known(who), commit)

    async def _end(self, who, producer, commit):
        ends = {at: await self._edge(*at) for at in producer.announced}

        async def ask():
            found = await self.peer.ask(
                "end_txn",
                transactional_id=f"{self.name}-{who}",
                producer_id=producer.id,
                producer_epoch=producer.epoch,
                committed=commit,
            )
            return found.error_code, None

        error, _ = await settled(ask)
        if error is ErrorCode.none:
            await self._see_end(producer, ends)
            # A stale recovery may have left both with one epoch: what one has ended the other only asks for again.
            for same in (self.producers.get(who), self.zombies.get(who)):
                if same is not None and (same.id, same.epoch) == (producer.id, producer.epoch):
                    same.announced, same.groups = set(), {}
        return error.name

    async def _see_end(self, producer, ends):
        """A real broker answers before the markers are written."""
        for at, end in ends.items():

            async def marked(at=at, end=end):
                now = await self._edge(*at)
                return now is None or now > end

            assert end is None or await becomes(marked), f"no marker in {at} at {end}"
        for group, partition in producer.groups.items():

            async def stable(group=group, partition=partition):
                found = await self._offsets(group, True, [partition])
                return found[0][1] != "unstable_offset_commit"

            assert await becomes(stable)
        producer.announced, producer.groups = set(), {}

    async def _edge(self, topic, partition):
        error, offset, _ = await self._look_up(topic, partition, False, LATEST)
        return offset if error == "none" else None

    async def send_offsets(self, who, topic, partition, offset):
        return await self._send_offsets(who, await self._known(who), topic, partition, offset)

    async def _send_offsets(self, who, producer, topic, partition, offset):
        group, identity = f"{self.name}-g{who}", f"{self.name}-{who}"
        known = {"transactional_id": identity, "producer_id": producer.id, "producer_epoch": producer.epoch}

        async def add():
            found = await self.peer.ask("add_offsets_to_txn", group_id=group, **known)
            return found.error_code, None

        spoken = schema("txn_offset_commit")
        one = spoken.TxnOffsetCommitRequestPartition(
            partition_index=partition, committed_offset=offset, committed_metadata="sent"
        )
        asked = spoken.TxnOffsetCommitRequestTopic(name=self.topic(topic), partitions=(one,))

        async def commit():
            found = await self.peer.ask("txn_offset_commit", group_id=group, topics=(asked,), **known)
            return found.topics[0].partitions[0].error_code, None

        added, _ = await settled(add)
        committed, _ = await settled(commit)
        if added is ErrorCode.none is committed and topic == "T":
            producer.groups[who] = partition
        return added.name, committed.name

    async def zombie(self, who, topic, partition, act):
        """A producer that was overtaken by one of the same name acts on."""
        producer = self.zombies.get(who)
        if producer is None:
            return ("nothing",)
        if act == "add":
            return await self._announce(who, producer, topic, partition)
        if act == "produce":
            return await self._in_row(producer, topic, partition, 1, f"{self.name}-{who}")
        if act == "offsets":
            return await self._send_offsets(who, producer, topic, partition, 3)
        return await self._end(who, producer, act == "commit")

    async def expire(self, topic, partition):
        """A transaction that nobody ends: the broker does, and its producer is told when it comes back."""
        _, producer = await self._introduce("E", timeout=EXPIRY)
        if (announced := await self._announce("E", producer, topic, partition)) != "none":
            return announced
        stored = await self._in_row(producer, topic, partition, 1, f"{self.name}-E")
        error, offset = stored
        if error != "none":
            return (stored,)

        async def marked():  # behind the record; the broker may have written it before anybody looks
            return await self._edge(topic, partition) > offset + 1

        assert await becomes(marked), (
            f"{self.peer.address}: the transaction at {topic}[{partition}]@{offset} did not expire"
        )
        return stored, await self._end("E", producer, True)

    # --- offsets of groups

    async def commit_offsets(self, topic, partition, offset, metadata):
        spoken = schema("offset_commit")
        one = spoken.OffsetCommitRequestPartition(
            partition_index=partition, committed_offset=offset, committed_metadata=metadata
        )
        asked = spoken.OffsetCommitRequestTopic(name=self.topic(topic), partitions=(one,))

        async def ask():
            found = await self.peer.ask("offset_commit", group_id=f"{self.name}-gplain", member_id="", topics=(asked,))
            return found.topics[0].partitions[0].error_code, None

        return (await settled(ask))[0].name

    async def fetch_offsets(self, group, stable):
        return await self._offsets(group, stable, (0, 1, 2))

    async def _offsets(self, group, stable, partitions):
        asked = schema("offset_fetch").OffsetFetchRequestTopic(
            name=self.topic("T"), partition_indexes=tuple(partitions)
        )

        async def ask():
            found = await self.peer.ask(
                "offset_fetch", group_id=f"{self.name}-g{group}", topics=(asked,), require_stable=stable
            )
            return found.error_code, found

        error, found = await settled(ask)
        if error is not ErrorCode.none:
            return [(None, error.name)]
        parts = sorted(found.topics[0].partitions, key=lambda part: part.partition_index)
        return [(part.partition_index, part.error_code.name, part.committed_offset, part.metadata) for part in parts]

    # --- records out

    async def read(self, topic, partition, committed, offset):
        spoken = schema("fetch")
        one = spoken.FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=1 << 20)

        async def ask():
            found = await self.peer.ask(
                "fetch",
                max_wait=timedelta(),
                min_bytes=0,
                isolation_level=int(committed),
                topics=(spoken.FetchTopic(topic=self.topic(topic), partitions=(one,)),),
                forgotten_topics_data=(),
            )
            part = found.responses[0].partitions[0]
            return part.error_code, part

        error, part = await settled(ask)
        if error is not ErrorCode.none:
            return error.name
        aborted = [(one.producer_id, one.first_offset) for one in part.aborted_transactions or ()]
        records, position = visible(part.records or b"", aborted, offset)
        records = [(at, timestamp - self.begin, value) for at, timestamp, value in records]
        stable = max(part.last_stable_offset, part.log_start_offset)  # see list_offsets
        return part.high_watermark, stable, part.log_start_offset, records, position

    async def list_offsets(self, topic, partition, committed, time):
        if time == NEWEST and (topic, partition) in self.trimmed:
            return "not asked"  # a real broker's answer depends on when it cleans up what was deleted
        asked = time if time < 0 else self.begin + time
        error, offset, timestamp = await self._look_up(topic, partition, committed, asked)
        if committed and time == LATEST and (topic, partition) in self.trimmed:
            # In the middle of an open transaction's batch a real broker goes back to the batch's deleted beginning.
            _, earliest, _ = await self._look_up(topic, partition, False, EARLIEST)
            return error, max(offset, earliest)
        if timestamp >= 0:
            timestamp = timestamp - self.begin if timestamp >= self.begin else "a marker's"
        return error, offset, timestamp

    async def _look_up(self, topic, partition, committed, timestamp):
        spoken = schema("list_offsets")
        one = spoken.ListOffsetsPartition(partition_index=partition, timestamp=timestamp)
        asked = spoken.ListOffsetsTopic(name=self.topic(topic), partitions=(one,))

        async def ask():
            found = await self.peer.ask("list_offsets", replica_id=-1, isolation_level=int(committed), topics=(asked,))
            part = found.topics[0].partitions[0]
            return part.error_code, part

        error, part = await settled(ask)
        return error.name, part.offset, part.timestamp

    # --- topics

    async def delete_records(self, topic, partition, offset):
        spoken = schema("delete_records")
        one = spoken.DeleteRecordsPartition(partition_index=partition, offset=offset)
        asked = spoken.DeleteRecordsTopic(name=self.topic(topic), partitions=(one,))

        async def ask():
            found = await self.peer.ask("delete_records", topics=(asked,), timeout=WAIT)
            part = found.topics[0].partitions[0]
            return part.error_code, part

        error, part = await settled(ask)
        if error is ErrorCode.none:
            self.trimmed.add((topic, partition))
        return error.name, part.low_watermark

    async def create(self, partitions, topic="U"):
        asked = schema("create_topics").CreatableTopic(
            name=self.topic(topic), num_partitions=partitions, replication_factor=1, assignments=(), configs=()
        )
        found = await self.peer.ask("create_topics", topics=(asked,), timeout=WAIT)
        return await self._shown(found.topics[0].error_code, topic, partitions)

    async def delete(self, topic="U"):
        asked = schema("delete_topics").DeleteTopicState(name=self.topic(topic), topic_id=None)
        found = await self.peer.ask("delete_topics", topics=(asked,), timeout=WAIT)
        self.trimmed = {one for one in self.trimmed if one[0] != topic}
        return await self._shown(found.responses[0].error_code, topic, 0)

    async def grow(self, topic, partitions):
        asked = schema("create_partitions").CreatePartitionsTopic(
            name=self.topic(topic), count=partitions, assignments=None
        )
        found = await self.peer.ask("create_partitions", topics=(asked,), timeout=WAIT, validate_only=False)
        return await self._shown(found.results[0].error_code, topic, partitions)

    async def _shown(self, error, topic, partitions):
        """A real broker learns of its controller's decision a moment later."""
        asked = schema("metadata").MetadataRequestTopic(topic_id=None, name=self.topic(topic))

        async def seen():
            found = await self.peer.ask(
                "metadata", topics=(asked,), allow_auto_topic_creation=False, include_topic_authorized_operations=False
            )
            return len(found.topics[0].partitions) == partitions

        if error is ErrorCode.none:
            assert await becomes(seen)
        return error.name
