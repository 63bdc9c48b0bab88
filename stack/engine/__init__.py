"""Start, stop and look at the engine, in Docker Compose and without."""
