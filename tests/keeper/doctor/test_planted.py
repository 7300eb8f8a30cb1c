"""Faults that are planted in a drawn catalogue are found, and little else."""

from dataclasses import replace

import numpy as np
import pytest

from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError
from flukeprint.keeper.doctor.doublets import doublets
from flukeprint.keeper.doctor.examine import alike_names, examine_catalogue
from flukeprint.keeper.doctor.holding_out import FOLDS, dealt, rank_held_out
from flukeprint.keeper.doctor.likeness import learn_likeness
from flukeprint.keeper.doctor.material import CatalogueMaterial
from flukeprint.keeper.doctor.mixtures import part
from flukeprint.keeper.doctor.options import DoctorOptions
from flukeprint.ranking.features import Features
from flukeprint.ranking.rules import FittedRules
from flukeprint.records.kinds import PhotoRecord
from tests.keeper.doctor.drawn import gallery, identifier_of, renamed, rows_of


def pairs_in(known: Embeddings, least: float = 0.3) -> list[tuple[str, ...]]:
    material = CatalogueMaterial.of(known)
    evidence = learn_likeness(material, 0.02, np.random.default_rng(0))
    assert evidence is not None
    return [found.individuals for found in doublets(material, evidence, 0.02, least)]


def halved(known: Embeddings, name: str, other: str) -> Embeddings:
    """Every second photograph of an animal under another name."""
    return renamed(known, dict.fromkeys(rows_of(known, name)[::2], other))


def test_an_animal_under_two_names_is_found():
    known = gallery()
    assert pairs_in(known) == []
    twice = halved(halved(known, "a_003", "b"), "a_020", "c")
    assert sorted(pairs_in(twice)) == [("a_003", "b"), ("a_020", "c")]


def test_the_photographs_that_say_so_are_one_of_each_and_of_one_view():
    known = halved(gallery(), "a_003", "b")
    material = CatalogueMaterial.of(known)
    evidence = learn_likeness(material, 0.02, np.random.default_rng(0))
    assert evidence is not None
    (found,) = doublets(material, evidence, 0.02, 0.3)
    rows = [[known.images.index(image) for image in pair] for pair in found.photographs]
    assert len(rows) == 3
    assert len({row for pair in rows for row in pair}) == 6
    assert known.views is not None
    for one, other in rows:
        assert (known.identities[one], known.identities[other]) == ("a_003", "b")
        assert known.views[one] == known.views[other]
    every = material.vectors[rows_of(known, "a_003")] @ material.vectors[rows_of(known, "b")].T
    same = np.array(
        [[known.views[i] == known.views[j] for j in rows_of(known, "b")]
         for i in rows_of(known, "a_003")]
    )  # fmt: skip
    first = float(material.vectors[rows[0][0]] @ material.vectors[rows[0][1]])
    assert first == pytest.approx(every[same].max(), abs=1e-6)


def test_flanks_are_never_compared_with_each_other():
    known = gallery()
    vectors = known.vectors.copy()
    # The left flank of one looks like the right flank of another.
    vectors[rows_of(known, "a_001", "left")] = vectors[rows_of(known, "a_002", "right")]
    assert pairs_in(replace(known, vectors=vectors)) == []
    vectors[rows_of(known, "a_001", "right")] = vectors[rows_of(known, "a_002", "right")]
    vectors[rows_of(known, "a_001", "left")] = vectors[rows_of(known, "a_002", "left")]
    assert pairs_in(replace(known, vectors=vectors)) == [("a_001", "a_002")]


def test_views_weigh_against_each_other():
    known = gallery(spread=0.9)
    vectors = known.vectors.copy()
    vectors[rows_of(known, "a_001", "left")] = vectors[rows_of(known, "a_002", "left")]
    left_only = replace(known, vectors=vectors)
    material = CatalogueMaterial.of(left_only)
    evidence = learn_likeness(material, 0.02, np.random.default_rng(0))
    assert evidence is not None
    both = {f.individuals: f.probability for f in doublets(material, evidence, 0.02, 1e-12)}
    without = left_only.take(
        [r for r in range(len(known)) if r not in rows_of(known, "a_001", "right")]
    )
    alone = CatalogueMaterial.of(without)
    one = {f.individuals: f.probability for f in doublets(alone, evidence, 0.02, 1e-12)}
    assert (one[("a_001", "a_002")] or 0) > (both[("a_001", "a_002")] or 0)


def test_two_animals_under_one_name_are_found(tmp_path):
    known = gallery(animals=42)
    mixed = renamed(known, dict.fromkeys(rows_of(known, "a_041"), "a_000"))
    report = examine_catalogue(identifier_of(tmp_path, mixed))
    assert [found.individuals for found in report.of("mixture")] == [("a_000",)]
    groups = [set(group) for group in report.of("mixture")[0].photographs]
    for view in ("left", "right"):
        for name in ("a_000", "a_041"):
            assert {known.images[row] for row in rows_of(known, name, view)} in groups
    assert report.of("doublet") == ()


def test_a_wrong_label_is_found_with_its_neighbours(tmp_path):
    known = gallery()
    row = rows_of(known, "a_005", "left")[1]
    told = renamed(known, {row: "a_010"})
    report = examine_catalogue(identifier_of(tmp_path, told))
    assert [(f.individuals, f.photographs[0][0]) for f in report.of("label")] == [
        (("a_010",), known.images[row])
    ]
    (found,) = report.of("label")
    others = [r for r in rows_of(known, "a_005", "left") if r != row]
    best = max(others, key=lambda r: float(known.vectors[r] @ known.vectors[row]))
    assert found.photographs[0][1] == known.images[best]
    assert "a_005" in found.words
    assert known.images.index(found.photographs[1][0]) in rows_of(told, "a_010", "left")
    assert report.doubted is not None
    assert report.doubted >= 1


def test_labels_between_two_names_of_one_animal_are_not_told_again(tmp_path):
    known = halved(gallery(), "a_003", "b")
    report = examine_catalogue(identifier_of(tmp_path, known))
    assert [f.individuals for f in report.of("doublet")] == [("a_003", "b")]
    assert report.of("label") == ()


def test_left_out_photographs_are_ranked_without_themselves():
    known = gallery(12, 3)
    material = CatalogueMaterial.of(known)
    found = rank_held_out(Features(known), material, FittedRules())
    cosine = known.vectors.astype(float) @ known.vectors.astype(float).T
    views = np.array(known.views)
    own, _ = found.own()
    for row in range(len(known)):
        mine = [r for r in rows_of(known, str(known.identities[row]), views[row]) if r != row]
        assert own[row] == pytest.approx(cosine[row, mine].max(), abs=1e-5)
        assert row not in found.rows[row]
    assert found.judged.all()


def test_the_only_photograph_of_a_view_is_not_judged():
    known = gallery(12, 3)
    first, *rest = rows_of(known, "a_004", "left")
    known = known.take([row for row in range(len(known)) if row not in rest])
    material = CatalogueMaterial.of(known)
    found = rank_held_out(Features(known), material, FittedRules())
    assert np.flatnonzero(~found.judged).tolist() == [known.images.index(f"p{first:04}.jpg")]


def test_an_encounter_is_left_out_as_a_whole():
    known = gallery(4, 30)
    records = [
        PhotoRecord(row + 1, image, row, str(name), encounter=row // 3)
        for row, (image, name) in enumerate(zip(known.images, known.identities, strict=True))
    ]
    material = CatalogueMaterial.of(known, records)
    fold = dealt(material)
    for encounter in range(len(known) // 3):
        assert len(set(fold[3 * encounter : 3 * encounter + 3].tolist())) == 1
    assert set(fold.tolist()) == set(range(FOLDS))


def test_odd_ones_do_not_part_an_animal():
    known = gallery(3, 8, views=("left",))
    vectors = known.vectors.copy()
    vectors[0] = -vectors[1]  # a single odd one
    material = CatalogueMaterial.of(replace(known, vectors=vectors))
    rows = material.rows_of[0, 0]
    two = part(material, rows)
    assert two is not None
    assert min(map(len, two)) >= 2
    assert sorted(np.concatenate(two).tolist()) == rows.tolist()
    assert part(material, rows[:3]) is None


def test_names_that_differ_in_zeros_or_spelling_alone():
    names = ["n_007", "n_7", "N-007", "n_070", "n_70", "Zoë", "zoe", "n_1_2", "n_12", "n_0"]
    groups = {found.individuals for found in alike_names(names)}
    assert groups == {("N-007", "n_007", "n_7"), ("n_070", "n_70"), ("Zoë", "zoe")}


def test_a_small_catalogue_says_what_it_cannot_judge(tmp_path):
    report = examine_catalogue(identifier_of(tmp_path, gallery(3, 2, views=(None,)), False))
    assert report.findings == ()
    assert len(report.notes) >= 4
    assert "nothing found" in report.text()


@pytest.mark.parametrize("wrong", [{"least": 0.0}, {"expected": 1.0}, {"animal_speed": -1.0}])
def test_options_are_checked(wrong):
    with pytest.raises(FlukeprintError):
        DoctorOptions(**wrong)
