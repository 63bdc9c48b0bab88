"""The engine: MiniStack with a queue before it, and the look at any engine's health."""
