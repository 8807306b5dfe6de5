"""What failing costs those that do not fail."""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import kafkaboot
from benchmarks.run import Case, Check


def cases(records: int) -> list[Case]:
    plain = Shape(min(records, 200_000))
    others = plain.records * 98 // 100  # the failing keys' are not counted: a hundredth
    undisturbed = kafkaboot("keep_order", plain, "undisturbed", records=others)
    failing = kafkaboot("keep_order", plain, "ten keys fail", records=others)
    failing.environ["BENCH_FAILING"] = "00"
    return [
        Case(
            "keep-order",
            "other keys' speed while ten of 1,000 keys fail for good, `keep-order: key`, 1 ms each, 100 at once",
            (failing, undisturbed),
            (Check("rate", "ten keys fail", "undisturbed", bar=0.80),),
        ),
        *(_fail_once(kind, plain) for kind in ("async", "sync")),
    ]


def _fail_once(kind: str, shape: Shape) -> Case:
    well = kafkaboot(f"fail_once_{kind}", shape, "all well")
    failing = kafkaboot(f"fail_once_{kind}", shape, "a tenth fails once")
    failing.environ["BENCH_FAILING"] = "0"
    return Case(
        f"fail-once-{kind}",
        "CPU a record while each tenth one fails once: 6 us more a record are 60 us a failure",
        (failing, well),
        (Check("cpu", "a tenth fails once", "all well", how="difference", bar=6.0, most=True),),
    )
