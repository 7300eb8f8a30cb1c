"""What a photograph's record holds that a format has no room for, as JSON beside the format."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flukeprint.data.exchange.camtrap.data_package import leads_out
from flukeprint.data.exchange.observed import ObservedPhoto

FIELDS = tuple(field.name for field in fields(ObservedPhoto))
_NUMBERS = ("latitude", "longitude", "uncertainty", "probability", "confidence")


def details_of(
    photo: ObservedPhoto, back: ObservedPhoto, relative: Callable[[Path | None], str | None]
) -> Mapping[str, Any]:
    """What `back`, read again from a format, tells otherwise than the photograph written to it.

    relative: the name of a file that the format may give; None for what has none.
    """
    details = {}
    for name in FIELDS:
        value, found = getattr(photo, name), getattr(back, name)
        if name == "path" and value != found:
            value, found = relative(value), relative(found)
        if value != found:
            details[name] = value
    return details


def detail_in(name: str, value: Any, root: Path) -> Any:
    """A field's value from its JSON; root: the folder where names of files begin.

    Raises ValueError, TypeError or OverflowError for what may not stand there.
    """
    if name not in FIELDS:
        raise ValueError(f"{name} is no field")
    if value is None:
        if name in ("image", "machine"):
            raise ValueError(f"{name} is needed")
        return None
    if name == "box":
        return tuple(float(edge) for edge in value)
    if name == "machine":
        return bool(value)
    if name in _NUMBERS:
        if isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"{value!r} is no number")
        return float(value)
    if not isinstance(value, str) or (name == "path" and leads_out(value)):
        raise ValueError(f"{value!r} is no text that may stand there")
    return root / value if name == "path" else value
