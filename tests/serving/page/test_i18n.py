"""Every text in both languages, with the same placeholders; numbers as the languages write them."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.serving.api.problems import KINDS
from flukeprint.serving.page.assets import FOLDER
from flukeprint.serving.page.i18n import (
    LANGUAGES,
    TEXTS,
    Language,
    browser_texts,
    megabytes,
    number,
    percent,
    probability,
    rank_name,
    texts,
    translate,
)
from flukeprint.serving.page.views.problems import TEMPORARY, Withheld, problem_text
from tests.serving.page.page_facts import context

SOURCE = Path(__file__).parents[3] / "src" / "flukeprint" / "serving" / "page"


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_every_key_once_and_in_the_same_order(language: Language):
    assert list(texts(language)) == list(texts("en"))
    assert all(isinstance(part, str) for pair in texts(language).items() for part in pair)
    # YAML would take the last of two.
    lines = (TEXTS / f"{language}.yaml").read_text(encoding="utf-8").splitlines()
    keys = [line.split(":")[0] for line in lines if re.match(r"\w", line)]
    assert keys == list(texts(language))


def test_every_file_of_texts_is_a_language_of_the_page():
    assert {path.name for path in TEXTS.iterdir()} == {f"{name}.yaml" for name in LANGUAGES}


def test_texts_are_read_on_first_use_and_once():
    code = (
        "import pathlib, flukeprint.serving.page.app\n"
        "from flukeprint.serving.page.i18n import texts\n"
        "assert texts.cache_info().currsize == 0\n"
        "assert texts('en') is texts('en')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(TypeError):
        texts("en")["skip"] = ""  # nobody changes them for others


@pytest.mark.parametrize("key", sorted(texts("en")))
def test_both_languages_say_it_with_the_same_placeholders(key: str):
    both = [texts(language)[key] for language in LANGUAGES]
    assert len(both) == 2
    assert all(text == text.strip() and text for text in both)
    assert placeholders(both[0]) == placeholders(both[1])


def test_what_is_worded_for_species_is_worded_for_individuals():
    for key, text in texts("en").items():
        stem, _, kind = key.rpartition("_")
        if kind in ("species", "individual") and not stem.startswith("rank"):
            assert placeholders(text) == placeholders(texts("en")[f"{stem}_species"])
            assert placeholders(text) == placeholders(texts("en")[f"{stem}_individual"])


def calls() -> list[tuple[str, set[str]]]:
    """(key, placeholders that are given) of every text with a literal key, in all modules."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            key = node.args[0]
            if name not in ("text", "kind_text") or not isinstance(key, ast.Constant):
                continue
            keys = [f"{key.value}_species"] if name == "kind_text" else [key.value]
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            if any(keyword.arg is None for keyword in node.keywords):
                given.add("*")
            found += [(one, given) for one in keys]
    return found


def test_modules_ask_for_keys_that_there_are_and_fill_them():
    asked = calls()
    assert len(asked) > 60
    for key, given_values in asked:
        assert key in texts("en"), key
        if "*" not in given_values:
            assert placeholders(texts("en")[key]) == given_values, key


def test_scripts_ask_for_words_that_there_are():
    script = "\n".join(path.read_text() for path in FOLDER.glob("*.js"))
    asked = set(re.findall(r'translate\("(\w+)"', script))
    words = browser_texts("en")
    assert asked
    assert asked <= set(words)
    # Phases of sending are keys too.
    assert set(re.findall(r'phase: "(\w+)"', script)) == {"sending", "thinking", "waiting"}
    assert {"sending", "thinking", "waiting"} <= set(words)


def test_every_problem_of_the_api_has_its_sentence():
    assert set(KINDS) >= TEMPORARY
    for kind in KINDS:
        assert f"problem_{kind}" in texts("en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_not_to_send_has_its_sentence(language):
    reasons = Withheld.model_fields["reason"].annotation.__args__
    assert len(reasons) == 6
    for reason in reasons:
        outcome = Withheld(state="withheld", reason=reason, name="a.jpg", size=30 << 20)
        assert "{" not in problem_text(context(language), outcome)


def test_a_text_is_filled_and_an_unknown_one_refused():
    assert translate("en", "problem_wait", seconds="7") == "Possible again in 7 s."
    assert translate("es", "problem_wait", seconds="7") == "Se podrá de nuevo en 7 s."
    with pytest.raises(KeyError):
        translate("en", "no_such_key")


def test_words_for_scripts_keep_their_placeholders():
    assert browser_texts("es")["your_photo"] == "Tu fotografía {name}"
    assert not any(key.startswith("browser_") for key in browser_texts("en"))


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
