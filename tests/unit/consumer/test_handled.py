"""Which record a lane is at, for whoever publishes from it."""

from __future__ import annotations

from kafkaboot.consumer.lanes import Lane


class Chunk:
    def __init__(self, *records):
        self.records = list(records)


class Lanes:
    class route:
        batch = 1


def lane(*pieces):
    return Lane(Lanes(), None, list(pieces))


def test_before_the_first_record_and_between_two_pieces_there_is_none():
    empty = lane((Chunk("a"), [0]))
    assert empty.handled() is None
    empty.at = 0
    assert empty.handled() == "a"
    empty.pieces.clear()
    assert empty.handled() is None
    let_go = lane((Chunk(), [0]))
    let_go.at = 0
    assert let_go.handled() is None


def test_of_a_row_it_is_the_one_that_was_begun_last():
    made = lane((Chunk("a", "b", "c", "d"), range(4)))
    chunk = made.pieces[0][0]
    rest = iter(chunk.records[1:4])
    made.row = (chunk, 1, 4, rest)
    next(rest)
    assert made.handled() == "b"
    next(rest)
    assert made.handled() == "c"
