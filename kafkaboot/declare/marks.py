"""The attributes that decorators write, and what stands in those of classes."""

from __future__ import annotations

from dataclasses import dataclass

HANDLER = "__kafkaboot_handler__"
PUBLISHERS = "__kafkaboot_publishers__"
COMPONENT = "__kafkaboot_component__"
EVENT = "__kafkaboot_event__"
SETTINGS = "__kafkaboot_settings__"
HOOK = "__kafkaboot_hook__"
LETTERS = "__kafkaboot_letters__"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a class's decorator said. The class itself is left out: `@dataclass(slots=True)` above makes another one."""

    where: str
    name: str = ""
    version: int = 1
    primary: bool = False
