from __future__ import annotations

import pytest

from kafkaboot.cli.lag import Line, _told


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
