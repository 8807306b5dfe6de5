from __future__ import annotations

import pytest
from pydantic import ValidationError

from kafkaboot.failure.dead_letter_settings import DeadLetterSettings


def test_the_defaults_make_one_topic_a_source_and_group():
    settings = DeadLetterSettings()
    assert settings.topic_for("orders", "shop") == "orders.shop.dlt"
    assert (settings.dialect, settings.partition, settings.traceback_size) == ("kafkaboot", "same", 8192)


@pytest.mark.parametrize("pattern", ["dead", "{topic}-dlt", "dlt.{group}", "{group}.{topic}"])
def test_a_pattern_may_leave_a_placeholder_out(pattern):
    expected = pattern.replace("{topic}", "t").replace("{group}", "g")
    assert DeadLetterSettings(topic=pattern).topic_for("t", "g") == expected


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{topic}", "the record's own topic"),
        ("", "the record's own topic"),
        ("{topics}.dlt", "did you mean {topic}?"),
        ("{topic}.{handler}", "which nothing fills"),
        ("{}.dlt", "which nothing fills"),
        ("{topic!r}.dlt", "which nothing fills"),
        ("{topic:>9}.dlt", "which nothing fills"),
        ("{topic.dlt", "cannot be read"),
        ("{topic} dlt", "letters, digits"),
        ("{topic}/dlt", "letters, digits"),
        ("{{topic}}", "letters, digits"),
    ],
)
def test_a_pattern_that_makes_no_topic_is_refused_with_what_to_write(pattern, said):
    with pytest.raises(ValidationError, match=said.replace("{", r"\{").replace("?", r"\?")):
        DeadLetterSettings(topic=pattern)


@pytest.mark.parametrize(
    "wrong", [{"dialect": "quarkus"}, {"partition": "0"}, {"traceback-size": "-1"}, {"topik": "x"}]
)
def test_unknown_words_are_refused(wrong):
    with pytest.raises(ValidationError):
        DeadLetterSettings.model_validate(wrong)


def test_a_size_is_written_as_people_write_it():
    assert DeadLetterSettings.model_validate({"traceback-size": "2KB"}).traceback_size == 2048
