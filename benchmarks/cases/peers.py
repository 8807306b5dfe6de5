"""Other frameworks on the same backlog in the same run."""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import kafkaboot, peer
from benchmarks.run import Case, Check


def cases(records: int) -> list[Case]:
    plain = Shape(records)
    return [
        Case(
            "peers",
            "async handler, pydantic model, against other frameworks",
            (
                kafkaboot("async_pydantic", plain),
                peer("aiokafka", plain, "aiokafka"),
                peer("quix", plain, "Quix Streams", min(records, 300_000)),
                peer("faststream", plain, "FastStream", min(records, 20_000)),
            ),
            (
                Check("rate", "kafkaboot", "FastStream", bar=40),
                Check("rate", "kafkaboot", "Quix Streams", bar=2.5),
                Check("rate", "kafkaboot", "aiokafka", bar=0.85),
            ),
        )
    ]
