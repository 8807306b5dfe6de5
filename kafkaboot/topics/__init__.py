"""Topics as the application needs them: what the configuration says of each, and the look at start."""

from kafkaboot.topics.check import MissingTopicError, TopicUse, look_up
from kafkaboot.topics.settings import TopicSettings

__all__ = ["MissingTopicError", "TopicSettings", "TopicUse", "look_up"]
