"""What an inbox promises, record by record; each with the control that shows what keeps it."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from kafkaboot.consumer import Again, Away, Detour, Failed, Halt
from kafkaboot.errors import ProcessDiedError
from kafkaboot.sql.calls import EndedError
from kafkaboot.sql.ledger import Ledger
from kafkaboot.testing import eventually
from tests.unit.sql.conftest import Epoch, Raw


def verdict(detour):
    return detour.verdict(Failed(Raw(0), detour, 0, 0.0))


def fail(error):
    def work(*_):
        raise error

    return work


async def test_what_returns_is_committed_with_the_position_and_what_raises_with_neither(shop, is_async):
    process = shop.process(is_async=is_async)
    await process.handle(Raw(5))
    assert (shop.sales(), shop.position()) == ([5], 6)
    with pytest.raises(ValueError, match="no"):
        await process.handle(Raw(6), fail(ValueError("no")))
    assert (shop.sales(), shop.position()) == ([5], 6)
    await process.handle(Raw(6), attempt=2)
    assert (shop.sales(), shop.position()) == ([5, 6], 7)


async def test_a_successor_begins_where_the_database_says_and_a_new_group_where_kafka_says(shop):
    assert shop.process().starts == {}
    process = shop.process()
    await process.handle(Raw(41))
    assert shop.process().starts == {process.epoch.tp: 42}
    assert shop.process(group="another").starts == {}


async def test_a_record_that_is_settled_is_left_out_without_a_call(shop, is_async):
    await shop.process(is_async=is_async, in_order=False).handle(Raw(7))
    process = shop.process(is_async=is_async, in_order=False)
    await process.handle(Raw(7), fail(AssertionError("it was called")))
    assert shop.sales() == [7]


@pytest.mark.parametrize("in_order", [True, False], ids=["in-order", "by-key"])
async def test_of_two_owners_one_alone_commits_a_record(shop, is_async, in_order):
    zombie = shop.process(is_async=is_async, in_order=in_order)
    owner = shop.process(is_async=is_async, in_order=in_order)
    await owner.handle(Raw(3))
    await zombie.handle(Raw(3))  # it is called, and rolled back
    assert shop.sales() == [3]
    await zombie.handle(Raw(4))
    await owner.handle(Raw(4))
    assert shop.sales() == [3, 4]


@pytest.mark.parametrize("in_order", [True, False], ids=["in-order", "by-key"])
async def test_control_without_the_condition_both_commit_it(shop, monkeypatch, in_order):
    monkeypatch.setattr(Ledger, "claim", lambda *_: None)
    zombie, owner = shop.process(in_order=in_order), shop.process(in_order=in_order)
    await owner.handle(Raw(3))
    await zombie.handle(Raw(3))
    assert shop.sales() == [3, 3]


async def test_a_zombie_is_fenced_by_the_position_when_its_records_rows_are_pruned(shop, is_async):
    zombie = shop.process(is_async=is_async, in_order=False)
    owner = shop.process(is_async=is_async, in_order=False)
    for at in range(300):
        await owner.handle(Raw(at))
        owner.epoch.position = at + 1
    assert shop.position() > 2
    assert min(shop.beyond()) >= shop.position()
    await zombie.handle(Raw(2))
    assert shop.sales() == list(range(300))


async def test_by_key_the_position_follows_what_is_settled_without_a_gap(shop, monkeypatch):
    monkeypatch.setattr("kafkaboot.sql.ledger.MOVES", 5)
    process = shop.process(in_order=False, position=10)
    for at in range(11, 400):  # 10 is slow
        await process.handle(Raw(at))
    assert shop.position() == 10
    assert len(shop.beyond()) == 389
    successor = shop.process(in_order=False)
    assert successor.starts == {successor.epoch.tp: 10}
    await successor.handle(Raw(10))
    await successor.handle(Raw(11), fail(AssertionError("it was called")))
    assert shop.sales() == list(range(10, 400))


async def test_control_a_position_that_passes_a_slow_record_loses_it(shop):
    process = shop.process(in_order=True)  # as if they came one after the other
    for at in range(11, 20):
        await process.handle(Raw(at))
    assert shop.process().starts == {process.epoch.tp: 20}  # behind 10, which nobody handled


# --- commits without an answer


class Unanswered:
    """The next commits are done, or not, and nobody is told."""

    def __init__(self, monkeypatch, times=1, *, applied):
        from sqlalchemy import Connection

        left, commit = [times], Connection.commit

        def answer(connection):
            if not left[0] or "sales" not in self.seen:
                return commit(connection)
            left[0] -= 1
            if applied:
                commit(connection)
            else:
                connection.rollback()
            raise OperationalError("COMMIT", {}, Exception("the server closed the connection"))

        self.seen = ["sales"]
        monkeypatch.setattr(Connection, "commit", answer)


@pytest.mark.parametrize("in_order", [True, False], ids=["in-order", "by-key"])
async def test_a_commit_whose_answer_is_lost_is_looked_up_and_was_done(shop, is_async, in_order, monkeypatch):
    process = shop.process(is_async=is_async, in_order=in_order)
    Unanswered(monkeypatch, applied=True)
    assert await process.handle(Raw(3), lambda _: "done") == "done"
    assert shop.sales() == [3]


async def test_a_commit_whose_answer_is_lost_is_looked_up_and_was_not_done(shop, is_async, monkeypatch):
    process = shop.process(is_async=is_async)
    Unanswered(monkeypatch, applied=False)
    with pytest.raises(Detour) as raised:
        await process.handle(Raw(3))
    assert verdict(raised.value).counts is False
    await process.handle(Raw(3))
    assert shop.sales() == [3]


async def test_a_commit_that_nobody_can_look_up_is_looked_up_before_the_next_call(shop, is_async, monkeypatch):
    process = shop.process(is_async=is_async)
    Unanswered(monkeypatch, applied=True)
    read = Ledger.read
    monkeypatch.setattr(Ledger, "read", fail(OperationalError("SELECT", {}, Exception("away"))))
    with pytest.raises(Detour):
        await process.handle(Raw(3))
    monkeypatch.setattr(Ledger, "read", read)
    await process.handle(Raw(3), fail(AssertionError("it was called")))
    assert shop.sales() == [3]


# --- a database that is away


async def test_a_database_that_is_away_costs_no_attempt_and_is_told(shop, is_async, monkeypatch, caplog):
    process = shop.process(is_async=is_async)
    monkeypatch.setattr(
        process.around, "_finish", fail(OperationalError("UPDATE", {}, Exception("no password=geheim")))
    )
    for _ in range(2):
        with pytest.raises(Detour) as raised:
            await process.handle(Raw(3))
        assert verdict(raised.value) == Again(0.5, counts=False)
    assert "geheim" not in str(raised.value)
    assert shop.database.trouble is not None
    assert [line for line in caplog.messages if "records that need it are kept" in line] == [caplog.messages[0]]
    monkeypatch.undo()
    await process.handle(Raw(3))
    assert (shop.sales(), shop.database.trouble) == ([3], None)


async def test_an_error_of_the_handlers_own_sql_is_an_attempt_like_any_other(shop, is_async):
    process = shop.process(is_async=is_async)
    with pytest.raises(OperationalError, match="no such table"):
        await process.handle(Raw(3), lambda session: session.execute(text("INSERT INTO nowhere VALUES (1)")))
    assert (shop.sales(), shop.database.trouble) == ([], None)


async def test_a_connection_that_is_gone_is_no_attempt_whoever_meets_it(shop, is_async):
    process, gone = shop.process(is_async=is_async), DBAPIError("SELECT", {}, Exception("gone"))
    gone.connection_invalidated = True
    with pytest.raises(Detour):
        await process.handle(Raw(3), fail(gone))


async def test_what_a_session_writes_at_its_flush_belongs_to_the_transaction(shop, is_async):
    from sqlalchemy.orm import registry

    from kafkaboot.sql.tables import OUTBOX

    class Row:
        pass

    mapped = registry(metadata=OUTBOX.metadata)
    mapped.map_imperatively(Row, OUTBOX)
    process = shop.process(is_async=is_async)

    def work(session):
        row = Row()
        row.topic = None  # which may not be NULL
        session.add(row)

    with pytest.raises(IntegrityError):
        await process.handle(Raw(3), work)
    assert (shop.sales(), shop.position()) == ([], -1)
    mapped.dispose()


async def test_a_sessions_own_commit_commits_nothing(shop, is_async):
    process = shop.process(is_async=is_async)

    async def work(session):
        await session.commit()
        raise ValueError("behind the commit")

    def work_in_a_thread(session):
        session.commit()
        raise ValueError("behind the commit")

    with pytest.raises(ValueError, match="behind"):
        await process.handle(Raw(3), work if is_async else work_in_a_thread)
    assert (shop.sales(), shop.position()) == ([], -1)


async def test_a_handler_that_rolls_back_and_returns_is_told_so(shop, is_async):
    process = shop.process(is_async=is_async)
    with pytest.raises(EndedError, match="handler sell ended the transaction"):
        await process.handle(Raw(3), lambda session: session.rollback())
    assert (shop.sales(), shop.position()) == ([], -1)


async def test_a_handler_that_commits_a_connection_itself_is_told_so(shop):
    process = shop.process(session=None)
    process.around._session = None
    with pytest.raises(EndedError):
        await process.handle(Raw(3), AsyncConnection.commit)
    assert shop.position() == -1


# --- offsets that begin anew


async def test_a_topic_that_was_made_again_ends_the_group_instead_of_being_left_out(shop, is_async):
    await shop.process(is_async=is_async).handle(Raw(1000))
    process = shop.process(is_async=is_async)
    with pytest.raises(Detour, match=r"stands at offset 1001 of orders\[0\]") as raised:
        await process.handle(Raw(0))
    assert isinstance(verdict(raised.value), Halt)
    assert "kafkaboot_inbox_position" in str(raised.value)


async def test_a_partition_that_was_given_back_waits(shop, is_async):
    process = shop.process(is_async=is_async)
    process.inbox.forget([process.epoch.tp])
    with pytest.raises(Detour) as raised:
        await process.handle(Raw(0))
    assert verdict(raised.value).counts is False


@pytest.mark.parametrize(("stood", "first", "halts"), [(5, 8, True), (5, 5, False), (8, 5, False)])
async def test_a_position_that_could_not_be_read_at_first_is_read_before_the_first_call(
    shop, is_async, monkeypatch, stood, first, halts
):
    await shop.process(is_async=is_async).handle(Raw(stood - 1))
    monkeypatch.setattr("kafkaboot.sql.inbox.ASK", 0.0)
    monkeypatch.setattr(Ledger, "read", fail(OperationalError("SELECT", {}, Exception("away"))))
    process = shop.process(is_async=is_async)
    assert process.starts == {}
    monkeypatch.undo()
    if halts:
        with pytest.raises(Detour, match="did not answer when") as raised:
            await process.handle(Raw(first))
        assert isinstance(verdict(raised.value), Halt)
        return
    await process.handle(Raw(first))
    assert shop.sales() == ([stood - 1, first] if first >= stood else [stood - 1])


# --- records that go elsewhere


class Failing:
    """Sends every record away; the test says when it has arrived."""

    def __init__(self):
        self.settled = None

    def judge(self, _):
        def send(settled, _):
            self.settled = settled

        return Away(send, "dead_lettered", "it goes to the dead letters")


async def test_the_position_does_not_pass_a_record_on_its_way_to_the_dead_letters(shop, is_async):
    process, letters, done = shop.process(is_async=is_async), Failing(), []
    away = process.inbox.watching(letters).judge(Failed(Raw(5), ValueError(), 1, 0.0))
    away.send(lambda: done.append(5), lambda: True)
    await process.handle(Raw(6))
    assert shop.position() == -1
    assert shop.beyond() == [6]
    letters.settled()
    eventually(lambda: done, 5, "the letter is written down, and settled")
    assert shop.beyond() == [5, 6]
    await process.handle(Raw(7))
    assert (shop.position(), shop.beyond()) == (8, [])


async def test_control_a_position_that_passes_it_loses_the_record(shop):
    process, letters = shop.process(), Failing()
    letters.judge(None).send(lambda: None, lambda: True)  # and the inbox does not know
    await process.handle(Raw(6))
    assert shop.process().starts == {process.epoch.tp: 7}  # the letter of 5 is not written


async def test_a_letter_that_arrived_is_not_sent_again_after_a_kill(shop):
    process, letters, done = shop.process(), Failing(), []
    await process.handle(Raw(4))
    away = process.inbox.watching(letters).judge(Failed(Raw(5), ValueError(), 1, 0.0))
    away.send(lambda: done.append(5), lambda: True)
    letters.settled()
    eventually(lambda: done, 5, "settled")
    successor = shop.process()
    assert successor.starts == {process.epoch.tp: 5}
    await successor.handle(Raw(5), fail(AssertionError("it was called")))
    await successor.handle(Raw(6))
    assert (shop.sales(), shop.position(), shop.beyond()) == ([4, 6], 7, [])


async def test_a_record_that_processes_died_of_behind_its_commit_is_no_dead_letter(shop):
    await shop.process().handle(Raw(4))
    watching, died = shop.process().inbox.watching(Failing()), ProcessDiedError(3)
    assert watching.judge(Failed(Raw(4), died, 3, 0.0)) == Again(0.0, counts=False)
    assert isinstance(watching.judge(Failed(Raw(5), died, 3, 0.0)), Away)


async def test_a_partition_that_is_given_back_says_where_it_stands(shop):
    process = shop.process()
    await process.handle(Raw(4))
    process.epoch.position = 9  # skipped, or left out by a filter
    process.inbox.end([process.epoch])
    assert shop.process().starts == {process.epoch.tp: 9}


async def test_a_zombie_that_gives_its_partition_back_does_not_set_it_back(shop):
    zombie, owner = shop.process(), shop.process()
    await owner.handle(Raw(9))
    zombie.epoch.position = 5
    zombie.inbox.end([zombie.epoch])
    assert shop.position() == 10


async def test_each_partition_stands_for_itself(shop):
    process = shop.process()
    other = Epoch(1)
    process.inbox.begin([other])
    await process.handle(Raw(3))
    await process.handle(Raw(1, partition=1))
    assert (shop.position(0), shop.position(1)) == (4, 2)
