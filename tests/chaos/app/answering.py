"""Answers requests; or, as the control, answers behind the settling: what a kill takes is not asked for again."""

import asyncio
import os

from kafkaboot import Producer, Record, event_handler
from kafkaboot.message import reply_to

LATE = set()


@event_handler("${asked}", id="right", reply=True, ordering="unordered", concurrency=16)
async def right(one: dict) -> dict:
    await asyncio.sleep(0.005)
    if one["n"] % 10 == 7:
        raise ValueError(f"not {one['n']}")
    return {"n": one["n"], "pid": os.getpid()}


@event_handler("${asked}", id="behind", ordering="unordered", concurrency=16)
async def behind(one: dict, record: Record, producer: Producer) -> None:
    async def later() -> None:
        await asyncio.sleep(0.3)
        to = reply_to(record.headers)
        answer = {"n": one["n"], "pid": os.getpid()}
        producer.send(to.topic, answer, partition=to.partition, headers=list(to.echo))

    task = asyncio.create_task(later())
    LATE.add(task)
    task.add_done_callback(LATE.discard)
