from __future__ import annotations

from types import SimpleNamespace

import pytest

from kafkaboot import RetryPolicy
from kafkaboot.cli.lag import Line, _told, _wanted


def lines(*pairs: tuple[int, int]) -> list[Line]:
    return [
        Line("g", "orders", at, committed, end, -1 if committed < 0 else end - committed)
        for at, (committed, end) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([(5, 7), (3, 3)], "lag 2"),
        ([(5, 7), (-1, 0)], "lag 2"),
        ([(7, 7), (-1, 4)], "lag 0, and nothing committed yet on 1 of 2 partitions"),
        ([(-1, 2), (-1, 0)], "has committed nothing yet"),
    ],
)
def test_a_group_that_has_yet_to_begin_is_not_said_to_be_up_to_date(pairs, said):
    assert _told(lines(*pairs)) == said


def test_the_topics_of_a_group_are_those_of_all_its_handlers_and_retry_topics_are_their_own_group_s():
    def handler(group, *topics, delays=()):
        return SimpleNamespace(
            group=group, spec=SimpleNamespace(topics=topics), retry=RetryPolicy(topics=delays), retry_name="default"
        )

    blueprint = SimpleNamespace(
        handlers=[
            handler("shop", "orders", "refunds", delays=(5.0, 60.0)),
            handler("shop", "orders"),
            handler("mail", "orders"),
        ]
    )
    assert _wanted(blueprint) == {
        "shop": ("orders", "refunds"),
        "shop.retry": (
            "orders.shop.retry.5s",
            "orders.shop.retry.1m",
            "refunds.shop.retry.5s",
            "refunds.shop.retry.1m",
        ),
        "mail": ("orders",),
    }
    assert _wanted(None) == {}
