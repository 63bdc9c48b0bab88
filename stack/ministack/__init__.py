"""MiniStack with what it lacks: a queue, a journal of what it has acknowledged, fast workers, and a debugger."""

STORAGE = "/_stack/storage"  # where the engine says why it can store nothing
