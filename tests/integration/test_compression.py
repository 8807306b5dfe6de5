"""Every codec, at its levels: what the broker is given is compressed with it, and reads as it was."""

from __future__ import annotations

import struct

import pytest

from kafkaboot.client import TP
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.clients import high_throughput_producer
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.producer import Producer, ProducerSettings

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""As they stand in a batch's attributes (KIP-98, record batch format 2)."""
LEVELS = [("none", None), ("snappy", None), ("gzip", None), ("gzip", 1), ("gzip", 9), ("lz4", None), ("lz4", 1),
          ("lz4", 12), ("zstd", None), ("zstd", 1), ("zstd", 12)]  # fmt: skip
COUNT = 300


def batches(folder, seen):
    """`(codec, bytes)` of every batch on the broker's disk, of topics that were not there before."""
    found = []
    topics = set((folder / "topics").iterdir()) - seen
    seen |= topics
    for file in sorted(file for topic in topics for file in topic.rglob("*.log")):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from(">i", data, at + 8)
            (attributes,) = struct.unpack_from(">h", data, at + 21)
            found.append((attributes & 7, length + 12))
            at += length + 12
    return found


def text(n):
    return {"order_id": f"o-{n}", "street": "a long way from here", "notes": "the same as last time " * 5}


async def publish_and_read(broker, settings, topic):
    clients = ConfluentClients(KafkaSettings(), bootstrap_servers=broker.bootstrap_servers)
    async with Producer(clients.producer(settings.client_properties())) as producer:
        receipts = await producer.publish_batch(topic, [text(n) for n in range(COUNT)])
    reader, read = clients.reader(), []
    reader.begin({TP(topic, partition): 0 for partition in {receipt.partition for receipt in receipts}})
    while len(read) < COUNT:
        read += reader.poll(COUNT, 5.0)
    reader.close()
    return sorted(record.value() for record in read)


async def test_each_codec_and_level_arrives_as_such(tmp_path):
    sizes, seen = {}, set()
    with EmbeddedKafka(data_dir=tmp_path, partitions=1) as broker:
        values = None
        for codec, level in LEVELS:
            topic = f"{codec}-{level or 'default'}-topic"
            given = {"preset": "high-throughput", "compression": codec}
            if level is not None:
                given["compression-level"] = level
            read = await publish_and_read(broker, ProducerSettings.model_validate(given), topic)
            assert read == (values := values or read)
            found = batches(tmp_path, seen)
            assert {number for number, _ in found} == {CODECS[codec]}
            sizes[codec, level] = sum(size for _, size in found)
    assert all(sizes[codec, level] < sizes["none", None] / 2 for codec, level in LEVELS if codec != "none")
    assert sizes["gzip", 9] < sizes["gzip", 1]
    assert sizes["zstd", 12] < sizes["zstd", 1]


async def test_a_preset_brings_its_codec_along(tmp_path):
    with EmbeddedKafka(data_dir=tmp_path, partitions=1) as broker:
        async with high_throughput_producer(broker.bootstrap_servers, "x", {"compression.level": 9}) as producer:
            await producer.publish_batch("preset-topic", [text(n) for n in range(COUNT)])
        assert {codec for codec, _ in batches(tmp_path, set())} == {CODECS["lz4"]}


@pytest.mark.parametrize("codec", CODECS)
async def test_a_real_kafka_takes_each_codec(kafka, topic, codec):
    settings = ProducerSettings.model_validate({"compression": codec})
    assert len(await publish_and_read(kafka, settings, topic())) == COUNT
