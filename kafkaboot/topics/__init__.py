"""Topics as the application needs them: what the configuration says of each, and the look at start."""

from kafkaboot.topics.check import look_up
from kafkaboot.topics.settings import TopicSettings
from kafkaboot.topics.uses import MissingTopicError, TopicUse, UnfitTopicError

__all__ = ["MissingTopicError", "TopicSettings", "TopicUse", "UnfitTopicError", "look_up"]
