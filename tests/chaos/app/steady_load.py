"""Sends orders at a steady rate for so many seconds: `steady_load.py BOOTSTRAP TOPIC RATE SECONDS`; says how many."""

import json
import sys
import time

from confluent_kafka import Producer


def refuse(error, _):
    if error is not None:
        sys.exit(str(error))


bootstrap, topic, rate, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0})
began, sent = time.monotonic(), 0
while (now := time.monotonic()) < began + seconds:
    for _ in range(sent, int((now - began) * rate)):
        order = b'{"sent":%d,"text":"order %d"}' % (time.monotonic_ns(), sent)
        producer.produce(topic, order, b"%d" % (sent % 1000), on_delivery=refuse)
        sent += 1
    producer.poll(0.005)
if producer.flush(30):
    sys.exit("the load could not be written")
print(json.dumps({"sent": sent}))
