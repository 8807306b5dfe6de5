from __future__ import annotations

from kafkaboot.boot.application import Application
from kafkaboot.boot.facts import Narrator
from kafkaboot.boot.wiring.topics import TopicCheck
from kafkaboot.client import TopicInfo, TopicSpec
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.config import Configuration
from kafkaboot.health import HealthIndicator, Status
from kafkaboot.topics import MissingTopicError, TopicUse

NOTHING = Configuration([])
USES = [TopicUse("orders", "handler bill takes it", "shop/handlers.py:21")]


class Cluster:
    """A client factory and its admin client in one."""

    def __init__(self):
        self.created, self.closed = [], 0

    def admin(self):
        return self

    def topics(self, timeout):
        return {spec.name: TopicInfo(spec.name, 1) for spec in self.created}

    def create_topics(self, specs, timeout):
        self.created += specs

    def close(self):
        self.closed += 1


class Desk:
    kind, bootstrap_servers = "local", "127.0.0.1:1"


def failing(check):
    try:
        check.run(USES)
    except MissingTopicError:
        return True
    return False


def test_auto_creates_on_a_broker_of_the_desk_and_validates_on_an_external_one():
    external, desk = Cluster(), Cluster()

    assert failing(TopicCheck(external, KafkaSettings(), {}, None, NOTHING))
    assert TopicCheck(desk, KafkaSettings(), {}, Desk(), NOTHING).run(USES) == ["orders"]
    assert desk.created == [TopicSpec("orders", -1, 1)]
    assert (external.closed, desk.closed) == (1, 1)


def test_what_the_configuration_says_about_topics_wins():
    external, desk, silent = Cluster(), Cluster(), Cluster()

    assert TopicCheck(external, KafkaSettings(topics="create"), {}, None, NOTHING).run(USES) == ["orders"]
    assert failing(TopicCheck(desk, KafkaSettings(topics="validate"), {}, Desk(), NOTHING))
    assert TopicCheck(silent, KafkaSettings(topics="off"), {}, None, NOTHING).run(USES) == []
    assert silent.closed == 0


def test_the_same_application_runs_on_the_embedded_broker_with_no_more_than_a_key(shop):
    (shop.package / "clients.py").unlink()
    shop.handlers(
        """
        import os, signal

        SEEN = []

        class Order(BaseModel):
            order_id: str

        @component
        class Shelf:
            @publisher("invoices", key="order_id")
            async def note(self, order: Order) -> Order:
                return order

        @component
        class Feed:
            def __init__(self, producer: Producer) -> None:
                self.producer = producer

            @on_start
            async def feed(self):
                await self.producer.publish("orders", Order(order_id="o-1"), key="o-1")

        @event_handler("orders")
        async def bill(order: Order, shelf: Shelf) -> None:
            await shelf.note(order)

        @event_handler("invoices")
        def end(order: Order, key: "Annotated[str, Key()]") -> None:
            SEEN.append((order.order_id, key))
            os.kill(os.getpid(), signal.SIGTERM)

        from typing import Annotated
        """
    )
    heard = Heard()
    application = Application(directory=shop.folder, environ={}, overrides=["kafkaboot.kafka.broker=embedded"])
    application.narrator = heard
    heard.application = application

    assert application.run() == 0
    assert shop.module("handlers").SEEN == [("o-1", "o-1")]
    assert heard.broker.startswith("embedded: ")
    assert heard.health == {"circuits", "consumer", "dead-letters", "producer", "requests"}
    assert all(tally.handled == 1 for tally in heard.tallies)


class Heard(Narrator):
    def ready(self, ready):
        self.broker = ready.broker
        indicators = self.application.blueprint.container.all(HealthIndicator)
        assert all(indicator.health().status in set(Status) for indicator in indicators)
        self.health = {indicator.name for indicator in indicators}

    def stopped(self, stopped):
        self.tallies = stopped.tallies

    def failed(self, found, error):
        raise error
