"""Texts and numbers of the page in the language of the visitor.

The texts are in `texts/`, one file a language, which a translator edits; `texts/en.yaml` explains
keys and placeholders.
"""

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args

import yaml

Language = Literal["en", "es"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
NAMES: Final[Mapping[Language, str]] = {"en": "English", "es": "Español"}
TEXTS: Final = Path(__file__).parent / "texts"
_BROWSER = "browser_"


@cache
def texts(language: Language) -> Mapping[str, str]:
    """All texts of a language by key, with their placeholders; read once, on first use."""
    content = (TEXTS / f"{language}.yaml").read_text(encoding="utf-8")
    return MappingProxyType(yaml.safe_load(content))


def translate(language: Language, key: str, **values: str) -> str:
    """The text `key` with its placeholders filled.  Raises KeyError for an unknown key."""
    return texts(language)[key].format(**values)


def browser_texts(language: Language) -> dict[str, str]:
    """The texts for the page's scripts, by key without `browser_`, placeholders not filled."""
    return {
        key.removeprefix(_BROWSER): text
        for key, text in texts(language).items()
        if key.startswith(_BROWSER)
    }


def rank_name(language: Language, rank: str) -> str:
    """The name of a taxonomic rank; a rank without a text stays as it is."""
    key = f"rank_{rank.lower()}"
    return translate(language, key) if key in texts(language) else rank


def number(language: Language, value: float, digits: int = 0) -> str:
    """A number as the language writes it: `1,234.5` or `1234,5`.

    Spanish groups the digits only of numbers of five and more, with a narrow space.
    """
    text = f"{value:,.{digits}f}"
    if language == "en":
        return text
    whole, _, rest = text.partition(".")
    figures = whole.lstrip("-").replace(",", "")
    whole = whole.replace(",", "\u202f" if len(figures) > 4 else "")
    return f"{whole},{rest}" if rest else whole


def percent(language: Language, share: float, digits: int = 0) -> str:
    """A measured share of 0..1 in percent: `57.3%`, or `57,3 %` with a no-break space."""
    return f"{number(language, 100 * share, digits)}{'' if language == 'en' else chr(0xA0)}%"


def probability(language: Language, share: float) -> str:
    """A probability in whole percent; never 0 % or 100 %, since nothing is certain."""
    if share < 0.01:
        return "<" + percent(language, 0.01)
    if share > 0.99:
        return ">" + percent(language, 0.99)
    return percent(language, share)


def megabytes(language: Language, size: int, *, up: bool = False) -> str:
    """Bytes as mebibytes of at most one decimal, such as `20` or `0.5`.

    up: rounds up, for the size of a file; limits are rounded down.
    """
    tenths = size * 10 / (1 << 20)
    value = (math.ceil(tenths) if up else math.floor(tenths)) / 10
    return number(language, value, 0 if value.is_integer() else 1)
