"""Rules 16 to 18 of failure as a user sees them, each beside mutants: without its code the same check goes red.

That a lost producer is replaced (rule 16) needs a broker: `tests/integration/test_lost_producer.py`; that a lost
consumer ends the application with a code of its own: `tests/unit/boot/test_application.py`.
"""

from __future__ import annotations

from unittest import mock

import pytest
from confluent_kafka import KafkaError

from kafkaboot.boot import running
from kafkaboot.client.confluent import producer as confluent
from kafkaboot.client.confluent import translate
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.consumer import Failed
from kafkaboot.consumer.batches import BatchRun
from kafkaboot.errors import BatchFailed
from kafkaboot.failure.dead_letter import DeadLetters
from kafkaboot.producer import Producer
from kafkaboot.testing import eventually_async
from kafkaboot.topics import own
from kafkaboot.topics.uses import UnfitTopicError

ONE = "kafkaboot.retry.default.attempts=1"
BILL = """
@event_handler("orders", retry=False)
@publisher("invoices")
async def bill(order: dict) -> dict:
    return order
"""


# --- 16: an error says whether the client is lost and whether the call may be tried again


def errors_say_what_they_mean():
    lost, again, refused = ("fatal",), ("retriable",), ()
    for error, meaning in (
        (KafkaError(KafkaError._FENCED), lost),
        (KafkaError(KafkaError._FATAL), lost),
        (KafkaError(KafkaError.FENCED_INSTANCE_ID), lost),
        (KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "the sequence is lost", True), lost),
        (KafkaError(KafkaError.NOT_COORDINATOR, "gone for good", True), lost),
        (KafkaError(KafkaError.NOT_COORDINATOR), again),
        (KafkaError(KafkaError._MSG_TIMED_OUT), again),
        (KafkaError(KafkaError.INVALID_TXN_STATE, "not now", False, True), again),
        (KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), refused),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), refused),
    ):
        made = translate.client_error(error)
        assert tuple(name for name in ("fatal", "retriable") if getattr(made, name)) == meaning, error.name()


def test_rule_16_errors_say_what_they_mean():
    errors_say_what_they_mean()


@pytest.mark.parametrize(
    ("name", "mutant", "wrong"),
    [
        ("is_fatal", lambda error: error.fatal(), "_FENCED"),
        ("is_fatal", lambda error: error.name() in {"_FATAL", "_FENCED", "FENCED_INSTANCE_ID"}, "OUT_OF_ORDER"),
        ("_RETRIABLE", frozenset(), "NOT_COORDINATOR"),
        ("_RETRIABLE", translate._RETRIABLE | {"MSG_SIZE_TOO_LARGE"}, "MSG_SIZE"),
    ],
)
def test_rule_16_without_it_a_lost_client_is_kept_or_a_good_one_thrown_away(name, mutant, wrong):
    with mock.patch.object(translate, name, mutant), pytest.raises(AssertionError, match=wrong):
        errors_say_what_they_mean()


# --- 17: the writer of dead letters is let in like everybody else, and its topic is looked at before the start


SECURED = """
kafkaboot:
  kafka:
    bootstrap-servers: nowhere.example:9094
    client-id: till
    topics: off
    properties: {broker.address.family: v4}
    security:
      protocol: sasl_ssl
      sasl: {mechanism: SCRAM-SHA-512, username: shop, password: s3cret}
      ssl: {key-password: k3y}
"""
SECURITY = {
    "security.protocol": "sasl_ssl",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "shop",
    "sasl.password": "s3cret",
    "ssl.key.password": "k3y",
    "bootstrap.servers": "nowhere.example:9094",
    "client.id": "till",
    "broker.address.family": "v4",
}


class Recorded:
    """In librdkafka's place: notes with which properties a producer was made."""

    def __init__(self, made):
        self.made = made

    def __call__(self, config):
        self.made.append(config)
        return mock.MagicMock(**{"__len__.return_value": 0, "flush.return_value": 0})


async def letters_travel_as_secured_as_everything_else(shop):
    shop.handlers(BILL)
    shop.yaml = SECURED
    producers = []
    with mock.patch.object(confluent, "Producer", Recorded(producers)):
        made = shop.application(clients=False)
        made.wire()
        container = made.blueprint.container
        container.get(Producer).sync.close()
        writer = shop.writer(container)
        record = shop.publish(b"{}")
        failed = Failed(record, ValueError("no total"), 1, 0.0)
        writer.send(failed, "bill", shop.group, shop.letters_topic, 0, lambda: None, lambda: True)
        await eventually_async(lambda: len(producers) == 2, 2)
        writer.close(0.0)
    of_records, of_letters = producers
    assert {key: of_records.get(key) for key in SECURITY} == SECURITY
    assert {key: of_letters.get(key) for key in SECURITY} == SECURITY
    assert (of_letters["enable.idempotence"], of_letters["acks"]) == ("true", "all")


async def test_rule_17_letters_travel_as_secured_as_everything_else(shop):
    await letters_travel_as_secured_as_everything_else(shop)


async def test_rule_17_without_it_letters_go_out_by_a_producer_of_their_own_making(shop):
    def of_its_own(writer, _alone):
        servers = writer._clients.bootstrap_servers
        return ConfluentClients(KafkaSettings(), bootstrap_servers=servers).producer(writer._properties)

    with mock.patch.object(DeadLetters, "_port", of_its_own), pytest.raises(AssertionError, match="security"):
        await letters_travel_as_secured_as_everything_else(shop)


def too_few(shop):
    shop.kafka.create(shop.letters_topic, 1)


def closed(shop):
    shop.kafka.create(shop.letters_topic, 2)
    shop.kafka.denied[shop.letters_topic] = {"WRITE"}


async def no_start_with_a_topic_that_takes_no_letters(shop, wrong, said):
    shop.handlers(BILL)
    wrong(shop)
    with pytest.raises(UnfitTopicError) as caught:
        async with shop.running():
            pass
    text = str(caught.value)
    assert f"topic '{shop.letters_topic}' {said}" in text
    assert "handler bill writes its dead letters to it (" in text
    assert f"{shop.group}/__init__.py:2" in text
    assert "nothing was started: a record that must go there could not, and its partition would stand still" in text
    assert (
        "To do: add partitions (kafkaboot topics apply, or kafka-topics --alter --partitions), grant this appl" in text
    )


async def its_topic_is_made_like_its_source(shop):
    shop.handlers(BILL)
    async with shop.running():
        assert len(shop.kafka.topics.get(shop.letters_topic, ())) == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(too_few, "has 1 partition and 'orders' has 2"), (closed, "may not be written to (this application's user may: ")],
)
async def test_rule_17_no_start_with_a_topic_that_takes_no_letters(shop, wrong, said):
    await no_start_with_a_topic_that_takes_no_letters(shop, wrong, said)


async def test_rule_17_a_topic_that_is_missing_is_made_like_its_source(shop):
    await its_topic_is_made_like_its_source(shop)


@pytest.mark.parametrize(
    ("wrong", "owner", "name", "mutant"),
    [
        (too_few, own, "_too_small", lambda *_: []),
        (too_few, running, "letter_uses", lambda *_: []),
        (closed, running, "letter_uses", lambda *_: []),
    ],
)
async def test_rule_17_without_it_the_application_starts_with_a_topic_that_takes_no_letters(
    shop, wrong, owner, name, mutant
):
    with mock.patch.object(owner, name, mutant), pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await no_start_with_a_topic_that_takes_no_letters(shop, wrong, "")


async def test_rule_17_without_it_no_topic_is_made(shop):
    with mock.patch.object(running, "letter_uses", return_value=[]), pytest.raises(AssertionError):
        await its_topic_is_made_like_its_source(shop)


# --- 18: in a batch one bad record does not punish its neighbours


BATCHES = """
from kafkaboot.errors import BatchFailed
CALLS = []

@event_handler("orders", batch=8)
{kind} bill(orders: list[dict]) -> None:
    CALLS.append([order["n"] for order in orders])
    for index, order in enumerate(orders):
        if order["bad"]:
            raise {error}
"""
NAMED, RAISED = 'BatchFailed(index, ValueError("no total"))', 'ValueError("no total")'
BAD = 5


async def one_bad_record_punishes_no_neighbour(shop, kind, error):
    shop.handlers(BATCHES.format(kind=kind, error=error))
    for n in range(8):
        shop.publish(b'{"n": %d, "bad": %s}' % (n, b"true" if n == BAD else b"false"))
    async with shop.running("kafkaboot.retry.default.attempts=2"):
        await shop.commits(8, within=2.0)
    calls = shop.module.CALLS
    assert calls[0] == list(range(8)), "they came as one batch"
    assert [(letter.original.offset, letter.attempts) for letter in shop.letters()] == [(BAD, 2)]
    done = [n for call in calls if BAD not in call for n in call]
    if error is NAMED:
        done += calls[0][:BAD]  # it says that those before it are done
        assert [n for call in calls[1:] for n in call if n < BAD] == [], "what is done is not handed over again"
    assert sorted(done) == [n for n in range(8) if n != BAD]


@pytest.mark.parametrize("kind", ["async def", "def"])
@pytest.mark.parametrize("error", [NAMED, RAISED], ids=["named", "raised"])
async def test_rule_18_one_bad_record_of_a_batch_punishes_no_neighbour(shop, kind, error):
    await one_bad_record_punishes_no_neighbour(shop, kind, error)


def whole(_, error):
    """The batch fails as it is: its first record is judged for it."""
    return error


def unnamed(split):
    """Whichever record the handler names, the batch is split."""

    def failed(run, error):
        return split(run, error.cause if isinstance(error, BatchFailed) else error)

    return failed


@pytest.mark.parametrize(
    ("error", "mutant"), [(NAMED, whole), (RAISED, whole), (NAMED, unnamed(BatchRun.failed))],
    ids=["named, whole", "raised, whole", "named, split"],
)  # fmt: skip
async def test_rule_18_without_it_its_neighbours_are_punished(shop, error, mutant):
    with mock.patch.object(BatchRun, "failed", mutant), pytest.raises(AssertionError):
        await one_bad_record_punishes_no_neighbour(shop, "async def", error)
