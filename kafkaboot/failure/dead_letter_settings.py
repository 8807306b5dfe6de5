"""`kafkaboot.dead-letter`."""

from __future__ import annotations

import re
from string import Formatter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kafkaboot.config import Size, kebab, nearest
from kafkaboot.topics import naming

PLACEHOLDERS = ("topic", "group")
_LEGAL = re.compile(r"[a-zA-Z0-9._-]*")


class DeadLetterSettings(BaseModel):
    """Where records go that their handlers give up, and what is written on them."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    topic: str = Field(
        naming.DEAD_LETTER, description="The letters' topic; {topic} is the record's, {group} the consumer group."
    )
    dialect: Literal["kafkaboot", "spring"] = Field(
        "kafkaboot", description="Names and forms of the headers; both are read."
    )
    partition: Literal["same", "any"] = Field(
        "same", description="`same`: the number of the record's own partition; `any`: chosen by its key."
    )
    traceback_size: Size = Field(8192, description="The end of a traceback that a letter carries, in bytes.")

    @field_validator("topic")
    @classmethod
    def _makes_another_topic(cls, pattern: str) -> str:
        try:
            parts = list(Formatter().parse(pattern))
        except ValueError as error:
            raise ValueError(f"{pattern!r} cannot be read: {error}; write it like {naming.DEAD_LETTER!r}") from error
        for text, name, form, conversion in parts:
            if not _LEGAL.fullmatch(text):
                raise ValueError(f"{pattern!r}: a topic's name has letters, digits, dots, dashes and underscores only")
            if name is not None and (name not in PLACEHOLDERS or form or conversion):
                near = nearest(name, PLACEHOLDERS)
                advice = f"did you mean {{{near}}}?" if near and near != name else "there are {topic} and {group}"
                raise ValueError(f"{pattern!r} has the placeholder {{{name}}}, which nothing fills; {advice}")
        if pattern in {"", "{topic}"}:
            raise ValueError(
                f"{pattern!r} is the record's own topic: its handler would take the letter and fail on it again; "
                f"write it like {naming.DEAD_LETTER!r}"
            )
        return pattern

    def topic_for(self, source: str, group: str) -> str:
        """The topic of the letters of one group for one topic."""
        return naming.dead_letter(source, group, self.topic)
