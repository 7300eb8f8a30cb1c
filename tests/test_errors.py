"""Messages: near names, long lists, tracebacks of workers, and extras to install."""

import pytest

from flukeprint.errors import FlukeprintError, counted, listed, nearest, needs


def test_the_nearest_names_come_first() -> None:
    known = ["triplet", "arcface", "cosface"]
    assert nearest("arcfase", known).startswith("did you mean arcface")
    assert nearest("arcfase", known).endswith("Known: arcface, cosface, triplet")
    assert nearest("whale", known) == "Known: arcface, cosface, triplet"


def test_long_lists_are_cut_with_the_number_of_the_rest() -> None:
    assert listed([]) == ""
    assert listed([1, "b"]) == "1, b"
    assert listed("abc", most=3) == "a, b, c"
    assert listed("abcde", most=3) == "a, b, c and 2 more"
    assert listed(["b" * 5000, "c"]) == f"{'b' * 100} ... {'b' * 20}, c"
    assert len(nearest("a", ["b" * 5000])) < 200
    assert listed(["d" * 260]) == "d" * 260


def test_a_worker_s_traceback_is_left_out_of_the_message() -> None:
    message = (
        "Caught FlukeprintError\nTraceback ...\nflukeprint.errors.FlukeprintError: a.jpg: bad\n"
    )
    assert str(FlukeprintError(message)) == "a.jpg: bad"
    assert str(FlukeprintError("plain")) == "plain"


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    assert str(FlukeprintError("no file a\nb\r\n\u2028c; check it")) == "no file a b  c; check it"


def test_a_missing_package_names_its_extra_but_a_defect_stays_one() -> None:
    said = r"no_such_package: pip install 'flukeprint\[faiss\]'"
    with pytest.raises(FlukeprintError, match=said), needs("faiss"):
        import no_such_package.inside  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), needs("faiss"):
        import flukeprint.no_such_module  # noqa: F401


def test_numbers_agree_with_their_noun() -> None:
    assert counted(1, "photo") == "1 photo"
    assert counted(0, "photo") == "0 photos"
    assert counted(25_361, "identity", "identities") == "25,361 identities"
    assert counted(1, "identity", "identities") == "1 identity"


def test_a_message_is_never_endless() -> None:
    text = str(FlukeprintError(f"cell {'(' * 5000} is no number; write one"))
    assert len(text) <= 2000
    assert text.startswith("cell ((((")
    assert text.endswith("is no number; write one")
