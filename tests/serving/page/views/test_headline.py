"""The headline over the answers: every verdict in both languages."""

import pytest

from flukeprint.serving.api.schemas import (
    Placement,
)
from flukeprint.serving.page.i18n import Language
from flukeprint.serving.page.views.answers import (
    identification_view,
)
from flukeprint.serving.page.views.headline import headline
from tests.serving.page.page_facts import (
    context,
    identification,
    new_answer,
    read,
)


def new(probability: float | None) -> dict[str, object]:
    """A verdict that the individual is new, with this probability of its one answer."""
    return {
        "verdict": "new",
        "placement": None,
        "answers": [new_answer().model_copy(update={"probability": probability})],
    }


NEW, UNLIKELY, UNMEASURED = new(0.78), new(0.03), new(None)
GENUS = Placement(rank="genus", name="Steatoda", probability=0.86)

NOT_EVEN = Placement(rank=None, name=None, probability=0.4)


@pytest.mark.parametrize(
    ("language", "changed", "line"),
    [
        ("en", {}, "Probably: common Steatoda (Steatoda nobilis)"),
        ("es", {}, "Probablemente: común Steatoda (Steatoda nobilis)"),
        ("en", {"placement": None}, "Probably: common Steatoda (Steatoda nobilis)"),
        ("en", {"placement": GENUS}, "Probably: Steatoda, species unsure"),
        ("es", {"placement": GENUS}, "Probablemente: Steatoda, especie incierta"),
        ("en", {"placement": NOT_EVEN}, "No clear answer: Unsure"),
        ("es", {"placement": NOT_EVEN}, "Sin respuesta clara: Incierto"),
        ("en", NEW, "Probably: A species that is not in this collection"),
        ("es", NEW, "Probablemente: Una especie que no está en esta colección"),
        ("en", UNLIKELY, "Perhaps: A species that is not in this collection"),
        ("es", UNLIKELY, "Quizá: Una especie que no está en esta colección"),
        ("en", UNMEASURED, "By its score: A species that is not in this collection"),
        ("es", UNMEASURED, "Según su puntuación: Una especie que no está en esta colección"),
        ("en", {"verdict": "outside"}, "This does not look like a photograph of this collection"),
        ("es", {"verdict": "outside"}, "Esto no parece una fotografía de esta colección"),
    ],
)
def test_headlines(language: Language, changed: dict[str, object], line: str):
    asked = context(language)
    found = identification(**changed)
    assert headline(asked, found).text() == line
    shown = read(identification_view(asked, found))
    for part in line.split(": ")[-1].rstrip(")").split(" ("):
        assert part in shown.replace(" ,", ",")


def test_a_threshold_that_decides_against_the_odds_is_told():
    def below(probability: float) -> str:
        return " ".join(headline(context(), identification(**new(probability))).below)

    assert "3%. Its best score is below the threshold, which decides" in below(0.03)
    assert below(0.5) == "Probability that it is not in the collection: 50%."


def test_how_sure_in_words():
    asked = context()

    def line(probability: float) -> str:
        first = identification().answers[0].model_copy(update={"probability": probability})
        return headline(asked, identification(answers=[first], placement=None)).above

    assert [line(p) for p in (0.95, 0.9, 0.6, 0.5, 0.49, 0.0)] == [
        "Very probably", "Very probably", "Probably", "Probably", "Perhaps", "Perhaps",
    ]  # fmt: skip
