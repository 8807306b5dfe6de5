from __future__ import annotations

from kafkaboot.cli.options import Choice


def test_a_worker_is_told_the_same_as_its_supervisor():
    choice = Choice("shop", ("conf",), ("dev", "eu"), ("a.b=c",))
    assert choice.arguments() == [
        "--config", "conf", "--profile", "dev", "--profile", "eu", "--set", "a.b=c", "--", "shop",
    ]  # fmt: skip
    assert Choice(None, (), (), ()).arguments() == []
