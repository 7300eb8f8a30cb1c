"""Placements recomputed with dictionaries, and tables that are refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.errors import FlukeprintError
from flukeprint.identifier.taxonomy import (
    Lineage,
    RankPlacement,
    Taxonomy,
    is_right,
    place,
    truth_at,
)

TABLE = """\
class,genus,family,order
laeta,Loxosceles,Sicariidae,Araneae
grossa,Steatoda,Theridiidae,Araneae
nobilis,Steatoda,Theridiidae,Araneae
widow,Latrodectus,Theridiidae,Araneae
wolves,,Lycosidae,Araneae
either,,,Araneae
pachylus,Pachylus,Gonyleptidae,Opiliones
"""
CLASSES = ("laeta", "grossa", "nobilis", "widow", "wolves", "either", "pachylus")


def write(folder: Path, text: str) -> Path:
    path = folder / "taxonomy.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def spiders(tmp_path: Path) -> Taxonomy:
    return Taxonomy.read(write(tmp_path, TABLE))


def naive(
    taxonomy: Taxonomy, row: Sequence[float], identities: Sequence[str], confidence: float
) -> tuple[str | None, str | None, float]:
    """One query, one rank and one class after the other."""
    best: dict[str, float] = {}
    name = ""
    for at, rank in enumerate(("class", *taxonomy.ranks)):
        sums: dict[str, float] = {}
        for identity, probability in zip(identities, row, strict=True):
            node = identity if at == 0 else taxonomy.lineages[identity][at - 1]
            if node is not None:
                sums[node] = sums.get(node, 0.0) + probability
        name, best[rank] = min(sums.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
        if name and best[rank] >= confidence:
            return rank, name, best[rank]
    return None, None, best[taxonomy.ranks[-1]]


def plain(placement: RankPlacement) -> tuple[str | None, str | None, float]:
    return placement.rank, placement.name, placement.probability


def test_a_table_is_read_and_written_back(tmp_path: Path, spiders: Taxonomy) -> None:
    assert spiders.ranks == ("genus", "family", "order")
    assert tuple(spiders.lineages) == CLASSES
    assert spiders.lineages["nobilis"] == ("Steatoda", "Theridiidae", "Araneae")
    assert spiders.lineages["either"] == (None, None, "Araneae")
    spiders.save(tmp_path / "deep" / "again.csv")
    assert (tmp_path / "deep" / "again.csv").read_text(encoding="utf-8") == TABLE
    assert Taxonomy.read(tmp_path / "deep" / "again.csv") == spiders
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["again.csv"]


def test_cells_are_stripped_and_class_may_stand_anywhere(tmp_path: Path) -> None:
    path = write(tmp_path, 'tribe,class,house\n Ñandú ,"a, b" ,\n,c,West\n')
    got = Taxonomy.read(path)
    assert got.ranks == ("tribe", "house")
    assert dict(got.lineages) == {"a, b": ("Ñandú", None), "c": (None, "West")}


def test_a_failed_write_leaves_the_old_table(tmp_path: Path, spiders: Taxonomy) -> None:
    path = write(tmp_path, "the last good one")
    broken = Taxonomy(("genus",), {"a": ("\ud800",)})  # no UTF-8 can hold it
    with pytest.raises(UnicodeEncodeError):
        broken.save(path)
    assert path.read_text() == "the last good one"
    assert [file.name for file in tmp_path.iterdir()] == ["taxonomy.csv"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clas,genus\na,G\n", ("has no column class", "did you mean clas")),
        ("class\na\n", ("has no ranks", "genus,family,order")),
        ("class,genus,\na,G,x\n", ("column without a name",)),
        ("class,genus\na,G\n,G\n", ("column class is empty in line 3",)),
        ("class,genus\na,G\nb,G\na,G\n", ("repeats rows: a (lines 2, 4)",)),
        ("class,genus\na,G\na,H\n", ("repeats rows: a (lines 2, 3)",)),
        (
            "class,genus,family\na,G,F\nb,H,F\nc,G,E\n",
            ("lines 2, 4: the genus G stands under family F and under family E",),
        ),
        (
            "class,genus,family,order\na,G,F,O\nb,H,F,P\n",
            ("lines 2, 3: the family F stands under order O and under order P",),
        ),
        (
            "class,genus,family,order\na,G,F,O\nb,G,,O\n",
            ("the genus G stands under family F, order O and under no family, order O",),
        ),
    ],
)
def test_tables_that_are_no_tree_are_refused(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FlukeprintError) as refused:
        Taxonomy.read(path)
    message = str(refused.value)
    assert "taxonomy.csv" in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match=r"nowhere\.csv is missing"):
        Taxonomy.read(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("ranks", "lineages"),
    [
        ((), {}),
        (("class",), {"a": ("x",)}),
        (("genus", "genus"), {"a": ("x", "y")}),
        (("genus",), {"a": ("x", "y")}),
        (("genus",), {"a": ("",)}),
        (("genus", "family"), {"a": ("G", "F"), "b": ("G", "E")}),
    ],
)
def test_no_taxonomy_is_made_of_what_is_none(
    ranks: tuple[str, ...], lineages: dict[str, Lineage]
) -> None:
    with pytest.raises(ValueError):
        Taxonomy(ranks, lineages)


def test_unknown_classes_are_named_with_the_table(spiders: Taxonomy) -> None:
    spiders.check(CLASSES)
    spiders.check([])
    with pytest.raises(FlukeprintError) as refused:
        spiders.check(["laeta", "nobiles", "zebra"])
    for word in ("taxonomy.csv", "nobiles, zebra", "did you mean nobilis"):
        assert word in str(refused.value)
    with pytest.raises(FlukeprintError, match="nobiles"):
        place(spiders, [[1.0]], ["nobiles"], 0.5)


@pytest.mark.parametrize(
    ("probabilities", "rank", "name", "probability"),
    [
        # laeta, grossa, nobilis, widow, wolves, either, pachylus
        ((0.9, 0.1, 0, 0, 0, 0, 0), "class", "laeta", 0.9),
        ((0, 0.5, 0.4, 0, 0, 0, 0), "genus", "Steatoda", 0.9),
        ((0, 0.3, 0.3, 0.3, 0, 0, 0), "family", "Theridiidae", 0.9),
        ((0.4, 0, 0, 0, 0.3, 0.2, 0), "order", "Araneae", 0.9),
        ((0.4, 0, 0, 0, 0, 0, 0.3), None, None, 0.4),
        ((0, 0, 0, 0, 0, 0, 0), None, None, 0.0),
        ((0, 0, 0, 0, 0.8, 0, 0), "class", "wolves", 0.8),  # exactly sure is sure
    ],
)
def test_the_narrowest_sure_rank_is_answered(
    spiders: Taxonomy,
    probabilities: tuple[float, ...],
    rank: str | None,
    name: str | None,
    probability: float,
) -> None:
    (got,) = place(spiders, [probabilities], CLASSES, 0.8)
    assert (got.rank, got.name) == (rank, name)
    assert got.probability == pytest.approx(probability)


def test_a_new_one_is_placed_above_the_classes(spiders: Taxonomy) -> None:
    row = [[0.0, 0.4, 0.3, 0.0, 0.0, 0.0, 0.1]]
    (sure,) = place(spiders, row, CLASSES, 0.3)
    (above,) = place(spiders, row, CLASSES, 0.3, above_classes=True)
    assert (sure.rank, sure.name) == ("class", "grossa")
    assert (above.rank, above.name) == ("genus", "Steatoda")
    assert above.probability == pytest.approx(0.7)


def test_ties_go_by_name_whatever_the_order(spiders: Taxonomy) -> None:
    for identities in (("widow", "grossa"), ("grossa", "widow")):
        assert place(spiders, [[0.5, 0.5]], identities, 0.5)[0].name == "grossa"
    for identities in (("pachylus", "wolves", "either"), ("either", "wolves", "pachylus")):
        p = [0.5 if identity == "pachylus" else 0.25 for identity in identities]
        assert place(spiders, [p], identities, 0.5)[0].name == "pachylus"
        assert place(spiders, [p], identities, 0.75)[0] == RankPlacement(None, None, 0.5)
    families = place(spiders, [[0.25, 0.25, 0.25, 0.25]], ("widow", "grossa", "laeta", "wolves"), 1)
    assert families[0] == RankPlacement("order", "Araneae", 1.0)


def test_a_rank_without_any_name_is_passed_over() -> None:
    taxonomy = Taxonomy(("genus", "family"), {"a": ("G", None), "b": (None, None)})
    assert place(taxonomy, [[0.5, 0.25]], ["a", "b"], 0.5)[0] == RankPlacement("class", "a", 0.5)
    assert place(taxonomy, [[0.5, 0.25]], ["a", "b"], 0.6)[0] == RankPlacement(None, None, 0.0)
    assert place(taxonomy, np.zeros((0, 2)), ["a", "b"], 0.6) == ()


def test_sums_beyond_one_by_rounding_stay_probabilities(spiders: Taxonomy) -> None:
    (got,) = place(spiders, [[0.5, 0.5 + 1e-9]], ["grossa", "nobilis"], 0.9)
    assert got == RankPlacement("genus", "Steatoda", 1.0)


@pytest.mark.parametrize(
    ("probabilities", "identities", "confidence"),
    [
        ([[0.7, 0.4]], ["laeta", "widow"], 0.5),
        ([[0.7, -0.1]], ["laeta", "widow"], 0.5),
        ([[0.7, float("nan")]], ["laeta", "widow"], 0.5),
        ([0.7, 0.1], ["laeta", "widow"], 0.5),
        ([[0.7]], ["laeta", "widow"], 0.5),
        ([[0.5, 0.5]], ["laeta", "laeta"], 0.5),
        ([[]], [], 0.5),
        ([[1.0]], ["laeta"], 0.0),
        ([[1.0]], ["laeta"], 1.1),
        ([[1.0]], ["laeta"], float("nan")),
    ],
)
def test_what_is_no_probability_is_refused(
    spiders: Taxonomy, probabilities: list[list[float]], identities: list[str], confidence: float
) -> None:
    with pytest.raises(ValueError):
        place(spiders, probabilities, identities, confidence)


@st.composite
def trees(draw: st.DrawFn, blanks: bool) -> Taxonomy:
    """Two to nine classes below genera, families and orders drawn from few names."""
    order_of = {f"f{i}": draw(st.sampled_from(["o0", "o1"])) for i in range(3)}
    family_of = {f"g{i}": draw(st.sampled_from(sorted(order_of))) for i in range(4)}
    lineages: dict[str, Lineage] = {}
    for i in range(draw(st.integers(2, 9))):
        genus = draw(st.sampled_from(sorted(family_of)))
        lineage: Lineage = (genus, family_of[genus], order_of[family_of[genus]])
        blank = draw(st.integers(0, 3)) if blanks else 0
        lineages[f"c{i}"] = (*(None,) * blank, *lineage[blank:])
    return Taxonomy(("genus", "family", "order"), lineages)


@st.composite
def asked(
    draw: st.DrawFn, blanks: bool, step: int | None = None
) -> tuple[Taxonomy, list[str], list[list[float]]]:
    """A tree, some of its classes in any order, and probabilities; with `step` 1/step apart."""
    taxonomy = draw(trees(blanks))
    identities = draw(st.permutations(sorted(taxonomy.lineages)))
    identities = identities[: draw(st.integers(1, len(identities)))]
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        if step:
            marks = [draw(st.integers(0, step)) for _ in identities]
            cuts = np.diff(np.sort([0, *marks])) / step
            rows.append([float(cut) for cut in cuts])
        else:
            weights = np.array([draw(st.floats(0, 1)) for _ in identities])
            rows.append([float(w) for w in weights / max(1.0, weights.sum())])
    return taxonomy, identities, rows


@settings(deadline=None)
@given(asked(blanks=True, step=16), st.integers(1, 16))
def test_placements_are_the_naive_ones(
    drawn: tuple[Taxonomy, list[str], list[list[float]]], sixteenths: int
) -> None:
    taxonomy, identities, rows = drawn  # sixteenths add up without rounding, so ties are ties
    confidence = sixteenths / 16
    got = place(taxonomy, rows, identities, confidence)
    assert [plain(placement) for placement in got] == [
        naive(taxonomy, row, identities, confidence) for row in rows
    ]


@settings(deadline=None)
@given(asked(blanks=False), st.floats(0.01, 1))
def test_the_best_probability_never_falls_as_ranks_widen(
    drawn: tuple[Taxonomy, list[str], list[list[float]]], confidence: float
) -> None:
    taxonomy, identities, rows = drawn
    for row, placement in zip(rows, place(taxonomy, rows, identities, confidence), strict=True):
        best = max(row)  # of a class; each wider rank follows
        for at in range(len(taxonomy.ranks)):
            wider = Taxonomy(("here",), {i: (taxonomy.lineages[i][at],) for i in identities})
            (node,) = place(wider, [row], identities, 1.0)
            assert node.probability >= best
            best = node.probability
        if placement.rank is None:
            assert placement.probability == best < confidence
        else:
            assert placement.probability >= confidence


@settings(deadline=None)
@given(asked(blanks=True), st.floats(0.01, 1), st.floats(0.01, 1))
def test_more_confidence_never_answers_a_narrower_rank(
    drawn: tuple[Taxonomy, list[str], list[list[float]]], one: float, other: float
) -> None:
    taxonomy, identities, rows = drawn
    width = {rank: at for at, rank in enumerate(("class", *taxonomy.ranks, None))}
    bold = place(taxonomy, rows, identities, min(one, other))
    careful = place(taxonomy, rows, identities, max(one, other))
    for a, b in zip(bold, careful, strict=True):
        assert width[a.rank] <= width[b.rank]


def test_what_is_true_at_a_rank(spiders: Taxonomy) -> None:
    assert truth_at(spiders, "wolves", "class") == "wolves"
    assert truth_at(spiders, "wolves", "genus") is None
    assert truth_at(spiders, "wolves", "family") == "Lycosidae"
    with pytest.raises(FlukeprintError, match="no rank famly: did you mean family"):
        truth_at(spiders, "wolves", "famly")
    with pytest.raises(FlukeprintError, match="no row for zebra"):
        truth_at(spiders, "zebra", "class")


def test_what_is_right(spiders: Taxonomy) -> None:
    genus = RankPlacement("genus", "Steatoda", 0.9)
    assert is_right(spiders, genus, "nobilis") is True
    assert is_right(spiders, genus, "widow") is False
    assert is_right(spiders, genus, "wolves") is False  # nothing confirms it
    assert is_right(spiders, RankPlacement("class", "nobilis", 0.9), "grossa") is False
    assert is_right(spiders, RankPlacement("order", "Araneae", 0.9), "either") is True
    assert is_right(spiders, RankPlacement(None, None, 0.4), "either") is None
    with pytest.raises(FlukeprintError, match="zebra"):
        is_right(spiders, RankPlacement(None, None, 0.4), "zebra")


@pytest.mark.parametrize(
    ("rank", "name", "probability"),
    [("genus", None, 0.5), (None, "Steatoda", 0.5), ("genus", "G", 1.5), (None, None, -0.1)],
)
def test_no_placement_is_made_of_what_is_none(
    rank: str | None, name: str | None, probability: float
) -> None:
    with pytest.raises(ValueError):
        RankPlacement(rank, name, probability)
