"""Answers as HTML: photographs, scores, cards and warnings, nothing read as markup."""

import re

import htpy
import pytest

from flukeprint.serving.api.schemas import (
    ClassInfo,
    Identification,
    Similar,
    SimilarPhoto,
    Verification,
)
from flukeprint.serving.page.i18n import Language
from flukeprint.serving.page.views.answers import (
    candidates_view,
    identification_view,
    similar_view,
    verification_view,
)
from flukeprint.serving.page.views.class_card import card_view, styled_name
from flukeprint.serving.page.views.gallery import map_photo
from flukeprint.serving.page.views.headline import headline
from flukeprint.serving.page.views.problems import (
    Withheld,
    problem_view,
)
from tests.serving.page.page_facts import (
    classes,
    context,
    context_of,
    elements,
    identification,
    map_points,
    new_answer,
    read,
    text_of,
    with_class,
)


def test_individuals_without_cards_or_probabilities():
    asked = context(cards=False, calibrated=False, thumbnails=False)
    bare = [each.model_copy(update={"probability": None}) for each in identification().answers]
    found = identification(answers=bare, placement=None, probability_unknown=None)
    assert headline(asked, found).text() == "The nearest: class_0"
    content = identification_view(asked, found)
    shown = read(content)
    assert "probability" not in shown
    assert "score 0.90" in shown
    assert not with_class(content, "bar")
    assert not list(elements(content, "img"))
    similar = Similar(photo=3, identity="class_1", similar=[])
    assert not list(elements(similar_view(asked, similar), "img"))
    new = identification(
        verdict="new", placement=None, probability_unknown=None,
        answers=[new_answer().model_copy(update={"probability": None})],
    )  # fmt: skip
    assert (
        headline(asked, new).text() == "By its score: An individual that is not in this collection"
    )


def test_five_answers_with_scores_photographs_and_cards():
    content = identification_view(context("es"), identification(photos=3))
    shown = read(content)
    assert "La respuesta a 3 fotografías de un encuentro" in shown
    for text in ("probabilidad 83\u00a0%", "probabilidad <1\u00a0%"):
        assert text.replace("\u00a0", " ") in shown
    assert "puntuación" not in shown  # one scale is enough
    for text in ("común Steatoda", "en casas", "Familia", "Sin importancia médica"):
        assert text in shown
    images = list(elements(content, "img"))
    assert [one.get("src") for one in images] == [f"/v1/photos/{i}" for i in range(6)]
    assert all(one.get("alt") for one in images)
    cards = list(elements(content, "details"))
    assert ["open" in one.attrib for one in cards] == [True, False, False]
    shares = [one.get("value") for one in with_class(content, "bar")]
    assert shares == ["0.8300", "0.0900", "0.0040"]


def test_a_new_individual_has_no_photograph():
    found = identification(
        verdict="new", unknown=True, answers=[new_answer(), *identification().answers[:2]]
    )
    content = identification_view(context(), found)
    (first,) = elements(content, id="answer-1")
    assert "Not in this collection" in read(first)
    assert "probability 78%" in read(first)
    assert not list(elements(first, "img"))


def test_outside_tells_no_probabilities():
    answers = [each.model_copy(update={"probability": None}) for each in identification().answers]
    found = identification(
        verdict="outside", closeness=0.22, answers=answers, probability_unknown=None, placement=None
    )
    shown = read(identification_view(context(), found))
    assert "%" not in shown
    assert "None of them is likely" in shown
    assert "is 0.22; photographs of this kind reach 0.31 or more" in shown


def test_a_dangerous_answer_is_warned_of_once_and_a_likely_second_too():
    warning = "seek medical help and do not rely on it"
    assert text_of(identification_view(context(), identification())).count(warning) == 1
    first, second, third = identification().answers
    swapped = [
        second.model_copy(update={"probability": 0.6}),
        first.model_copy(update={"probability": 0.3}),
        third,
    ]
    content = identification_view(context(), identification(answers=swapped))
    box = with_class(content, "medical-yes")[0]
    assert "Steatoda nobilis" in read(box)
    unlikely = [swapped[0], swapped[1].model_copy(update={"probability": 0.02}), third]
    assert warning not in above_the_list(identification(answers=unlikely))
    # As probable as the first one, so perhaps likelier than it.
    new = new_answer().model_copy(update={"probability": 0.02})
    assert warning in above_the_list(identification(answers=[new, *unlikely[1:]]))
    assert warning not in above_the_list(identification(answers=[new_answer(), *unlikely[1:]]))


def above_the_list(found: Identification) -> str:
    content = identification_view(context(), found)
    return str(htpy.fragment[content]).partition("<ol")[0]


HOSTILE = "<img src=x onerror=alert(1)>javascript:'\"&"


def test_names_are_text_and_addresses_are_made_of_numbers():
    """No name is read as markup, and no address holds anything that came with an answer."""
    hostile = ClassInfo(identity=HOSTILE, photos=1, photo=0, card=None)
    asked = context_of({**classes(), HOSTILE: hostile}, points=map_points())
    answer = identification().answers[0].model_copy(update={"identity": HOSTILE, "label": HOSTILE})
    found = identification(answers=[answer])
    near = SimilarPhoto(photo=1, score=0.5, identity=HOSTILE)
    content = [
        *identification_view(asked, found),
        *candidates_view(asked, found, "1"),
        *similar_view(asked, Similar(photo=0, identity=HOSTILE, similar=[near])),
        *map_photo(asked, 1, HOSTILE),
        *problem_view(asked, Withheld(state="withheld", reason="empty", name=HOSTILE, size=0), ""),
    ]
    assert HOSTILE in text_of(content)
    for one in elements(content):
        assert one.tag not in ("script", "iframe", "object", "embed", "meta", "style", "link")
        assert not any(name.startswith("on") or name == "style" for name in one.attrib)
        if "src" in one.attrib:
            assert re.fullmatch(r"/v1/photos/\d+", one.get("src", ""))
        if "href" in one.attrib:
            assert re.fullmatch(
                r"/(similar\?photo=\d+|compare\?((query|photo|at)=\d+&?)+|map\?class=[\w%.+-]*)",
                one.get("href", ""),
            )


def test_candidates_are_accepted_by_number():
    content = candidates_view(context(), identification(), "2")
    buttons = list(elements(content, "button"))
    assert [one.get("data-decision") for one in buttons] == ["1", "2", "3"]
    assert [one.get("aria-pressed") for one in buttons] == ["false", "true", "false"]
    assert "Steatoda grossa" in text_of(buttons[1])


def test_same_or_different():
    same = Verification(
        same=True, score=0.731, threshold=0.58, false_accept_rate=0.0098, false_reject_rate=0.231
    )
    shown = read(verification_view(context(), same))
    assert "The same species" in shown
    assert "Their score is 0.73; from 0.58 on" in shown
    assert "one in 100 pairs" in shown
    assert "20,000 pairs" in shown
    assert "23%" in shown
    other = same.model_copy(update={"same": False, "false_accept_rate": 0.0})
    shown = read(verification_view(context("es", cards=False), other))
    assert "Individuos distintos" in shown
    assert "ninguno" in shown


def test_scientific_names_are_in_italics_but_not_their_sp():
    (genus,) = elements(styled_name("Lycosa sp.", italic=True), "i")
    assert text_of(genus) == "Lycosa"
    assert read(styled_name("Lycosa sp.", italic=True)) == "Lycosa sp."
    assert not list(elements(styled_name("w_0001", italic=False), "i"))


@pytest.mark.parametrize("language", ["en", "es"])
def test_each_card_says_what_medicine_knows(language: Language):
    asked = context(language)
    told = [read(card_view(asked, info)) for info in asked.classes.values()]
    for text, key in zip(told, ("yes", "no", "unknown"), strict=True):
        assert asked.text(f"medical_{key}") in text
        assert asked.text(f"medical_{key}_text") in text
    assert read(card_view(asked, ClassInfo(identity="x", photos=1, photo=0, card=None)))


def test_what_to_do_after_a_bite_is_told_with_its_source():
    content = identification_view(context("es"), identification())
    box = with_class(content, "medical-yes")[0]
    assert "lave" in read(box)
    assert "Según: the ministry" in read(box)
    (number,) = [one for one in elements(box, "a") if one.get("href", "").startswith("tel:")]
    assert (number.get("href"), read(number)) == ("tel:600360", "600 360")
    assert "Según" not in read(card_view(context("es"), context().classes["class_1"]))
