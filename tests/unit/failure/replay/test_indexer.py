"""The index is kept while letters are written, and never in the way."""

from __future__ import annotations

import logging

from kafkaboot.errors import ClientError
from kafkaboot.failure.replay import Indexer
from kafkaboot.failure.replay.keeper import Keeper
from kafkaboot.testing import eventually

LETTERS = "orders.shop.dlt"


def hear(indexer, desk, count=1):
    for _ in range(count):
        record = desk.letter()
        indexer.on_dead_letter("bill", "orders[0]@7", ValueError(), f"{LETTERS}[0]@{record.offset()}")


def folds(desk):
    if f"{LETTERS}.index" not in desk.kafka.topics:
        return []
    return [record for record in desk.sent(f"{LETTERS}.index") if record.key().startswith(b"fold/")]


def covered(desk):
    with desk.bench() as bench:
        return bench.catalogue().read == 0


def test_letters_are_indexed_as_they_are_written(desk):
    indexer = Indexer(desk.clients, 0.01)
    indexer.start()
    hear(indexer, desk, 10)
    eventually(lambda: folds(desk) and covered(desk), 5, "the index covers all")
    hear(indexer, desk, 10)
    eventually(lambda: covered(desk), 5, "the index covers all")
    indexer.stop()


def test_many_letters_are_one_row_and_the_last_are_indexed_at_the_stop(desk):
    indexer = Indexer(desk.clients, 3600)
    indexer.start()
    hear(indexer, desk)
    eventually(lambda: folds(desk), 5, "the first look is at once")
    hear(indexer, desk, 500)
    assert len(folds(desk)) == 1
    indexer.stop()
    assert len(folds(desk)) == 2
    assert covered(desk)


def test_without_letters_no_client_is_made():
    class Refusing:
        def __getattr__(self, name):
            raise AssertionError(name)

    indexer = Indexer(Refusing())
    indexer.start()
    indexer.stop()
    Indexer(Refusing()).stop()


def test_an_index_that_cannot_be_written_is_one_warning_and_tried_again(desk, monkeypatch, caplog):
    monkeypatch.setattr("kafkaboot.failure.replay.indexer.FAILED", 0.01)
    troubles = [ClientError("not allowed", code="TOPIC_AUTHORIZATION_FAILED")] * 2
    create = type(desk.clients.admin()).create_topics

    def refusing(self, specs, timeout):
        if troubles:
            raise troubles.pop()
        create(self, specs, timeout)

    monkeypatch.setattr("kafkaboot.client.memory.admin.MemoryAdmin.create_topics", refusing)
    indexer = Indexer(desk.clients, 0.01)
    with caplog.at_level(logging.WARNING, "kafkaboot.failure"):
        indexer.start()
        hear(indexer, desk)
        eventually(lambda: folds(desk), 5, "it is written in the end")
        indexer.stop()
    assert caplog.text.count("the index of dead letters orders.shop.dlt is behind: not allowed") == 1


def test_the_index_is_read_once_and_then_only_the_tail(desk, monkeypatch):
    read = []
    keeper = Keeper(desk.clients)
    desk.letter()
    keeper.refresh(LETTERS)
    with monkeypatch.context() as patch:
        patch.setattr("kafkaboot.failure.replay.index.read", lambda *_: read.append(1))
        for number in range(3):
            desk.letter()
            assert keeper.refresh(LETTERS).read == 1, number
    keeper.close()
    assert read == []
    assert covered(desk)


def test_rows_of_letters_that_retention_took_are_taken_back(desk):
    for _ in range(1100):
        desk.letter()
    keeper = Keeper(desk.clients)
    keeper.refresh(LETTERS)
    desk.kafka.topics[LETTERS][0].delete_before(1050)
    keeper.refresh(LETTERS)
    keeper.close()
    with desk.bench() as bench:
        found = bench.catalogue()
    assert list(found.contents.blocks) == [(0, 1)]
    assert found.read == 0
