"""The writer of dead letters: `kafkaboot.dead-letter`."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_handlers, on_missing
from kafkaboot.boot.desk import DeskBroker
from kafkaboot.client import ClientFactory
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.clock import Clock
from kafkaboot.failure import DeadLetters, DeadLetterSettings, LetterFunction, LetterTopics
from kafkaboot.topics import TopicSettings

STOP_LIMIT = 30.0
"""Seconds; the writer's own limits for flushing and for telling are what end its close."""


def dead_letters(
    clients: ClientFactory,
    settings: DeadLetterSettings,
    kafka: KafkaSettings,
    topics: dict[str, TopicSettings] | None,
    broker: DeskBroker | None,
    functions: list[LetterFunction],
    clock: Clock | None,
) -> DeadLetters:
    """The writer that all handlers share; it stops behind the groups, so that no letter comes after it."""
    made_at_need = LetterTopics(clients, topics or {}, single_broker=broker is not None)
    creates = kafka.topics in {"auto", "create"}
    made = DeadLetters(clients, settings, topics=made_at_need if creates else None, clock=clock)
    made.announcements.functions = functions
    return made


DEAD_LETTERS = AutoConfiguration(
    "dead-letter",
    sections={"dead-letter": DeadLetterSettings},
    when=(on_handlers(),),
    offers=(
        Offer(
            dead_letters,
            when=(on_missing(DeadLetters),),
            starts=(DeadLetters.start,),
            stops=(lambda made: made.close(),),
            timeout=STOP_LIMIT,
        ),
    ),
    after=("kafka", "topics", "producer"),
)
