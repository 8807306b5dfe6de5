"""The best honest loops with confluent-kafka alone."""
