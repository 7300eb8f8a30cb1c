"""How the page speaks: a language, a key and values enter, a text leaves.  Numbers too."""

import math
from collections.abc import Mapping
from typing import Final, Literal, get_args

from flukeprint.serving.page.translations import WORDING

Language = Literal["en", "es"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
NAMES: Final[Mapping[Language, str]] = {"en": "English", "es": "Español"}
_BROWSER = "browser_"


def say(language: Language, key: str, **values: str) -> str:
    """The text `key` with its placeholders filled.  Raises KeyError for an unknown key."""
    return WORDING[key][LANGUAGES.index(language)].format(**values)


def browser_words(language: Language) -> dict[str, str]:
    """The texts for the page's scripts, by key without `browser_`; placeholders stay."""
    at = LANGUAGES.index(language)
    return {
        key.removeprefix(_BROWSER): texts[at]
        for key, texts in WORDING.items()
        if key.startswith(_BROWSER)
    }


def rank_name(language: Language, rank: str) -> str:
    """The name of a taxonomic rank; one that the table does not know stays as it is."""
    key = f"rank_{rank.lower()}"
    return say(language, key) if key in WORDING else rank


def number(language: Language, value: float, digits: int = 0) -> str:
    """`1,234.5` or `1234,5`: Spanish groups five digits and more, with a narrow space."""
    text = f"{value:,.{digits}f}"
    if language == "en":
        return text
    whole, _, rest = text.partition(".")
    figures = whole.lstrip("-").replace(",", "")
    whole = whole.replace(",", "\u202f" if len(figures) > 4 else "")
    return f"{whole},{rest}" if rest else whole


def percent(language: Language, share: float, digits: int = 0) -> str:
    """A share of 0..1 as it was measured: `57.3%`, `57,3 %` with a space that does not break."""
    return f"{number(language, 100 * share, digits)}{'' if language == 'en' else chr(0xA0)}%"


def probability(language: Language, share: float) -> str:
    """A probability in whole percents; none is called 0 % or 100 %, for nothing is certain."""
    if share < 0.01:
        return "<" + percent(language, 0.01)
    if share > 0.99:
        return ">" + percent(language, 0.99)
    return percent(language, share)


def megabytes(language: Language, size: int, *, up: bool = False) -> str:
    """Bytes as mebibytes of one decimal, `20` or `0.5`; a limit is rounded down, a size `up`."""
    tenths = size * 10 / (1 << 20)
    value = (math.ceil(tenths) if up else math.floor(tenths)) / 10
    return number(language, value, 0 if value.is_integer() else 1)
