"""The engine: MiniStack with a queue, a journal and fast workers; how it starts and stops; its health."""
