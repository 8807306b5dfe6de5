"""Writing: what a handler returns, and the producer alone."""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import bare, kafkaboot
from benchmarks.run import Case, Check


def cases(records: int) -> list[Case]:
    count = min(records, 300_000)
    plain, trigger = Shape(count), Shape(1, partitions=1)
    against_bare = (
        Check("rate", "kafkaboot", "bare", bar=0.75, aim=0.95),
        Check("cpu", "kafkaboot", "bare", most=True),
    )
    return [
        Case(
            "consume-publish",
            "handler + @publisher, CloudEvents, delivered before settled",
            (kafkaboot("consume_publish", plain, out=4), bare("publish", "consume-publish", plain, out=4)),
            (
                Check("rate", "kafkaboot", "bare", bar=0.80, aim=0.95),
                Check("cpu", "kafkaboot", "bare", bar=1.35, most=True),
            ),
        ),
        *(
            Case(
                f"publish-{call}",
                f"{title}, pydantic payload, CloudEvents",
                (
                    kafkaboot(f"publish_{call}", trigger, records=count, out=4),
                    bare("publish", "publish", trigger, records=count, out=4),
                ),
                against_bare,
            )
            for call, title in (("batch", "publish_batch of 10,000"), ("send", "send, awaited by 10,000"))
        ),
    ]
