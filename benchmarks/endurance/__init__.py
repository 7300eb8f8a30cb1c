"""Killed commands, mutated inputs and writers at once: `python -m benchmarks.endurance`."""
