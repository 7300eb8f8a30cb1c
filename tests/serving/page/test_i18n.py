"""Every text in both languages, with the same placeholders; numbers as the languages write them."""

import ast
import re
from pathlib import Path
from string import Formatter

import pytest
from flukeprint.serving.page.translations import WORDING
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.serving.api.problems import KINDS
from flukeprint.serving.page.error_view import PASSING, Withheld, problem_text
from flukeprint.serving.page.i18n import (
    LANGUAGES,
    browser_words,
    megabytes,
    number,
    percent,
    probability,
    rank_name,
    say,
)
from tests.serving.page.page_facts import context

SOURCE = Path(__file__).parents[3] / "src" / "flukeprint" / "serving" / "page"


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(WORDING))
def test_both_languages_say_it_with_the_same_placeholders(key: str):
    texts = WORDING[key]
    assert len(texts) == len(LANGUAGES) == 2
    assert all(text == text.strip() and text for text in texts)
    assert placeholders(texts[0]) == placeholders(texts[1])


def test_what_is_worded_for_species_is_worded_for_individuals():
    for key in WORDING:
        stem, _, kind = key.rpartition("_")
        if kind in ("species", "individual") and not stem.startswith("rank"):
            assert placeholders(WORDING[f"{stem}_species"][0]) == placeholders(
                WORDING[f"{stem}_individual"][0]
            )


def calls() -> list[tuple[str, set[str]]]:
    """(key, placeholders that are given) of every say with a literal key, in all rooms."""
    found = []
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            key = node.args[0]
            if name not in ("say", "say_kind") or not isinstance(key, ast.Constant):
                continue
            keys = [f"{key.value}_species"] if name == "say_kind" else [key.value]
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            if any(keyword.arg is None for keyword in node.keywords):
                given.add("*")
            found += [(one, given) for one in keys]
    return found


def test_rooms_ask_for_keys_that_there_are_and_fill_them():
    asked = calls()
    assert len(asked) > 60
    for key, given_values in asked:
        assert key in WORDING, key
        if "*" not in given_values:
            assert placeholders(WORDING[key][0]) == given_values, key


def test_scripts_ask_for_words_that_there_are():
    script = (SOURCE / "assets" / "browser.js").read_text()
    asked = set(re.findall(r'say\("(\w+)"', script))
    words = browser_words("en")
    assert asked
    assert asked <= set(words)
    # Phases of sending are keys too.
    sent = (SOURCE / "assets" / "photos.js").read_text()
    assert set(re.findall(r'phase: "(\w+)"', sent)) == {"sending", "thinking", "waiting"}
    assert {"sending", "thinking", "waiting"} <= set(words)


def test_every_problem_of_the_api_has_its_sentence():
    assert set(KINDS) >= PASSING
    for kind in KINDS:
        assert f"problem_{kind}" in WORDING


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_not_to_send_has_its_sentence(language):
    reasons = Withheld.model_fields["reason"].annotation.__args__
    assert len(reasons) == 6
    for reason in reasons:
        outcome = Withheld(state="withheld", reason=reason, name="a.jpg", size=30 << 20)
        assert "{" not in problem_text(context(language), outcome)


def test_a_text_is_filled_and_an_unknown_one_refused():
    assert say("en", "problem_wait", seconds="7") == "Possible again in 7 s."
    assert say("es", "problem_wait", seconds="7") == "Se podrá de nuevo en 7 s."
    with pytest.raises(KeyError):
        say("en", "no_such_key")


def test_words_for_scripts_keep_their_placeholders():
    assert browser_words("es")["your_photo"] == "Tu fotografía {name}"
    assert not any(key.startswith("browser_") for key in browser_words("en"))


def test_ranks_in_words():
    assert rank_name("es", "genus") == "género"
    assert rank_name("en", "Family") == "family"
    assert rank_name("es", "morphotype") == "morphotype"


@pytest.mark.parametrize(
    ("value", "digits", "en", "es"),
    [
        (0.731, 2, "0.73", "0,73"),
        (1234, 0, "1,234", "1234"),
        (25361, 0, "25,361", "25\u202f361"),
        (1234567.5, 1, "1,234,567.5", "1\u202f234\u202f567,5"),
        (-0.25, 2, "-0.25", "-0,25"),
        (-1234, 0, "-1,234", "-1234"),
    ],
)
def test_numbers(value: float, digits: int, en: str, es: str):
    assert number("en", value, digits) == en
    assert number("es", value, digits) == es


@given(st.floats(-1e9, 1e9), st.integers(0, 4))
def test_a_number_can_be_read_back(value: float, digits: int):
    tolerance = 0.5 * 10.0**-digits + 1e-6
    assert float(number("en", value, digits).replace(",", "")) == pytest.approx(
        value, abs=tolerance
    )
    spanish = number("es", value, digits).replace("\u202f", "").replace(",", ".")
    assert float(spanish) == pytest.approx(value, abs=tolerance)


def test_shares():
    assert percent("en", 0.573, 1) == "57.3%"
    assert percent("es", 0.573, 1) == "57,3\u00a0%"


@given(st.floats(0, 1))
def test_no_probability_is_called_certain(share: float):
    told = probability("en", share)
    assert told not in ("0%", "100%")
    assert told == ("<1%" if share < 0.01 else ">99%" if share > 0.99 else f"{share:.0%}")


@given(st.integers(0, 1 << 32))
def test_a_limit_is_never_overstated_and_a_size_never_understated(size: int):
    mebibyte = 1 << 20
    assert float(megabytes("en", size).replace(",", "")) <= size / mebibyte
    assert float(megabytes("en", size, up=True).replace(",", "")) >= size / mebibyte


def test_sizes():
    assert megabytes("en", 20 << 20) == "20"
    assert megabytes("es", 3 << 19) == "1,5"
    assert megabytes("en", (20 << 20) + 1, up=True) == "20.1"
