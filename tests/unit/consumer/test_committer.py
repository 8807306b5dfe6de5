import logging

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.clock import ManualClock
from kafkaboot.consumer.committer import ANSWER, TRIES, Committer
from kafkaboot.consumer.holding import Holding
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.errors import ClientError

TP0 = TP("orders", 0)


class Listener:
    def __init__(self):
        self.heard = []

    def on_commit(self, group, offsets, error):
        self.heard.append((group, offsets, error))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def committer(clock, listener):
    return Committer("shop", 1.0, clock, [listener])


@pytest.fixture
def holdings(raw):
    holding = Holding(Assignment(TP0, 1))
    holding.assignment.take([raw(i) for i in range(10)])
    return {TP0: holding}


def settle(holdings, count):
    holdings[TP0].assignment.chunks[0].done[:count] = b"\1" * count


def test_commits_come_by_time_and_name_their_offsets(committer, clock, consumer, holdings, listener):
    settle(holdings, 3)
    committer.due(consumer, holdings)
    assert consumer.commits == []
    clock.advance(1)
    committer.due(consumer, holdings)
    assert consumer.told == [("commit", {TP0: Committed(3)}, False)]
    consumer.poll_chunk(1, 0)
    assert holdings[TP0].assignment.committed == Committed(3)
    assert listener.heard == [("shop", [("orders", 0, 3)], None)]
    clock.advance(1)
    committer.due(consumer, holdings)
    assert len(consumer.commits) == 1, "nothing new, no commit"


def test_one_commit_is_under_way_at_a_time(committer, clock, consumer, holdings):
    consumer.answer_commits = False
    settle(holdings, 1)
    clock.advance(1)
    committer.due(consumer, holdings)
    settle(holdings, 2)
    clock.advance(5)
    committer.due(consumer, holdings)
    assert consumer.commits == [{TP0: Committed(1)}]
    consumer.unanswered.pop()(None)
    committer.due(consumer, holdings)
    assert consumer.commits == [{TP0: Committed(1)}, {TP0: Committed(2)}]


def test_a_commit_that_is_never_answered_is_given_up(committer, clock, consumer, holdings):
    consumer.answer_commits = False
    settle(holdings, 1)
    clock.advance(1)
    committer.due(consumer, holdings)
    clock.advance(ANSWER + 1)
    committer.due(consumer, holdings)
    assert len(consumer.commits) == 2


def test_a_failed_commit_is_said_and_made_again(committer, clock, consumer, holdings, listener, caplog):
    error = ClientError("Broker: Not coordinator", code="NOT_COORDINATOR", retriable=True)
    consumer.commit_errors.append(error)
    settle(holdings, 4)
    clock.advance(1)
    with caplog.at_level(logging.WARNING, "kafkaboot.consumer"):
        committer.due(consumer, holdings)
        consumer.poll_chunk(1, 0)
    assert committer.failures == 1
    assert listener.heard == [("shop", [("orders", 0, 4)], error)]
    assert [record.getMessage() for record in caplog.records] == [
        "group shop: a commit failed: Broker: Not coordinator; nothing is lost: it is made again in 1.0 s"
    ]
    assert holdings[TP0].assignment.committed is None
    clock.advance(1)
    committer.due(consumer, holdings)
    consumer.poll_chunk(1, 0)
    assert holdings[TP0].assignment.committed == Committed(4)


def test_the_same_failure_again_and_again_is_said_once(committer, clock, consumer, holdings, caplog):
    settle(holdings, 4)
    with caplog.at_level(logging.WARNING, "kafkaboot.consumer"):
        for _ in range(5):
            consumer.commit_errors.append(ClientError("no", code="GROUP_AUTHORIZATION_FAILED"))
            clock.advance(1)
            committer.due(consumer, holdings)
            consumer.poll_chunk(1, 0)
    assert committer.failures == 5
    assert len(caplog.records) == 1


def test_a_commit_that_is_refused_at_once_does_not_stop_the_next(committer, clock, consumer, holdings):
    settle(holdings, 4)

    def refuse(offsets, done):
        raise ClientError("no", code="_STATE")

    keep, consumer.commit = consumer.commit, refuse
    clock.advance(1)
    committer.due(consumer, holdings)
    consumer.commit = keep
    clock.advance(1)
    committer.due(consumer, holdings)
    assert consumer.commits == [{TP0: Committed(4)}]


def test_inside_a_rebalance_a_commit_that_is_due_is_waited_for_whatever_is_under_way(
    committer, clock, consumer, holdings
):
    consumer.answer_commits = False
    settle(holdings, 1)
    clock.advance(1)
    committer.due(consumer, holdings)
    settle(holdings, 2)
    committer.due(consumer, holdings, wait=True)
    assert len(consumer.commits) == 1, "not due"
    clock.advance(1)
    committer.due(consumer, holdings, wait=True)
    assert consumer.told[-1] == ("commit", {TP0: Committed(2)}, True)
    assert holdings[TP0].assignment.committed == Committed(2)


def test_a_mark_that_a_rebalance_refused_is_to_be_written_again_any_other_failure_is_said(
    committer, consumer, holdings, caplog
):
    settle(holdings, 1)
    for code in ("ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "STALE_MEMBER_EPOCH"):
        consumer.commit_errors.append(ClientError("no", code=code))
        assert not committer.mark(consumer, holdings)
    assert caplog.records == []
    consumer.commit_errors.append(ClientError("no", code="X"))
    assert committer.mark(consumer, holdings)
    assert "the next owner does not see it" in caplog.text
    assert committer.mark(consumer, holdings)
    assert holdings[TP0].assignment.committed == Committed(1)


def test_the_last_commit_is_waited_for_and_tried_again(committer, consumer, holdings):
    consumer.commit_errors.append(ClientError("later", code="REBALANCE_IN_PROGRESS", retriable=True))
    settle(holdings, 10)
    committer.last(consumer, holdings, holdings)
    assert [told[2] for told in consumer.told] == [True, True]
    assert consumer.commits == [{TP0: Committed(10)}]
    assert holdings[TP0].assignment.committed == Committed(10)


@pytest.mark.parametrize(("retriable", "tries"), [(True, TRIES), (False, 1)])
def test_a_last_commit_that_fails_is_said_and_is_not_fatal(committer, consumer, holdings, caplog, retriable, tries):
    consumer.commit_errors.extend(ClientError("no", code="X", retriable=retriable) for _ in range(10))
    settle(holdings, 10)
    with caplog.at_level(logging.WARNING, "kafkaboot.consumer"):
        committer.last(consumer, holdings, holdings)
    assert len(consumer.told) == tries
    assert caplog.records[-1].getMessage() == (
        "group shop: the commit failed: no; what was handled since the one before is repeated"
    )


def test_a_last_commit_that_a_rebalance_refused_is_tried_again_once_the_member_has_caught_up(
    committer, consumer, holdings
):
    refusals = [ClientError("no", code=code) for code in ("ILLEGAL_GENERATION", "STALE_MEMBER_EPOCH")]
    refusals += [ClientError("no", code="REBALANCE_IN_PROGRESS", retriable=True) for _ in range(TRIES + 1)]
    consumer.commit_errors.extend(refusals)
    settle(holdings, 10)
    polls = []
    committer.last(consumer, holdings, holdings, lambda: polls.append(1) or True)
    assert len(polls) == len(refusals)
    assert holdings[TP0].assignment.committed == Committed(10)


def test_a_partition_that_goes_while_the_member_catches_up_is_not_committed(committer, consumer, holdings):
    consumer.commit_errors.append(ClientError("no", code="ILLEGAL_GENERATION"))
    settle(holdings, 10)
    committer.last(consumer, holdings, holdings, lambda: holdings.clear() or True)
    assert len(consumer.told) == 1


def test_a_last_commit_is_given_up_when_there_is_no_time_to_catch_up(committer, consumer, holdings, caplog):
    consumer.commit_errors.extend(ClientError("no", code="ILLEGAL_GENERATION") for _ in range(10))
    settle(holdings, 10)
    with caplog.at_level(logging.WARNING, "kafkaboot.consumer"):
        committer.last(consumer, holdings, holdings, iter([True, True, False]).__next__)
    assert len(consumer.told) == 3
    assert "the commit failed" in caplog.text


def test_a_listener_that_raises_changes_nothing(clock, consumer, holdings):
    class Broken:
        def on_commit(self, group, offsets, error):
            raise RuntimeError("mine")

    committer = Committer("shop", 1.0, clock, [Broken()])
    settle(holdings, 1)
    committer.last(consumer, holdings, holdings)
    assert holdings[TP0].assignment.committed == Committed(1)
