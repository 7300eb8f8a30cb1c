"""Names: one animal is one name however it is typed, and unfit ones are told before training."""

from pathlib import Path

import pytest

from flukeprint.data.catalog import Catalog
from flukeprint.data.names import (
    check_names,
    enrolled_name,
    identity_name,
    near_equal,
    spelling,
    unfit_names,
    unwritable,
)
from flukeprint.data.tables import identities_of
from tests.refusals import refused

COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"


def catalog_of(*names: str | None, images: tuple[str, ...] | None = None) -> Catalog:
    images = images or tuple(f"{row}.jpg" for row in range(len(names)))
    return Catalog(images=images, paths=tuple(map(Path, images)), identities=names)


def test_identities_enter_in_form_c_without_blanks_at_their_ends() -> None:
    assert identity_name(f" {DECOMPOSED}\t") == COMPOSED
    assert identities_of([COMPOSED, DECOMPOSED + " "]) == (COMPOSED, COMPOSED)
    assert identities_of(["New_Whale", "UNKNOWN", "w_1"], "new_whale", "unknown") == (
        None,
        None,
        "w_1",
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Old Tom", "old_tom"),
        ("Old Tom", "Old  Tom"),
        ("Old Tom", "Old-Tom"),
        ("Old Tom", "OldTom"),
        ("Old Tom", "Old\u00a0Tom"),
        ("Old Tom", "Old\u2013Tom"),
        ("Old Tom", "Old\u200b Tom"),
        ("w_1", "W1"),
        (COMPOSED, "jose"),
        (COMPOSED, DECOMPOSED),
        ("Stra\u00dfe", "STRASSE"),
    ],
)
def test_spellings_of_one_name(one: str, other: str) -> None:
    assert spelling(one) == spelling(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("w_1", "w_11"),
        ("n_1_12", "n_11_2"),
        ("n_1_1", "n_11"),
        ("\u0930\u093e\u092e", "\u0930\u0940\u092e"),  # vowel signs are no accents
        ("_", "-"),
        ("Tom", "Tim"),
    ],
)
def test_spellings_of_two_names(one: str, other: str) -> None:
    assert spelling(one) != spelling(other)


def test_near_equal_names_come_in_groups() -> None:
    names = ["w_2", "Old Tom", "w_1", "old_tom", "Old Tom", "W_1", "OLD-TOM"]
    assert near_equal(names) == (("OLD-TOM", "Old Tom", "old_tom"), ("W_1", "w_1"))
    assert near_equal(["w_1", "w_2"]) == ()


@pytest.mark.parametrize(
    ("names", "new_label", "said"),
    [
        (("Old Tom", "Old_Tom"), "new_whale", "'Old Tom' and 'Old_Tom' would both be written"),
        (("new whale",), "new_whale", "a new individual"),
        (("New-Whale",), "new_whale", "'New-Whale' is data.new_label new_whale in another"),
        (("a\nb",), "new_whale", "identity 'a\\nb' has a line break"),
        (("a\u2028b",), "new_whale", "has a line break"),
        (("w_1",), "new whale", "data.new_label 'new whale' must be a word"),
        (("w_1",), "", "must be a word"),
    ],
)
def test_unfit_names_are_refused_in_one_line(
    names: tuple[str, ...], new_label: str, said: str
) -> None:
    refused(lambda: check_names(catalog_of(*names), new_label), said)


def test_fit_names_pass() -> None:
    catalog = catalog_of("Old Tom", "a, b", 'say "w"', "tab\tbed", COMPOSED, None)
    check_names(catalog, "new_whale")
    assert unfit_names(catalog, "new_whale") == ()
    line = catalog_of("w_1", images=("a\nb.jpg",))
    refused(lambda: check_names(line, "new_whale"), "photograph 'a\\nb.jpg' has a line break")


def test_all_unfit_names_are_told() -> None:
    assert len(unwritable(["a b", "a_b", "a  b", "c"], "new")) == 2
    names = catalog_of("a b", "a_b", "a  b")
    refused(lambda: check_names(names, "new"), "'a  b' and 'a b'", "(and 1 name more)")


def test_an_animal_is_enrolled_under_the_name_that_is_known() -> None:
    known = ("Old Tom", DECOMPOSED, "w_1")
    assert enrolled_name("w_2", known, "new_whale") == "w_2"
    assert enrolled_name(" Old Tom ", known, "new_whale") == "Old Tom"
    assert enrolled_name(COMPOSED, known, "new_whale") == DECOMPOSED  # of an older gallery
    assert enrolled_name(DECOMPOSED, (), "new_whale") == COMPOSED
    assert enrolled_name("n_11_2", ("n_1_12",), "new_whale") == "n_11_2"
    refused(lambda: enrolled_name("old_tom", known, "new_whale"), "knows this name as Old Tom")
    assert enrolled_name("old_tom", known, "new_whale", force=True) == "old_tom"
    for name in ("", "  ", "new_whale", "New Whale", "a\nb"):
        refused(lambda name=name: enrolled_name(name, known, "new_whale", force=True), "no name")
