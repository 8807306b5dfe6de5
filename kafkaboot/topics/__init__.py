"""Topics as the application needs them: what the configuration says of each, the plan, and the look at start."""

from kafkaboot.topics.carry_out import Outcome, carry_out
from kafkaboot.topics.check import look_up
from kafkaboot.topics.hold import hold, told
from kafkaboot.topics.plan import Difference, Plan, Step, Unseen, draw
from kafkaboot.topics.settings import TopicSettings
from kafkaboot.topics.uses import MissingTopicError, TopicUse, UnfitTopicError
from kafkaboot.topics.wanted import Wanted, wanted_topics

__all__ = [
    "Difference",
    "MissingTopicError",
    "Outcome",
    "Plan",
    "Step",
    "TopicSettings",
    "TopicUse",
    "UnfitTopicError",
    "Unseen",
    "Wanted",
    "carry_out",
    "draw",
    "hold",
    "look_up",
    "told",
    "wanted_topics",
]
