"""Kafka on librdkafka, by confluent-kafka. Nothing else in the house imports it."""
