"""Programs about the desk: the embedded broker, and `kafkaboot new` and `dev`. They bring their own broker."""
