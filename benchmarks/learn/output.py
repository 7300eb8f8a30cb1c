"""Writes what the teaching scripts find: figures as JSON, and each picture in both languages."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.harness.places import RESULTS, ROOT
from flukeprint.files import written_whole

FIGURES = RESULTS / "learn"
PICTURES = ROOT / "docs" / "learn"
LANGUAGES = ("en", "es")
DPI, COLOURS = 100, 96
Words = Mapping[str, str]  # what is written in a picture, in one language
SAME, OTHER, THIRD = "#1b6ca8", "#d1602b", "#5a8f3c"

plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})


def keep_figures(name: str, figures: Mapping[str, Any]) -> None:
    """Write `benchmarks/results/learn/NAME.json`, numbers rounded to five digits, and say them."""
    text = json.dumps(_rounded(figures), indent=1, ensure_ascii=False) + "\n"
    FIGURES.mkdir(parents=True, exist_ok=True)
    with written_whole(FIGURES / f"{name}.json") as path:
        path.write_text(text, encoding="utf-8")
    print(text, end="")


def draw(name: str, words: Mapping[str, Words], drawn: Callable[[Words], Figure]) -> None:
    """Draw `docs/learn/NAME.png` and `NAME.es.png`: one drawing with the words of each language."""
    if set(words) != set(LANGUAGES) or len({frozenset(table) for table in words.values()}) != 1:
        raise ValueError(f"{name} needs the same words in {LANGUAGES}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for language in LANGUAGES:
        figure = drawn(words[language])
        memory = io.BytesIO()
        figure.savefig(memory, format="png", dpi=DPI)
        plt.close(figure)
        suffix = "" if language == "en" else f".{language}"
        # A palette of few colours makes the file some three times as small.
        image = Image.open(memory).convert("RGB").quantize(COLOURS)
        with written_whole(PICTURES / f"{name}{suffix}.png") as path:
            image.save(path, format="png", optimize=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value
