"""How thoroughly random tests look: `FLUKEPRINT_THOROUGH=5 make test` tries five times as much."""

import os

_TIMES = int(os.environ.get("FLUKEPRINT_THOROUGH", "1"))


def examples(number: int) -> int:
    """Examples of a random test that takes long, times what was asked for."""
    return number * _TIMES
