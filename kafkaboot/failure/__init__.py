"""What becomes of a record whose handler raises."""
