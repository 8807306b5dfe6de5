"""The desk: the embedded broker against librdkafka's mock cluster, its start, what it keeps, and a newcomer's wait."""

from __future__ import annotations

from benchmarks.run import Case, Check, Side


def desk(program: str, *arguments: str, label: str, records: int = 1) -> Side:
    """A program of `benchmarks/desk`, which starts its own broker."""
    return Side(label, ("-m", f"benchmarks.desk.{program}", *arguments), None, records)


def cases(records: int) -> list[Case]:
    return [
        Case(
            "desk-throughput",
            "100 bytes into a broker on the desk and out of it; CPU is the broker's",
            tuple(desk("throughput", kind, label=kind, records=min(records, 960_000)) for kind in ("embedded", "mock")),
            (
                Check("taken", "embedded", "mock", bar=0.8),
                Check("given", "embedded", "mock", bar=0.8),
                Check("cpu_in", "embedded", "mock", most=True),
                Check("cpu_out", "embedded", "mock", most=True),
            ),
            ("taken", "given", "cpu_in", "cpu_out"),
        ),
        Case(
            "desk-startup",
            "start of the embedded broker to the first acknowledged record",
            (desk("startup", label="embedded"),),
            (Check("start", "embedded", how="value", bar=0.4, most=True),),
            ("listening", "start"),
        ),
        Case(
            "desk-keep",
            f"{records:,} records of 100 bytes kept on disk, SIGKILL, all read again and checked",
            (desk("keep", label="embedded", records=records),),
            (
                Check("restart", "embedded", how="value", most=True),
                Check("reread", "embedded", how="value", most=True),
            ),
            ("write", "restart", "reread"),
        ),
        Case(
            "newcomer",
            "new, cd, dev: from nothing to the first handled record",
            (desk("newcomer", label="kafkaboot"),),
            (Check("start", "kafkaboot", how="value", bar=10, most=True),),
            ("new", "start"),
        ),
    ]
