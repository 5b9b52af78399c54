"""Walking robots, many at once: one model's states stepped in C threads, everything else in whole arrays."""
