"""Header names of other frameworks: dead letters (Spring's are written, others only read), requests."""

from __future__ import annotations

SPRING_REPLY_TOPIC = "kafka_replyTopic"
SPRING_REPLY_PARTITION = "kafka_replyPartition"
SPRING_CORRELATION_ID = "kafka_correlationId"
"""Of a request of Spring Kafka's ReplyingKafkaTemplate: the topic in UTF-8, the partition as a big-endian int of 4
bytes, and bytes that the answer carries under the same name."""

SPRING_ORIGINAL_TOPIC = "kafka_dlt-original-topic"
SPRING_ORIGINAL_PARTITION = "kafka_dlt-original-partition"
SPRING_ORIGINAL_OFFSET = "kafka_dlt-original-offset"
SPRING_ORIGINAL_TIMESTAMP = "kafka_dlt-original-timestamp"
SPRING_ORIGINAL_TIMESTAMP_TYPE = "kafka_dlt-original-timestamp-type"
SPRING_GROUP = "kafka_dlt-original-consumer-group"
SPRING_EXCEPTION = "kafka_dlt-exception-fqcn"
SPRING_CAUSE = "kafka_dlt-exception-cause-fqcn"
SPRING_MESSAGE = "kafka_dlt-exception-message"
SPRING_TRACEBACK = "kafka_dlt-exception-stacktrace"
SPRING_KEY_EXCEPTION = "kafka_dlt-key-exception-fqcn"
SPRING_KEY_MESSAGE = "kafka_dlt-key-exception-message"
SPRING_KEY_TRACEBACK = "kafka_dlt-key-exception-stacktrace"
"""Spring Kafka's `KafkaHeaders.DLT_*`, as its DeadLetterPublishingRecoverer writes them: names and texts in UTF-8, the
partition as a big-endian int of 4 bytes, offset and timestamp as big-endian ints of 8 bytes."""

SPRING_FAILURE_HEADERS = frozenset(
    {
        SPRING_ORIGINAL_TOPIC,
        SPRING_ORIGINAL_PARTITION,
        SPRING_ORIGINAL_OFFSET,
        SPRING_ORIGINAL_TIMESTAMP,
        SPRING_ORIGINAL_TIMESTAMP_TYPE,
        SPRING_GROUP,
        SPRING_EXCEPTION,
        SPRING_CAUSE,
        SPRING_MESSAGE,
        SPRING_TRACEBACK,
        SPRING_KEY_EXCEPTION,
        SPRING_KEY_MESSAGE,
        SPRING_KEY_TRACEBACK,
    }
)

SMALLRYE_TOPIC = "dead-letter-topic"
SMALLRYE_PARTITION = "dead-letter-partition"
SMALLRYE_OFFSET = "dead-letter-offset"
SMALLRYE_REASON = "dead-letter-reason"
SMALLRYE_EXCEPTION = "dead-letter-exception-class-name"
SMALLRYE_CAUSE = "dead-letter-cause"
SMALLRYE_CAUSE_EXCEPTION = "dead-letter-cause-class-name"
"""SmallRye Reactive Messaging's (Quarkus), all text."""

SMALLRYE_FAILURE_HEADERS = frozenset(
    {
        SMALLRYE_TOPIC,
        SMALLRYE_PARTITION,
        SMALLRYE_OFFSET,
        SMALLRYE_REASON,
        SMALLRYE_EXCEPTION,
        SMALLRYE_CAUSE,
        SMALLRYE_CAUSE_EXCEPTION,
    }
)

STREAM_TOPIC = "x-original-topic"
STREAM_PARTITION = "x-original-partition"
STREAM_OFFSET = "x-original-offset"
STREAM_TIMESTAMP = "x-original-timestamp"
STREAM_TIMESTAMP_TYPE = "x-original-timestamp-type"
STREAM_EXCEPTION = "x-exception-fqcn"
STREAM_MESSAGE = "x-exception-message"
STREAM_TRACEBACK = "x-exception-stacktrace"
"""Spring Cloud Stream's Kafka binder; numbers are binary as Spring Kafka's are."""

STREAM_FAILURE_HEADERS = frozenset(
    {
        STREAM_TOPIC,
        STREAM_PARTITION,
        STREAM_OFFSET,
        STREAM_TIMESTAMP,
        STREAM_TIMESTAMP_TYPE,
        STREAM_EXCEPTION,
        STREAM_MESSAGE,
        STREAM_TRACEBACK,
    }
)
