"""The same random operations on the embedded broker and on a real Apache Kafka: what a client sees must be the same.

The operations are requests of the protocol, as a client sends them when all is well and when it is a zombie, repeats
itself or counts wrongly. `KB_SEED` runs that one sequence, `KB_CHAOS` ten times as many.
"""

import asyncio
import os
import random
import time
import uuid

import pytest

from tests.conformance.operations import Run
from tests.conformance.protocol_client import Peer

SEQUENCES = 5_000 if os.environ.get("KB_CHAOS") else 500
OPERATIONS = 30
AT_ONCE = 12

WEIGHTS = {
    "produce": 8,
    "idempotent": 8,
    "again": 3,
    "gap": 2,
    "transactional": 16,
    "unannounced": 2,
    "end": 12,
    "send_offsets": 6,
    "init": 3,
    "recover": 2,
    "zombie": 5,
    "expire": 0.4,
    "commit_offsets": 4,
    "fetch_offsets": 8,
    "read": 16,
    "list_offsets": 12,
    "delete_records": 3,
    "create": 2,
    "delete": 1,
    "grow": 2,
}


def draw(seed):
    """A sequence of operations: name and arguments, which depend on the seed alone."""
    chance = random.Random(seed)
    names = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=OPERATIONS)
    return [(name, _arguments(name, chance)) for name in names]


def _arguments(name, chance):
    where = {"topic": chance.choices("TU", (6, 1))[0], "partition": chance.choices((0, 1, 2), (6, 3, 1))[0]}
    who, count = {"who": chance.choice("AB")}, {"count": chance.choice((1, 1, 2, 5))}
    level = {"committed": chance.random() < 0.6}
    return {
        "produce": lambda: where | count | {"codec": chance.choice((0, 0, 1, 2, 3, 4))},
        "idempotent": lambda: where | count,
        "again": lambda: where,
        "gap": lambda: where | {"by": chance.choice((-3, 1, 7))},
        "transactional": lambda: who | where | count,
        "unannounced": lambda: who | where | count,
        "end": lambda: who | {"commit": chance.random() < 0.6},
        "send_offsets": lambda: who | where | {"offset": chance.randrange(20)},
        "init": lambda: who,
        "recover": lambda: who | {"stale": chance.random() < 0.3},
        "zombie": lambda: who | where | {"act": chance.choice(("add", "produce", "commit", "abort", "offsets"))},
        "expire": lambda: where,
        "commit_offsets": lambda: where | {"offset": chance.randrange(20), "metadata": chance.choice(("", "m", None))},
        "fetch_offsets": lambda: {"group": chance.choice(("A", "B", "plain")), "stable": chance.random() < 0.5},
        "read": lambda: where | level | {"offset": chance.choice((0, 0, 0, 1, 3, 8, 40))},
        "list_offsets": lambda: where | level | {"time": chance.choice((-1, -1, -2, -3, chance.randrange(310)))},
        "delete_records": lambda: where | {"offset": chance.choice((-1, 0, 1, 2, 4, 9))},
        "create": lambda: {"partitions": chance.choice((1, 2))},
        "delete": dict,
        "grow": lambda: {"topic": where["topic"], "partitions": chance.choice((1, 2, 3))},
    }[name]()


async def play(peer, operations, begin):
    """The results of the operations on a broker; an operation that fails by itself ends them."""
    run = Run(peer, f"d-{uuid.uuid4().hex[:12]}", begin)
    try:
        return await run.play(operations)
    finally:
        await run.delete("T")
        await run.delete("U")


async def first_difference(peers, operations):
    """Where the brokers first answer differently, and both answers; `None` when they do not."""
    begin = (int(time.time()) + 600) * 1000  # later than any marker, and within what a broker takes
    ours, theirs = await asyncio.gather(*(play(peer, operations, begin) for peer in peers))
    for at, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            return at, one, other
    return None


async def shortest(peers, operations, found):
    """Drop whatever is not needed for the difference."""
    operations = operations[: found[0] + 1]
    for at in reversed(range(len(operations) - 1)):
        fewer = operations[:at] + operations[at + 1 :]
        different = await first_difference(peers, fewer)
        if different is not None:
            operations, found = fewer[: different[0] + 1], different
    return operations, found


async def compare(addresses, seeds, differences):
    """One after another from a shared iterator of seeds, until there are none or three differ."""
    async with Peer(addresses[0]) as ours, Peer(addresses[1]) as theirs:
        for seed in seeds:
            operations = draw(seed)
            found = await first_difference((ours, theirs), operations)
            if found is not None:
                differences.append((seed, *await shortest((ours, theirs), operations, found)))
            if len(differences) >= 3:
                return


def told(seed, operations, found):
    lines = [f"KB_SEED={seed}: the last of these operations is answered differently"]
    lines += [f"  {name} {arguments}" for name, arguments in operations]
    return "\n".join([*lines, f"  embedded: {found[1]}", f"  apache:   {found[2]}"])


@pytest.mark.real_kafka
@pytest.mark.timeout(3_600 if os.environ.get("KB_CHAOS") else 240)
async def test_random_operations_have_the_same_results_on_both_brokers(peers):
    given = os.environ.get("KB_SEED")
    first = int(given) if given else random.SystemRandom().randrange(1 << 32)
    seeds = range(first, first + (1 if given else SEQUENCES))
    print(f"seeds {seeds.start} to {seeds.stop - 1}")
    shared, differences, begin = iter(seeds), [], time.monotonic()
    await asyncio.gather(*(compare(peers, shared, differences) for _ in range(AT_ONCE)))
    print(f"{len(seeds)} sequences of {OPERATIONS} operations in {time.monotonic() - begin:.1f} s")
    assert not differences, "\n".join(told(*one) for one in differences)


class Lenient(Peer):
    """As if the broker committed what its clients abort."""

    async def ask(self, name, **fields):
        return await super().ask(name, **fields | ({"committed": True} if name == "end_txn" else {}))


async def test_a_broker_that_commits_what_was_aborted_is_found_out(embedded):
    address, differences = embedded.bootstrap_servers, []
    async with Peer(address) as honest, Lenient(address) as lenient:
        for seed in range(16):
            operations = draw(seed)
            found = await first_difference((honest, lenient), operations)
            if found is not None:
                differences.append((seed, operations, found))
        assert len(differences) > 2, "the operations look too seldom at what transactions leave"
        seed, operations, found = differences[0]
        operations, found = await shortest((honest, lenient), operations, found)
    assert len(operations) <= 4
    assert ("end", False) in {(name, arguments.get("commit")) for name, arguments in operations}
    assert told(seed, operations, found).startswith(f"KB_SEED={seed}: ")
