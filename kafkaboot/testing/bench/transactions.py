"""How many transactions are committed, and how long each takes, beside the bare client."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from kafkaboot.boot.running import run_loop
from kafkaboot.producer import Producer, Transactions, TransactionSettings
from kafkaboot.testing.bench.figures import Measured, Round, compared, cpu_us
from kafkaboot.testing.bench.ground import NEEDS, BenchError
from kafkaboot.testing.bench.plan import ANSWER
from kafkaboot.testing.bench.rounds import in_turn
from kafkaboot.testing.noise import Noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.message import Headers
    from kafkaboot.testing.bench.ground import Ground
    from kafkaboot.testing.bench.plan import Plan, Progress

MOST_IN_TRANSACTIONS = 60_000
"""Records of one side where nobody says how many."""


def transactions(ground: Ground, plan: Plan, size: int, batch: int, progress: Progress) -> Measured:
    """`producer.transaction()` of so many records, one after the other, in turn with the bare client's.

    A transaction's time is from before it begins to its commit's answer.

    Raises:
        KafkabootError: The broker has no transactions, or does not let this user have an id.
    """
    name = f"transactions-{batch}"
    topics = {side: ground.topic(f"{name}-{side}", plan.partitions) for side in ("kafkaboot", "bare")}
    values = Noise(size)
    count = max(1, plan.records_of_round(size, MOST_IN_TRANSACTIONS) // batch)
    pool = Transactions(
        ground.clients,
        plan.producer.transaction_properties(),
        prefix=f"{ground.prefix}-{batch}-kafkaboot",
        size=1,
        timeout=(plan.producer.transaction or TransactionSettings()).timeout,
        make=partial(Producer, envelope=plan.producer.envelope, source="/kafkaboot-bench"),
    )
    producer = Producer(
        ground.clients.producer(plan.publishing()),
        envelope=plan.producer.envelope,
        flush_timeout=1.0,
        transactions=pool,
    )
    envelope = producer.outbox.envelope
    with producer:
        bare = _Bare(ground, plan, topics["bare"], batch, envelope.headers(envelope.plans[bytes]))

        def ours() -> Round:
            times: list[float] = []
            progress(f"transactions of {batch}, kafkaboot", times.__len__, count)
            return run_loop(_ours(producer, topics["kafkaboot"], batch, values, count, plan.seconds_of_round, times))

        def other() -> Round:
            times: list[float] = []
            progress(f"transactions of {batch}, bare", times.__len__, count)
            return bare.round(values, count, plan.seconds_of_round, times)

        try:
            run_loop(_ours(producer, topics["kafkaboot"], 1, values, 1, ANSWER, []))  # the id is taken over
            rounds = in_turn(plan.rounds, ours, other)
        finally:
            bare.close()
    ground.drop(*topics.values())
    return compared("transactions", size, *rounds, batch=batch)


async def _ours(
    producer: Producer,
    topic: str,
    batch: int,
    values: Callable[[int], bytes],
    count: int,
    seconds: float,
    times: list[float],
) -> Round:
    now, used = time.perf_counter, cpu_us()
    begin = last = now()
    until, number = begin + seconds, 0
    while len(times) < count and last < until:
        async with producer.transaction() as tx:
            for _ in range(batch):
                tx.send(topic, values(number))
                number += 1
        before, last = last, now()
        times.append(last - before)
    return Round(number, last - begin, cpu_us() - used, len(times), times)


class _Bare:
    """confluent-kafka's transactions, under an id of their own."""

    def __init__(self, ground: Ground, plan: Plan, topic: str, batch: int, headers: Headers | None) -> None:
        self._topic, self._batch, self._headers = topic, batch, headers
        properties = {
            **plan.producer.transaction_properties(),
            "transactional.id": f"{ground.prefix}-{batch}-bare",
        }
        self._client: Any = ground.clients.bare_producer(properties)
        try:
            self._client.init_transactions(ANSWER)
            self.round(Noise(1), 1, ANSWER, [], batch=1)
        except Exception as error:
            todo = NEEDS if "uthoriz" in str(error) else "see whether the cluster has transactions"
            raise BenchError(f"the bare client begins no transaction: {error}", where=topic, todo=todo) from error

    def round(
        self, values: Callable[[int], bytes], count: int, seconds: float, times: list[float], *, batch: int = 0
    ) -> Round:
        """Transactions, one after the other."""
        client, topic, headers, size = self._client, self._topic, self._headers, batch or self._batch
        now, used = time.perf_counter, cpu_us()
        begin = last = now()
        until, number = begin + seconds, 0
        while len(times) < count and last < until:
            client.begin_transaction()
            for _ in range(size):
                client.produce(topic, values(number), headers=headers)
                number += 1
            client.commit_transaction(ANSWER)
            before, last = last, now()
            times.append(last - before)
        return Round(number, last - begin, cpu_us() - used, len(times), times)

    def close(self) -> None:
        """End what is open."""
        self._client.purge()
        self._client.flush(1.0)
