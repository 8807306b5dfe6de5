"""Requests and answers between processes, on the embedded broker and on a real Apache Kafka."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import struct
import sys
import textwrap
import uuid

import pytest
from confluent_kafka import Producer as Bare

from kafkaboot.client import TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import RequestAbandonedError, RequestFailedError, RequestTimeoutError
from kafkaboot.producer import Producer, Requests
from kafkaboot.testing import RunningBroker, TestApp, eventually_async

NUMBERS = itertools.count(1)

HANDLERS = """
import asyncio
from pydantic import BaseModel
from kafkaboot import Context, Producer, Skip, component, event, event_handler, publisher

CALLS, GATE = [], asyncio.Event()

@event("price.wanted")
class PriceWanted(BaseModel):
    sku: str

@event("price")
class Price(BaseModel):
    sku: str
    amount: int

@event_handler("${topics.prices}", id="quote", reply=True, ordering="unordered")
async def quote(wanted: PriceWanted) -> Price:
    CALLS.append(wanted.sku)
    if wanted.sku == "gone" or (wanted.sku == "once" and CALLS.count("once") == 1):
        raise LookupError("no such thing")
    if wanted.sku == "skip":
        raise Skip("not ours")
    if wanted.sku == "slow":
        await GATE.wait()
    if wanted.sku == "huge":
        return Price(sku="x" * 2_000_000, amount=0)
    return Price(sku=wanted.sku, amount=len(wanted.sku))

@event_handler("${topics.sync}", id="plain", reply=True)
@publisher("${topics.quotes}", key="sku")
def plain(wanted: PriceWanted) -> Price:
    return Price(sku=wanted.sku, amount=1)

@event_handler("${topics.baskets}", id="basket", reply=True)
async def basket(skus: dict, producer: Producer) -> dict:
    prices = [
        await producer.request("${topics.prices}".replace("${topics.prices}", skus["ask"]), PriceWanted(sku=sku),
                               reply_type=Price, timeout=20)
        for sku in skus["skus"]
    ]
    return {"total": sum(price.amount for price in prices)}
"""


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture
def restarted(tmp_path_factory):
    with EmbeddedKafka(data_dir=tmp_path_factory.mktemp("kept")) as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def broker(request):
    return request.getfixturevalue(request.param)


class Shop:
    """A folder with an application of its own, with topics of its own on a broker that others use as well."""

    def __init__(self, folder, broker, extra=""):
        self.broker = broker
        self.name = f"askshop_{next(NUMBERS)}_{uuid.uuid4().hex[:6]}"
        self.topics = {one: f"{self.name}.{one}" for one in ("prices", "sync", "quotes", "baskets")}
        (folder / self.name).mkdir()
        (folder / self.name / "__init__.py").write_text(HANDLERS)
        names = "".join(f"  {one}: {name}\n" for one, name in self.topics.items())
        (folder / "application.yaml").write_text(
            "kafkaboot:\n"
            f"  application: {{name: {self.name}, packages: [{self.name}]}}\n"
            "  retry: {default: {attempts: 2, backoff: {initial: 10ms, max: 20ms}}}\n"
            "  consumer: {commit-interval: 50ms}\n"
            + textwrap.indent(textwrap.dedent(extra), "  ")
            + f"topics:\n{names}"
        )
        self.folder = folder

    def app(self, **overrides):
        given = {key.replace("__", ".").replace("_", "-"): value for key, value in overrides.items()}
        return TestApp(RunningBroker(self.broker.bootstrap_servers), overrides=given, directory=self.folder)

    @property
    def module(self):
        return importlib.import_module(self.name)

    def committed(self):
        """Records of the prices' topic that are settled for good."""
        clients = ConfluentClients(KafkaSettings(), bootstrap_servers=self.broker.bootstrap_servers)
        admin = clients.admin()
        offsets = admin.group_offsets(self.name, 30)
        admin.close()
        return sum(said.offset for at, said in offsets.items() if at.topic == self.topics["prices"])

    def elsewhere(self, topic):
        """A process that only asks, with a reply topic of its own."""
        clients = ConfluentClients(KafkaSettings(), bootstrap_servers=self.broker.bootstrap_servers)
        admin = clients.admin()
        admin.create_topics([TopicSpec(topic, 3, 1)], 30)
        admin.close()
        requests = Requests(clients, topic)
        return Producer(clients.producer({"linger.ms": 0}), requests=requests), requests


@pytest.fixture
def shop(tmp_path, monkeypatch, broker):
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield Shop(tmp_path, broker)
    sys.path[:] = path
    for name in [name for name in sys.modules if name.startswith("askshop_")]:
        del sys.modules[name]


async def ask(app, shop, sku, topic="prices", timeout=30.0):
    producer = app.get(Producer)
    return await producer.request(
        shop.topics[topic], shop.module.PriceWanted(sku=sku), reply_type=shop.module.Price, timeout=timeout
    )


async def test_a_process_asks_and_is_answered(shop):
    async with shop.app() as app:
        price = await ask(app, shop, "chair")
        assert price == shop.module.Price(sku="chair", amount=5)
        many = await asyncio.gather(*(ask(app, shop, "x" * n) for n in range(1, 101)))
        assert [price.amount for price in many] == list(range(1, 101))
        await app.handler("quote").settled_within(101)
        assert not app.get(Requests).pending
        assert app.get(Requests).topic == f"{shop.name}.replies"
        answer = (await app.published_record(f"{shop.name}.replies")).record
        assert answer.header("ce_type") == b"price"
        assert answer.header("kb-causation-id") == answer.header("kb-correlation-id")


async def test_a_def_handler_answers_and_publishes(shop):
    async with shop.app() as app:
        price = await ask(app, shop, "lamp", "sync")
        assert price == await app.published(shop.topics["quotes"], shop.module.Price)
        threaded = await asyncio.to_thread(
            app.get(Producer).sync.request, shop.topics["sync"], shop.module.PriceWanted(sku="desk"), timeout=30.0
        )
        assert threaded == {"sku": "desk", "amount": 1}


async def test_a_handler_may_ask_another_one_while_it_answers(shop):
    async with shop.app() as app:
        asked = {"ask": shop.topics["prices"], "skus": ["a", "bb"]}
        answer = await app.get(Producer).request(shop.topics["baskets"], asked, timeout=60.0)
        assert answer == {"total": 3}


@pytest.mark.parametrize(
    ("sku", "kind", "text", "calls"),
    [("gone", "LookupError", "no such thing", 2), ("skip", "Skip", "not ours", 1)],
)
async def test_an_asker_whose_request_is_given_up_is_told_why(shop, sku, kind, text, calls):
    async with shop.app() as app:
        with pytest.raises(RequestFailedError) as caught:
            await ask(app, shop, sku)
        assert (caught.value.kind, caught.value.text) == (kind, text)
        assert caught.value.traceback == ""
        assert shop.module.CALLS.count(sku) == calls
        await app.handler("quote").settled_within(1)


async def test_an_answer_may_come_from_a_retry_topic_and_nobody_is_told_before(shop):
    later = {"attempts": 1, "topics": "200ms"}
    retry = {f"kafkaboot.retry.later.{name}": value for name, value in later.items()}
    retry["kafkaboot.handlers.quote.retry"] = "later"
    async with shop.app(**retry) as app:
        assert await ask(app, shop, "once") == shop.module.Price(sku="once", amount=4)
        assert shop.module.CALLS == ["once", "once"]
        with pytest.raises(RequestFailedError, match="no such thing"):
            await ask(app, shop, "gone")
        assert shop.module.CALLS[2:] == ["gone", "gone"]
        assert app.get(Requests).late == 0


async def test_what_cannot_be_decoded_is_answered_as_well(shop):
    async with shop.app() as app:
        with pytest.raises(RequestFailedError, match="sku") as caught:
            await app.get(Producer).request(shop.topics["prices"], {"wrong": 1}, timeout=30.0)
        assert caught.value.kind == "UndecodableError"


async def test_an_answer_that_is_too_large_is_told_and_its_request_settled(shop):
    async with shop.app() as app:
        with pytest.raises(RequestFailedError, match="too large"):
            await ask(app, shop, "huge")
        await app.handler("quote").settled_within(1)


async def test_an_answer_that_comes_too_late_is_dropped_and_counted(shop):
    async with shop.app() as app:
        await ask(app, shop, "warm")
        with pytest.raises(RequestTimeoutError, match=r"the request stands in .*prices\[\d\]@\d"):
            await ask(app, shop, "slow", timeout=0.5)
        shop.module.GATE.set()
        await eventually_async(lambda: app.get(Requests).late == 1, 30, "the late answer is counted")
        assert (await ask(app, shop, "chair")).amount == 5


async def test_pending_requests_end_when_the_application_stops(shop):
    app = shop.app(kafkaboot__consumer__drain_timeout="200ms")
    async with app:
        await ask(app, shop, "warm")
        task = asyncio.create_task(ask(app, shop, "slow"))
        await eventually_async(lambda: "slow" in shop.module.CALLS, 30, "the request is being handled")
    with pytest.raises(RequestAbandonedError):
        await task


async def test_answers_go_to_the_process_that_asked_and_to_no_other(shop):
    """Three processes share one reply topic, and two of them a partition."""
    async with shop.app() as app:
        processes = [shop.elsewhere(f"{shop.name}.others") for _ in range(3)]
        try:
            answers = await asyncio.gather(
                *(
                    producer.request(shop.topics["prices"], shop.module.PriceWanted(sku="x" * n), timeout=60.0)
                    for n in range(1, 31)
                    for producer, _ in [processes[n % 3]]
                )
            )
            assert [answer["amount"] for answer in answers] == list(range(1, 31))
            assert [requests.late for _, requests in processes] == [0, 0, 0]
        finally:
            for producer, requests in processes:
                await producer.close()
                requests.close()
        assert not app.get(Requests).pending


async def test_a_request_of_spring_kafka_is_answered_in_its_own_headers(shop):
    async with shop.app() as app:
        await ask(app, shop, "warm")  # it makes the reply topic
        producer = Bare({"bootstrap.servers": shop.broker.bootstrap_servers})
        headers = [
            ("kafka_replyTopic", f"{shop.name}.replies".encode()),
            ("kafka_replyPartition", struct.pack(">i", 0)),
            ("kafka_correlationId", b"\x01\x02\xff"),
        ]
        producer.produce(shop.topics["prices"], b'{"sku":"java"}', headers=headers)
        producer.flush(30)
        found = await app.published_record(f"{shop.name}.replies", where=lambda value: b"java" in (value or b""))
        assert found.record.header("kafka_correlationId") == b"\x01\x02\xff"
        assert found.record.partition == 0


async def test_a_record_that_nobody_asked_with_is_handled(shop, caplog):
    async with shop.app() as app:
        for n in range(3):
            await app.publish(shop.topics["prices"], shop.module.PriceWanted(sku=f"n{n}"))
        await app.handler("quote").settled_within(3)
        assert caplog.text.count("do not say where the answer is to go") == 1


async def test_a_reply_topic_that_anybody_wrote_into_a_header_keeps_no_partition(shop, caplog):
    async with shop.app() as app:
        headers = {"kb-reply-topic": "nobody.has.this", "kb-reply-partition": "77", "kb-request-id": "x"}
        await app.publish(shop.topics["prices"], shop.module.PriceWanted(sku="a"), headers=headers)
        headers["kb-reply-topic"] = shop.topics["quotes"]
        await app.publish(shop.topics["prices"], shop.module.PriceWanted(sku="b"), headers=headers)
        await app.handler("quote").settled_within(2)
        await eventually_async(lambda: "is dropped" in caplog.text, 60, "the answers are given up")
        await eventually_async(lambda: shop.committed() == 2, 60, "both requests are settled, and committed")


async def test_configured_requests_are_ready_when_the_application_has_started(shop, tmp_path):
    async with shop.app(kafkaboot__requests__topic=f"{shop.name}.mine") as app:
        requests = app.get(Requests)
        assert requests.topic == f"{shop.name}.mine"
        assert requests._opened.done()
        assert (await ask(app, shop, "chair")).amount == 5


@pytest.mark.parametrize("broker", ["restarted"], indirect=True)
async def test_requests_outlast_a_broker_that_is_restarted_while_they_are_made(shop):
    async with shop.app() as app:
        await ask(app, shop, "warm")
        over = asyncio.Event()

        async def keep_asking(number):
            asked = 0
            while not over.is_set():
                sku = f"{number}-{'x' * (asked % 20)}"
                assert await ask(app, shop, sku, timeout=90.0) == shop.module.Price(sku=sku, amount=len(sku))
                asked += 1
            return asked

        tasks = [asyncio.create_task(keep_asking(number)) for number in range(8)]
        for _ in range(2):
            before = len(shop.module.CALLS)
            await eventually_async(lambda so=before: len(shop.module.CALLS) > so + 50, 60, "requests are handled")
            await asyncio.to_thread(shop.broker.stop)
            await asyncio.to_thread(shop.broker.start)
        before = len(shop.module.CALLS)
        await eventually_async(lambda: len(shop.module.CALLS) > before + 50, 60, "requests are handled again")
        over.set()
        assert min(await asyncio.gather(*tasks)) > 0
        assert not app.get(Requests).pending
