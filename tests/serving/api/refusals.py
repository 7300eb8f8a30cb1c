"""Limits for tests of uploads, and the HTTP status that a call leads to."""

from collections.abc import Callable
from typing import Any

from flukeprint.config.schema import ServeConfig
from flukeprint.serving.api.problems import RefusedError

LIMITS = ServeConfig(photo_bytes=4096, photos=3, photo_pixels=10_000)


def status_of(act: Callable[[], Any]) -> int:
    try:
        act()
    except RefusedError as error:
        return error.status
    return 200
