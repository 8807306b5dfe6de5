"""Copies a topic record by record into the same partitions of another one, with what it has read in the transaction.

Started as `copier.py MODE BOOTSTRAP FROM TO GROUP TRANSACTIONAL_ID`. It says `open` on its output each time that it has
written and not yet committed: whoever kills it then leaves a transaction open. The modes:

transactions  each chunk with its offsets in a transaction
plain         writes, then commits: what was written and not committed is written again
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

MODE, BOOTSTRAP, FROM, TO, GROUP, TRANSACTIONAL_ID = sys.argv[1:]
CLIENT = {"bootstrap.servers": BOOTSTRAP, "log_level": 0, "reconnect.backoff.max.ms": 200}
# When its only broker is gone for a moment, librdkafka 2.16 begins anew from the bootstrap servers, and may then wait
# for ever in `send_offsets_to_transaction` for the group's coordinator that it knew before.
CLIENT["metadata.recovery.strategy"] = "none"
CHUNK, WORK, WAIT = 25, 0.01, 20


def back(consumer):
    """Read again from what is committed."""
    mine = consumer.assignment()
    for partition in consumer.committed(mine, timeout=WAIT) if mine else ():
        consumer.seek(TopicPartition(partition.topic, partition.partition, max(partition.offset, 0)))


def positions(messages):
    following = {message.partition(): message.offset() + 1 for message in messages}
    return [TopicPartition(FROM, partition, offset) for partition, offset in following.items()]


def write(producer, messages):
    for message in messages:
        producer.produce(TO, message.value(), message.key(), partition=message.partition())
    if producer.flush(WAIT):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    print("open", flush=True)
    time.sleep(WORK)


def main():
    consumer = Consumer(
        {
            **CLIENT,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "session.timeout.ms": 2000,
            "heartbeat.interval.ms": 300,
        }
    )
    transactions = MODE == "transactions"
    producer = Producer({**CLIENT, "linger.ms": 1, **({"transactional.id": TRANSACTIONAL_ID} if transactions else {})})
    if transactions:
        producer.init_transactions(WAIT)
    consumer.subscribe([FROM])
    while True:
        messages = [message for message in consumer.consume(CHUNK, 0.1) if message.error() is None]
        if not messages:
            continue
        try:
            if transactions:
                producer.begin_transaction()
            write(producer, messages)
            if transactions:
                producer.send_offsets_to_transaction(positions(messages), consumer.consumer_group_metadata(), WAIT)
                producer.commit_transaction(WAIT)
            else:
                consumer.commit(offsets=positions(messages), asynchronous=False)
        except KafkaException as error:
            if error.args[0].fatal() or not transactions:
                raise
            producer.abort_transaction(WAIT)
            back(consumer)


main()
