"""What every refusal of a user's mistake must be: one line with the words that help."""

from collections.abc import Callable
from typing import Any

import pytest

from flukeprint.errors import FlukeprintError


def refused(call: Callable[[], Any], *words: str) -> FlukeprintError:
    """The error that `call` raises; its message is one line and holds all `words`."""
    with pytest.raises(FlukeprintError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return caught.value
