"""A redrive: what it sends, what it leaves, how it goes on, and what it never does."""

from __future__ import annotations

import pytest

from kafkaboot.client.memory.faults import refusal
from kafkaboot.errors import ClientError, PublishError
from kafkaboot.failure.replay import Errand, Place, Selection, WorkbenchError
from kafkaboot.failure.replay import work as working

LETTERS = "orders.shop.dlt"
REDRIVE = Errand("redrive", Selection())


def test_a_record_goes_back_with_its_own_key_value_and_headers_to_where_it_came_from(desk):
    letter = desk.letter(b'{"a": 1}', key=b"k7", origin=2, partition=1)
    desk.do(REDRIVE)
    (record,) = desk.sent()
    assert (record.partition(), record.key(), record.value()) == (2, b"k7", b'{"a": 1}')
    assert record.headers() == [
        ("own", b"1"),
        ("kb-redrives", b"1"),
        ("kb-redriven-from", f"{LETTERS}[1]@{letter.offset()}".encode()),
    ]
    assert desk.states() == {"card": {"retried": 1}}
    assert len(desk.sent(LETTERS)) == 1, "nothing is deleted"


def test_a_record_whose_partition_is_gone_goes_by_its_key(desk):
    desk.letter(origin=11)
    desk.do(REDRIVE)
    assert len(desk.sent()) == 1


def test_another_target_takes_them_all(desk):
    desk.kafka.create("again", 1)
    desk.letter(origin=3)
    desk.letter(topic=None)
    desk.do(Errand("redrive", Selection(), to="again"))
    assert len(desk.sent("again")) == 2
    assert desk.sent() == []


def test_only_what_is_selected_and_new_is_sent(desk):
    for number in range(10):
        desk.letter(b"%d" % number, cause="odd" if number % 2 else "even")
    desk.do(Errand("redrive", Selection(fingerprint="od")))
    assert [record.value() for record in desk.sent()] == [b"1", b"3", b"5", b"7", b"9"]
    desk.do(REDRIVE)
    assert [record.value() for record in desk.sent()][5:] == [b"0", b"2", b"4", b"6", b"8"]
    with desk.bench() as bench:
        assert bench.plan(REDRIVE).selected == 0
    desk.do(Errand("redrive", Selection(record=Place(0, 3), states=())))
    assert len(desk.sent()) == 11


def test_letters_that_come_after_its_start_are_not_its(desk):
    desk.letter(b"1")
    with desk.bench() as bench:
        found = bench.catalogue()
        job = bench.begin(bench.plan(REDRIVE, found), found)
        desk.letter(b"2")
        assert bench.work(job).counts == {"retried": 1}
    assert desk.states() == {"card": {"new": 1, "retried": 1}}


def test_a_record_that_came_back_n_times_is_parked_with_all_its_headers(desk):
    desk.letter(b"again", redrives=2)
    desk.letter(b"enough", redrives=3)
    progress = desk.do(REDRIVE)
    assert progress.counts == {"retried": 1, "parked": 1}
    assert [(record.value(), dict(record.headers())["kb-redrives"]) for record in desk.sent()] == [(b"again", b"3")]
    (parked,) = desk.sent(f"{LETTERS}.parked")
    assert parked.value() == b"enough"
    assert dict(parked.headers())["kb-exception"] == b"shop.CardRefused"
    assert desk.kafka.topic_configs[f"{LETTERS}.parked"] == {"retention.ms": "-1"}


def test_the_guard_against_loops_counts_the_rounds(desk):
    """A consumer that fails for ever: the record goes round three times, and then it is parked."""
    desk.letter(b"loop")
    for rounds in range(1, 10):
        progress = desk.do(REDRIVE)
        if "parked" in progress.counts:
            break
        record = desk.sent()[-1]
        redrives = int(dict(record.headers())["kb-redrives"])
        assert redrives == rounds
        desk.letter(record.value(), redrives=redrives)
    assert rounds == 4
    assert len(desk.sent()) == 3
    assert len(desk.sent(f"{LETTERS}.parked")) == 1


def test_a_parked_letter_is_replayed_only_with_more_rounds(desk):
    desk.letter(redrives=3)
    desk.do(REDRIVE)
    with desk.bench(f"{LETTERS}.parked") as bench:
        plan = bench.plan(REDRIVE)
        assert (plan.selected, plan.going) == (1, 0)
        assert "raise --max-rounds" in next(iter(plan.left))
        found = bench.catalogue()
        job = bench.begin(bench.plan(Errand("redrive", Selection(), max_rounds=4), found), found)
        bench.work(job)
    assert dict(desk.sent()[0].headers())["kb-redrives"] == b"4"
    assert f"{LETTERS}.parked.parked" not in desk.kafka.topics


def test_what_has_no_way_back_is_counted_told_and_left(desk):
    desk.letter(topic=None)
    desk.letter(topic="gone")
    desk.letter(topic="orders")
    with desk.bench() as bench:
        plan = bench.plan(REDRIVE)
    assert (plan.selected, plan.going, plan.remaining) == (3, 1, 2)
    assert plan.left["names no source topic: name one with --to"] == (1, f"{LETTERS}[0]@0")
    progress = desk.do(REDRIVE)
    assert progress.counts == {"retried": 1}
    assert sum(progress.left.values()) == 2
    assert desk.states()["card"] == {"new": 1, "retried": 1}


@pytest.mark.parametrize("topic", [LETTERS, f"{LETTERS}.index", f"{LETTERS}.parked", "__consumer_offsets"])
def test_a_forged_source_does_not_send_where_no_records_belong(desk, topic):
    desk.kafka.create(topic)
    desk.letter(topic=topic)
    with desk.bench() as bench:
        plan = bench.plan(REDRIVE)
    assert plan.going == 0
    assert "where no handler's records are" in next(iter(plan.left))


def test_forged_headers_are_doubted_and_do_no_harm(desk):
    desk.letter(more=[("kb-redrives", b"many"), ("kb-original-partition", b"-9"), ("kb-attempts", b"\xff")])
    with desk.bench() as bench:
        plan = bench.plan(REDRIVE)
    assert plan.doubtful == 1
    assert desk.do(REDRIVE).counts == {"retried": 1}


def test_a_letter_of_springs_goes_back_to_its_partition(desk):
    desk.springs()
    with desk.bench() as bench:
        letter = bench.letter(Place(0, 0))
        assert (letter.dialect, letter.exception) == ("spring", "java.lang.IllegalStateException")
    desk.do(REDRIVE)
    (record,) = desk.sent()
    assert (record.partition(), record.key(), record.value()) == (3, b"s-1", b'{"order_id": "s-1"}')
    assert [name for name, _ in record.headers()] == ["own", "kb-redrives", "kb-redriven-from"]


def test_it_commits_only_what_was_acknowledged(desk, monkeypatch):
    """At every commit, everything before it is in the target."""
    for number in range(2300):
        desk.letter(b"%d" % number)
    seen = []
    commit = type(desk.clients.consumer("x", {})).commit

    def watched(self, offsets, done):
        seen.append((max(one.offset for one in offsets.values()), len(desk.sent())))
        commit(self, offsets, done)

    monkeypatch.setattr("kafkaboot.client.memory.consumer.MemoryConsumer.commit", watched)
    desk.do(REDRIVE)
    assert seen == [(500, 500), (1000, 1000), (1500, 1500), (2000, 2000), (2300, 2300)]


def test_a_refused_record_stops_the_job_which_goes_on_without_repeating_the_others(desk):
    for number in range(3):
        desk.letter(b"%d" % number)
    with desk.bench() as bench:
        found = bench.catalogue()
        job = bench.begin(bench.plan(REDRIVE, found), found, "again")
        desk.kafka.faults.deliveries.extend([None, refusal("MSG_SIZE_TOO_LARGE", "too large"), None])
        with pytest.raises(PublishError) as caught:
            bench.work(job)
        assert "--job again" in caught.value.todo
        found = bench.catalogue()
        assert found.contents.jobs["again"].state == "stopped"
        progress = bench.work(bench.unfinished(REDRIVE, found))
    assert progress.counts == {"retried": 3}
    assert [record.value() for record in desk.sent()] == [b"0", b"2", b"1"]


def test_a_lost_client_stops_the_job_which_goes_on_with_another(desk):
    desk.letter()
    with desk.bench() as bench:
        found = bench.catalogue()
        job = bench.begin(bench.plan(REDRIVE, found), found)
        desk.kafka.faults.lost = ClientError("the sequence is lost", fatal=True)
        with pytest.raises(ClientError, match="the sequence is lost"):
            bench.work(job)
        assert desk.sent() == []
        desk.kafka.faults.lost = None
        assert bench.work(job).counts == {"retried": 1}


def test_a_batch_that_was_marked_but_not_committed_is_not_repeated(desk, monkeypatch):
    for number in range(700):
        desk.letter(b"%d" % number)

    def refused(*_):
        raise refusal("COORDINATOR_NOT_AVAILABLE", "away")

    with desk.bench() as bench:
        found = bench.catalogue()
        job = bench.begin(bench.plan(REDRIVE, found), found)
        with monkeypatch.context() as patch:
            patch.setattr("kafkaboot.client.memory.consumer.MemoryConsumer.commit", refused)
            with pytest.raises(ClientError):
                bench.work(job)
        assert len(desk.sent()) == 500
        assert bench.work(job).counts == {"retried": 700}
    assert len(desk.sent()) == 700


def test_who_is_fenced_is_told_that_another_has_taken_over(desk, monkeypatch):
    desk.letter()

    def fenced(*_):
        raise ClientError("fenced", code="FENCED_INSTANCE_ID", fatal=True)

    monkeypatch.setattr("kafkaboot.client.memory.consumer.MemoryConsumer.commit", fenced)
    with pytest.raises(ClientError, match="another process does job"):
        desk.do(REDRIVE)


def test_it_stops_behind_the_batch_at_work(desk):
    for number in range(1200):
        desk.letter(b"%d" % number)
    heard = []
    progress = desk.do(REDRIVE, heard=heard.append, stopping=lambda: bool(heard))
    assert (progress.state, progress.counts) == ("stopped", {"retried": 500})
    with desk.bench() as bench:
        found = bench.catalogue()
        assert bench.work(bench.unfinished(REDRIVE, found)).state == "finished"
    assert [record.value() for record in desk.sent()] == [b"%d" % number for number in range(1200)]


def test_a_rate_makes_small_batches(desk, monkeypatch):
    waited = []
    monkeypatch.setattr(working.Worker, "_wait", lambda self, until: waited.append(until))
    for number in range(25):
        desk.letter(b"%d" % number)
    desk.do(REDRIVE, rate=10)
    assert len(waited) == 3


def test_letters_that_retention_takes_away_meanwhile_do_not_stop_it_for_ever(desk, monkeypatch):
    monkeypatch.setattr(working, "SILENCE", 0.0)
    for number in range(5):
        desk.letter(b"%d" % number)
    with desk.bench() as bench:
        found = bench.catalogue()
        job = bench.begin(bench.plan(REDRIVE, found), found)
        desk.kafka.topics[LETTERS][0].delete_before(5)
        assert bench.work(job).state == "finished"
    assert desk.sent() == []


def test_parking_and_resolving_are_jobs_too(desk):
    desk.letter(b"1", cause="a")
    desk.letter(b"2", cause="b")
    desk.do(Errand("park", Selection(fingerprint="a")))
    desk.do(Errand("resolve", Selection(fingerprint="b")))
    assert desk.states() == {"a": {"parked": 1}, "b": {"resolved": 1}}
    assert len(desk.sent(f"{LETTERS}.parked")) == 1
    assert desk.sent() == []


def test_every_action_is_in_the_audit(desk):
    desk.letter()
    desk.do(REDRIVE, name="first")
    with desk.bench() as bench:
        actions = list(bench.catalogue().contents.actions.values())
    assert [(one.by, one.what, one.details["job"]) for one in actions] == [
        ("ada@desk", "redrive began", "first"),
        ("ada@desk", "redrive finished", "first"),
    ]
    assert actions[0].details["selected"] == 1
    assert actions[1].details["counts"] == {"retried": 1}


@pytest.mark.parametrize("name", ["a b", "", "x" * 101, "ä"])
def test_a_job_is_not_called_what_a_group_cannot_be(desk, name):
    desk.letter()
    if name:
        with pytest.raises(WorkbenchError, match="no name for a job"):
            desk.do(REDRIVE, name)
    else:
        assert desk.do(REDRIVE, name).job.name


def test_a_jobs_name_is_used_once(desk):
    desk.letter()
    desk.do(REDRIVE, "one")
    desk.letter()
    with pytest.raises(WorkbenchError, match="there is a job 'one' already"):
        desk.do(REDRIVE, "one")


def test_groups_without_members_are_known(desk):
    with desk.bench() as bench:
        assert bench.absent(["shop", ""]) == ["shop"]


def test_a_group_that_cannot_be_asked_keeps_nobody_from_sending(desk, monkeypatch):
    def refusing(*_):
        raise refusal("GROUP_AUTHORIZATION_FAILED", "not allowed")

    monkeypatch.setattr("kafkaboot.client.memory.admin.MemoryAdmin.group_members", refusing)
    with desk.bench() as bench:
        assert bench.absent(["shop"]) == []
