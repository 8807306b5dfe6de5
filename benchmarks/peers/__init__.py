"""Other frameworks, each used as its own documentation shows, counting as kafkaboot's handlers do."""
