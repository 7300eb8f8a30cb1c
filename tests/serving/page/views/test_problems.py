"""Outcomes that the browser reports, valid or not, and what the page shows of problems."""

from hypothesis import given
from hypothesis import strategies as st

from flukeprint.serving.api.schemas import (
    Identification,
)
from flukeprint.serving.page.views.problems import (
    MISREAD,
    Lost,
    PageAnswer,
    Refused,
    problem_text,
    problem_view,
    read_body,
    read_item,
    read_outcome,
)
from tests.serving.page.page_facts import (
    context,
    elements,
    identification,
    text_of,
)


def test_problems_offer_to_ask_again_only_where_it_may_help():
    asked = context()
    busy = Refused(state="problem", kind="busy", status=503, detail="why", retry_after=6.2)
    content = problem_view(asked, busy, "identify")
    assert "Possible again in 7 s." in text_of(content)
    assert [one.get("id") for one in elements(content, "button")] == ["identify-again"]
    damaged = busy.model_copy(update={"kind": "damaged_photograph", "retry_after": None})
    assert not list(elements(problem_view(asked, damaged, "identify"), "button"))
    strange = busy.model_copy(update={"kind": "never_heard_of", "retry_after": None})
    assert problem_text(asked, strange) == asked.text("problem_internal")
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
