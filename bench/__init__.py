"""The benchmark: see scripts/bench.py."""
