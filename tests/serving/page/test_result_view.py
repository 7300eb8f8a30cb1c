"""Answers in words and components: every verdict in both languages, nothing read as markup."""

import re

import pytest
from dash import html
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.serving.api.schemas import (
    ClassInfo,
    Identification,
    Placement,
    Similar,
    SimilarPhoto,
    Verification,
)
from flukeprint.serving.page.class_card import card_view, styled_name
from flukeprint.serving.page.context import PageContext
from flukeprint.serving.page.error_view import (
    MISREAD,
    Lost,
    PageAnswer,
    Refused,
    Withheld,
    problem_text,
    problem_view,
    read_body,
    read_item,
    read_outcome,
)
from flukeprint.serving.page.i18n import Language
from flukeprint.serving.page.result_view import (
    candidates_view,
    headline,
    identification_view,
    similar_view,
    verification_view,
)
from tests.serving.page.page_facts import (
    classes,
    components,
    context,
    identification,
    new_answer,
    read,
    text_of,
)

GENUS = Placement(rank="genus", name="Steatoda", probability=0.86)
NOT_EVEN = Placement(rank=None, name=None, probability=0.4)


@pytest.mark.parametrize(
    ("language", "changed", "line"),
    [
        ("en", {}, "Probably: Steatoda nobilis"),
        ("es", {}, "Probablemente: Steatoda nobilis"),
        ("en", {"placement": None}, "Probably: Steatoda nobilis"),
        ("en", {"placement": GENUS}, "Probably: Steatoda, species unsure"),
        ("es", {"placement": GENUS}, "Probablemente: Steatoda, especie incierta"),
        ("en", {"placement": NOT_EVEN}, "No clear answer: Unsure"),
        ("es", {"placement": NOT_EVEN}, "Sin respuesta clara: Incierto"),
        ("en", {"verdict": "new"}, "Probably a species that is not in this collection"),
        ("es", {"verdict": "new"}, "Probablemente una especie que no está en esta colección"),
        ("en", {"verdict": "outside"}, "This does not look like a photograph of this collection"),
        ("es", {"verdict": "outside"}, "Esto no parece una fotografía de esta colección"),
    ],
)
def test_headlines(language: Language, changed: dict[str, object], line: str):
    asked = context(language)
    found = identification(**changed)
    assert headline(asked, found).text() == line
    shown = read(identification_view(asked, found))
    assert line.split(": ")[-1] in shown.replace(" ,", ",")


def test_individuals_without_cards_or_probabilities():
    asked = context(cards=False, calibrated=False, thumbnails=False)
    bare = [each.model_copy(update={"probability": None}) for each in identification().answers]
    found = identification(answers=bare, placement=None, probability_unknown=None)
    assert headline(asked, found).text() == "The nearest: class_0"
    content = identification_view(asked, found)
    shown = read(content)
    assert "probability" not in shown
    assert "similarity 0.90" in shown
    assert not [one for one in components(content) if isinstance(one, html.Img)]
    similar = Similar(photo=3, identity="class_1", similar=[])
    assert not [
        one for one in components(similar_view(asked, similar)) if isinstance(one, html.Img)
    ]
    new = identification(verdict="new", placement=None, probability_unknown=None)
    assert headline(asked, new).text().startswith("Probably an individual")


def test_how_sure_in_words():
    asked = context()

    def line(probability: float) -> str:
        first = identification().answers[0].model_copy(update={"probability": probability})
        return headline(asked, identification(answers=[first], placement=None)).above

    assert [line(p) for p in (0.95, 0.9, 0.6, 0.5, 0.49, 0.0)] == [
        "Very probably", "Very probably", "Probably", "Probably", "Perhaps", "Perhaps",
    ]  # fmt: skip


def test_five_answers_with_scores_photographs_and_cards():
    content = identification_view(context("es"), identification(photos=3))
    shown = read(content)
    assert "La respuesta a 3 fotografías de un encuentro" in shown
    for text in ("probabilidad 83\u00a0%", "semejanza 0,90", "probabilidad <1\u00a0%"):
        assert text.replace("\u00a0", " ") in shown
    for text in ("común Steatoda", "en casas", "Familia", "Sin importancia médica"):
        assert text in shown
    images = [one for one in components(content) if isinstance(one, html.Img)]
    assert [one.src for one in images] == [f"/v1/photos/{i}" for i in range(6)]
    assert all(one.alt for one in images)
    cards = [one for one in components(content) if isinstance(one, html.Details)]
    assert [one.open for one in cards] == [True, False, False]
    widths = [
        one.children.style["width"]
        for one in components(content)
        if getattr(one, "className", "") == "bar"
    ]
    assert widths == ["83.0%", "9.0%", "0.4%"]


def test_a_new_individual_has_no_photograph():
    found = identification(
        verdict="new", unknown=True, answers=[new_answer(), *identification().answers[:2]]
    )
    content = identification_view(context(), found)
    first = next(one for one in components(content) if getattr(one, "id", "") == "answer-1")
    assert "Not in this collection" in read(first)
    assert "answered below similarity 0.52" in read(first)
    assert not [one for one in components(first) if isinstance(one, html.Img)]


def test_outside_tells_no_probabilities():
    shown = read(identification_view(context(), identification(verdict="outside", closeness=0.22)))
    assert "%" not in shown
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
    box = next(
        one for one in components(content) if "medical-yes" in str(getattr(one, "className", ""))
    )
    assert "Steatoda nobilis" in read(box)
    unlikely = [swapped[0], swapped[1].model_copy(update={"probability": 0.02}), third]
    content = identification_view(context(), identification(answers=unlikely))
    before_list = content[: [isinstance(part, html.Ol) for part in content].index(True)]
    assert warning not in text_of(before_list)


HOSTILE = "<img src=x onerror=alert(1)>javascript:'\"&"


def test_names_are_text_and_addresses_are_made_of_numbers():
    """No component takes markup, and no address holds anything that came with an answer."""
    known = classes()
    hostile = ClassInfo(identity=HOSTILE, photos=1, photo=0, card=None)
    asked = context()
    asked = PageContext(asked.info, {**known, HOSTILE: hostile}, asked.map_, "species", "en")
    answer = identification().answers[0].model_copy(update={"identity": HOSTILE, "label": HOSTILE})
    found = identification(answers=[answer])
    near = SimilarPhoto(photo=1, score=0.5, identity=HOSTILE)
    content = [
        *identification_view(asked, found),
        *candidates_view(asked, found, "1"),
        *similar_view(asked, Similar(photo=0, identity=HOSTILE, similar=[near])),
        *problem_view(asked, Withheld(state="withheld", reason="empty", name=HOSTILE, size=0), ""),
    ]
    assert HOSTILE in text_of(content)
    for one in components(content):
        assert one._type not in ("Markdown", "Iframe", "Script", "ObjectEl", "Embed", "Meta")
        if hasattr(one, "src"):
            assert re.fullmatch(r"/v1/photos/\d+", one.src)
        if hasattr(one, "href"):
            assert re.fullmatch(r"/(similar\?photo=\d+|map\?class=[\w%.+-]*)", one.href)


def test_candidates_are_accepted_by_number():
    content = candidates_view(context(), identification(), "2")
    buttons = [one for one in components(content) if isinstance(one, html.Button)]
    assert [getattr(one, "data-decision") for one in buttons] == ["1", "2", "3"]
    assert [getattr(one, "aria-pressed") for one in buttons] == ["false", "true", "false"]
    assert "Steatoda grossa" in text_of(buttons[1])


def test_same_or_different():
    same = Verification(
        same=True, score=0.731, threshold=0.58, false_accept_rate=0.0098, false_reject_rate=0.231
    )
    shown = read(verification_view(context(), same))
    assert "The same species" in shown
    assert "Their similarity is 0.73; from 0.58 on" in shown
    assert "one in 100 pairs" in shown
    assert "20,000 pairs" in shown
    assert "23%" in shown
    other = same.model_copy(update={"same": False, "false_accept_rate": 0.0})
    shown = read(verification_view(context("es", cards=False), other))
    assert "Individuos distintos" in shown
    assert "ninguno" in shown


def test_scientific_names_are_in_italics_but_not_their_sp():
    (genus,) = [one for one in components(styled_name("Lycosa sp.", italic=True)) if _italic(one)]
    assert text_of(genus) == "Lycosa"
    assert read(styled_name("Lycosa sp.", italic=True)) == "Lycosa sp."
    assert not [one for one in components(styled_name("w_0001", italic=False)) if _italic(one)]


def _italic(one: object) -> bool:
    return isinstance(one, html.I)


@pytest.mark.parametrize("language", ["en", "es"])
def test_each_card_says_what_medicine_knows(language: Language):
    asked = context(language)
    told = [read(card_view(asked, info)) for info in asked.classes.values()]
    for text, key in zip(told, ("yes", "no", "unknown"), strict=True):
        assert asked.say(f"medical_{key}") in text
        assert asked.say(f"medical_{key}_text") in text
    assert read(card_view(asked, ClassInfo(identity="x", photos=1, photo=0, card=None)))


def test_problems_offer_to_ask_again_only_where_it_may_help():
    asked = context()
    busy = Refused(state="problem", kind="busy", status=503, detail="why", retry_after=6.2)
    content = problem_view(asked, busy, "identify")
    assert "Possible again in 7 s." in text_of(content)
    assert [one.id for one in components(content) if isinstance(one, html.Button)] == [
        "identify-again"
    ]
    damaged = busy.model_copy(update={"kind": "damaged_photograph", "retry_after": None})
    assert not [
        one
        for one in components(problem_view(asked, damaged, "identify"))
        if isinstance(one, html.Button)
    ]
    strange = busy.model_copy(update={"kind": "never_heard_of", "retry_after": None})
    assert problem_text(asked, strange) == asked.say("problem_internal")
    assert problem_text(context("es"), Lost(state="lost")).startswith("No se llega")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    JSON | st.fixed_dictionaries({"state": st.sampled_from(["answer", "problem"]), "body": JSON})
)
def test_whatever_the_browser_hands_in_is_an_outcome(handed_in: object):
    outcome = read_outcome(handed_in)
    assert (outcome is None) == (handed_in is None)
    if isinstance(outcome, PageAnswer):
        body = read_body(outcome, Identification)
        assert body == MISREAD or isinstance(body, Identification)
    assert read_item(handed_in) is None


def test_outcomes_are_read():
    answered = read_outcome({"state": "answer", "body": identification().model_dump()})
    assert isinstance(answered, PageAnswer)
    assert read_body(answered, Identification) == identification()
    assert read_outcome({"state": "lost"}) == Lost(state="lost")
    assert read_outcome({"state": "lost", "more": 1}) == MISREAD
    item = read_item({"index": 1, "name": "a", "decision": "", "outcome": None})
    assert item is not None
    assert item.index == 1
