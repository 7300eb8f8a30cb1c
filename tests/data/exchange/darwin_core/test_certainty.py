"""How sure a name is comes back to the last digit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.exchange.darwin_core.certainty import certainty_in, certainty_text
from flukeprint.data.exchange.observed import ObservedPhoto


@given(st.floats(0, 1), st.booleans(), st.sampled_from([None, "A"]))
def test_it_comes_back(share: float, machine: bool, identity: str | None) -> None:
    photo = ObservedPhoto("a", None, identity, probability=share, confidence=share, machine=machine)
    assert certainty_in(certainty_text(photo)) == (machine, share)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("classified by a machine with 89% certainty", (True, 0.89)),
        ("classified by a machine", (True, None)),
        ("classified by a human with 100% certainty", (False, 1.0)),
        ("classified by a machine with 189% certainty", (True, None)),
        ("classified with 89% certainty", (False, None)),
        ("surely not classified by a machine", (False, None)),
        (None, (False, None)),
    ],
)
def test_the_words_of_camtrap_dp(text: str | None, found: tuple[bool, float | None]) -> None:
    assert certainty_in(text) == found


def test_what_nobody_named_says_nothing() -> None:
    assert certainty_text(ObservedPhoto("a", None)) == ""
    assert certainty_text(ObservedPhoto("a", None, "A")) == "classified by a human"
    assert certainty_text(ObservedPhoto("a", None, machine=True)) == "classified by a machine"
