"""How an animal was named, in the words that Camtrap DP's own mapping to Darwin Core puts it."""

import re
from decimal import Decimal

from flukeprint.data.exchange.observed import ObservedPhoto

_WORDS = re.compile(r"classified by a (human|machine)(?: with (\d+(?:\.\d+)?)% certainty)?")


def certainty_in(text: str | None) -> tuple[bool, float | None]:
    """Whether a machine named it, and how sure, 0 to 1, as far as the text says."""
    found = _WORDS.fullmatch((text or "").strip())
    if found is None:
        return False, None
    share = None if found[2] is None else float(Decimal(found[2]) / 100)
    return found[1] == "machine", share if share is not None and share <= 1 else None


def certainty_text(photo: ObservedPhoto) -> str:
    """Who named it and how sure: of the name, or that there is an animal where it has none."""
    share = photo.confidence if photo.identity is None else photo.probability
    if not photo.machine and photo.by is None and photo.identity is None and share is None:
        return ""
    text = f"classified by a {'machine' if photo.machine else 'human'}"
    if share is None or not 0 <= share <= 1:
        return text
    return f"{text} with {(Decimal(repr(float(share))) * 100).normalize():f}% certainty"
