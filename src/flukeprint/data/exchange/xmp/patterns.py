"""Patterns of hierarchical keywords: `Animals|Leopard|{identity}` names the animal's level.

Levels are separated by `|`; `*` is any text of a level.  Case does not matter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flukeprint.errors import FlukeprintError, nearest

FIELDS = ("identity", "sex", "view", "species", "place", "observer", "life_stage", "occasion")
DEFAULTS = (
    "Animals|*|{identity}", "Animal|*|{identity}", "Individual|{identity}",
    "Individuals|{identity}", "Sex|{sex}", "View|{view}", "Species|{species}",
    "Life stage|{life_stage}",
)  # fmt: skip
# By which keywords are written; `DEFAULTS` read them.
WRITTEN = {
    "identity": "Individual", "sex": "Sex", "view": "View", "species": "Species",
    "life_stage": "Life stage",
}  # fmt: skip
_PART = re.compile(r"\{(\w*)\}|(\*)|([^{}*]+)|(.)", re.DOTALL)
Keyword = tuple[str, ...]  # its levels, wide to narrow


@dataclass(frozen=True)
class KeywordPattern:
    """One pattern; levels: a regular expression each."""

    text: str
    levels: tuple["re.Pattern[str]", ...]

    def match(self, keyword: Keyword) -> dict[str, str] | None:
        """Field -> its text in a keyword; None where the pattern does not fit."""
        if len(keyword) != len(self.levels):
            return None
        found: dict[str, str] = {}
        for level, words in zip(self.levels, keyword, strict=True):
            fits = level.fullmatch(words)
            if fits is None:
                return None
            found |= fits.groupdict()
        return found


def keyword_patterns(texts: Sequence[str]) -> tuple[KeywordPattern, ...]:
    """Read patterns; the usual ones where there are none.

    Raises:
        FlukeprintError: an unknown field, none or one twice, an empty level, or a stray brace.
    """
    return tuple(_pattern(text) for text in texts or DEFAULTS)


def _pattern(text: str) -> KeywordPattern:
    where = f"pattern of keywords {text!r}"
    names: list[str] = []
    levels = []
    for level in text.split("|"):
        if not level.strip():
            raise FlukeprintError(f"{where} has an empty level; write Animals|Leopard|{{identity}}")
        parts = []
        for name, star, plain, stray in _PART.findall(level.strip()):
            if stray or (not star and not plain and not name):
                raise FlukeprintError(f"{where} has a stray brace; fields are written {{identity}}")
            if name:
                if name not in FIELDS:
                    raise FlukeprintError(f"{where}: no field {name}; {nearest(name, FIELDS)}")
                names.append(name)
                parts.append(f"(?P<{name}>.+)")
            else:
                parts.append(".*" if star else re.escape(plain))
        if len(set(names)) < len(names):
            raise FlukeprintError(f"{where} has a field twice; keep one")
        levels.append(re.compile("".join(parts), re.IGNORECASE | re.DOTALL))
    if not names:
        raise FlukeprintError(f"{where} names no field; one level is {{identity}} or another field")
    return KeywordPattern(text, tuple(levels))
