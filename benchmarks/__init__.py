"""Side-by-side runs of kafkaboot, bare confluent-kafka and other frameworks on a real Apache Kafka."""
