"""One file a room: its settings bound, its conditions, what it offers to the container."""
