"""A Kafka in memory: deterministic, on a clock that stands still until it is moved, without threads of its own.

Everything happens when somebody calls: a rebalance goes on when a member polls, a member is dead when the clock has
passed its session and anybody calls. Nothing ever waits in real time. It is stricter than a cluster in one point: a
commit for a partition that the member does not hold is refused, whatever its generation.
"""

from kafkaboot.client.memory.clients import MemoryClients
from kafkaboot.client.memory.consumer import MemoryConsumer
from kafkaboot.client.memory.faults import Faults, refusal
from kafkaboot.client.memory.kafka import Accepted, MemoryKafka
from kafkaboot.client.memory.log import MemoryRecord
from kafkaboot.client.memory.producer import MemoryProducer
from kafkaboot.client.memory.transactional import MemoryTransactional

__all__ = [
    "Accepted",
    "Faults",
    "MemoryClients",
    "MemoryConsumer",
    "MemoryKafka",
    "MemoryProducer",
    "MemoryRecord",
    "MemoryTransactional",
    "refusal",
]
