"""Draining a backlog."""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import bare, kafkaboot
from benchmarks.run import Case, Check


def cases(records: int) -> list[Case]:
    plain, typed = Shape(records), Shape(records, headers=True)
    thin = (
        Check("rate", "kafkaboot", "thin loop", bar=0.85, aim=1.0),
        Check("cpu", "kafkaboot", "thin loop", bar=1.20, aim=1.05, most=True),
    )
    return [
        Case(
            "async-pydantic",
            "async handler, pydantic model, at least once",
            (
                kafkaboot("async_pydantic", plain),
                bare("consume", "thin", plain, "thin loop"),
                bare("consume", "pydantic", plain),
            ),
            (*thin, Check("rate", "kafkaboot", "bare")),
        ),
        Case(
            "async-typed",
            "async handler of an event, its type read from CloudEvents headers",
            (kafkaboot("async_typed", typed), bare("consume", "thin-typed", typed, "thin loop")),
            thin,
        ),
        Case(
            "sync-pydantic",
            "sync handler, pydantic model, in worker threads",
            (kafkaboot("sync_pydantic", plain), bare("consume", "pydantic", plain)),
            (Check("rate", "kafkaboot", "bare", bar=0.75, aim=0.85), Check("cpu", "kafkaboot", "bare", most=True)),
        ),
        Case(
            "async-msgspec",
            "async handler, msgspec Struct",
            (kafkaboot("async_msgspec", plain), bare("consume", "msgspec", plain)),
            (Check("rate", "kafkaboot", "bare", bar=0.60, aim=0.80), Check("cpu", "kafkaboot", "bare", most=True)),
        ),
        Case(
            "batch-pydantic",
            "batch handler, list of pydantic models; bare makes the same list of a chunk",
            (kafkaboot("batch_pydantic", plain), bare("consume", "lists", plain)),
            (Check("rate", "kafkaboot", "bare", bar=0.90, aim=1.0), Check("cpu", "kafkaboot", "bare", most=True)),
        ),
    ]
