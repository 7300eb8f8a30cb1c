"""Writes `docs/learn.md` and `docs/learn.es.md` from their texts and the measured figures.

`python -m benchmarks.learn.page` puts the figures of `benchmarks/results/learn/` in the place of
`{{FILE.KEY:FORMAT}}` in `benchmarks/learn/learn.en.md` and `learn.es.md`, so that a figure on a
page is the figure that was measured.
"""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.harness.arguments import options
from benchmarks.harness.places import BENCHMARKS, ROOT
from benchmarks.learn.output import FIGURES, LANGUAGES
from flukeprint.files import written_whole

PLACE = re.compile(r"\{\{([^:{}]+):([^{}]*)\}\}")
PAGES = {"en": ROOT / "docs" / "learn.md", "es": ROOT / "docs" / "learn.es.md"}


def template(language: str) -> str:
    """The text of a language, without figures."""
    return (BENCHMARKS / "learn" / f"learn.{language}.md").read_text(encoding="utf-8")


def places(text: str) -> list[tuple[str, str]]:
    """The (FILE.KEY, FORMAT) of every figure in a text, in order."""
    return PLACE.findall(text)


def figure(name: str, folder: Path = FIGURES) -> Any:
    """The figure FILE.KEY.KEY; KeyError where there is none."""
    file, *keys = name.split(".")
    value = json.loads((folder / f"{file}.json").read_text(encoding="utf-8"))
    for key in keys:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def written(value: Any, form: str, language: str) -> str:
    """A figure as a language writes it: in Spanish 38.3 % and 4000 for 38.3% and 4,000."""
    text = format(value, form)
    if language == "es" and not isinstance(value, str):
        text = text.replace(",", "").replace("%", "&nbsp;%")
    return text


def rendered(language: str, folder: Path = FIGURES) -> str:
    """A page with its figures."""
    return PLACE.sub(
        lambda found: written(figure(found[1], folder), found[2], language), template(language)
    )


def main() -> None:
    options("learn.page", __doc__).parse_args()
    for language in LANGUAGES:
        with written_whole(PAGES[language]) as path:
            path.write_text(rendered(language), encoding="utf-8")


if __name__ == "__main__":
    main()
