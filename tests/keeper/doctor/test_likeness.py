"""Groups of photographs: means, nearest animals and what is learnt, recomputed plainly."""

import numpy as np
import pytest

from flukeprint.data.embeddings import unit_rows
from flukeprint.keeper.doctor.evidence import probability
from flukeprint.keeper.doctor.likeness import NEAR, features, learn_likeness, nearest
from flukeprint.keeper.doctor.material import CatalogueMaterial, centred, look_alikes
from flukeprint.records.kinds import PhotoRecord
from tests.keeper.doctor.drawn import gallery, rows_of


def test_material_keeps_views_apart_and_names_in_order():
    known = gallery(5, 3)
    material = CatalogueMaterial.of(known)
    assert material.names == tuple(f"a_{place:03}" for place in range(5))
    assert material.views == ("left", "right")
    for view, name in enumerate(material.views):
        animals = material.animals(view)
        assert animals.owners.tolist() == list(range(5))
        assert animals.sizes.tolist() == [3] * 5
        for label in range(5):
            rows = rows_of(known, f"a_{label:03}", name)
            assert material.rows_of[label, view].tolist() == rows
            mean = material.vectors[rows].sum(axis=0)
            np.testing.assert_allclose(animals.means[label], mean / np.linalg.norm(mean), atol=1e-6)


def test_each_view_is_centred_by_itself():
    rng = np.random.default_rng(0)
    vectors = unit_rows(np.concatenate([rng.normal(3, 1, (20, 6)), rng.normal(-3, 1, (20, 6))]))
    view_of = np.repeat([0, 1], 20)
    found = centred(vectors, view_of)
    moved = vectors[20:] - vectors[20:].mean(axis=0)
    np.testing.assert_allclose(
        found[20:], moved / np.linalg.norm(moved, axis=1, keepdims=True), atol=1e-5
    )


def test_a_burst_is_one_encounter_where_none_are_recorded():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(4, 16))
    vectors = unit_rows(np.concatenate([base, base[:1] + 0.01, base[:1] - 0.01]))
    labels, views = np.array([0, 0, 1, 1, 0, 1]), np.zeros(6, np.int64)
    found = look_alikes(vectors, labels, views)
    assert found[0] == found[4]  # the same animal and picture
    assert len(set(found.tolist())) == 5  # the copy under another name is none of its burst


def test_recorded_encounters_and_views_are_taken():
    known = gallery(2, 2, views=(None,))
    records = [
        PhotoRecord(1, "p0000.jpg", 0, "a_000", view="left", encounter=7),
        PhotoRecord(2, "p0001.jpg", 1, "a_000", encounter=7),
        PhotoRecord(3, "p0002.jpg", 2, "a_001", encounter=7),
    ]
    material = CatalogueMaterial.of(known, records)
    assert material.encounters_known
    assert material.view_of.tolist() == [0, -1, -1, -1]
    numbers = material.encounter_of.tolist()
    assert numbers[0] == numbers[1] == numbers[2] != numbers[3]


def test_the_level_is_the_mean_of_the_nearest_others():
    material = CatalogueMaterial.of(gallery(30, 2))
    animals = material.animals(0)
    near = nearest(animals, animals)
    cosine = animals.means.astype(float) @ animals.means.astype(float).T
    for one, other in ((0, 5), (3, int(near.places[3, 0])), (7, 8)):
        rest = [cosine[one, place] for place in range(30) if place not in (one, other)]
        expected = np.mean(sorted(rest)[::-1][:NEAR])
        found = near.level(np.array([one]), np.array([other]))
        assert found[0] == pytest.approx(expected, abs=1e-6)
    all_of_it = near.level(np.array([4]))[0]
    rest = sorted(np.delete(cosine[4], 4))[::-1][:NEAR]
    assert all_of_it == pytest.approx(np.mean(rest), abs=1e-6)


def test_few_animals_have_fewer_neighbours():
    animals = CatalogueMaterial.of(gallery(4, 2)).animals(0)
    near = nearest(animals, animals)
    assert near.scores.shape == (4, 3)
    assert np.isfinite(near.level(np.arange(4), np.array([1, 0, 0, 0]))).all()


def test_halves_of_an_animal_are_liker_than_two_animals():
    material = CatalogueMaterial.of(gallery())
    evidence = learn_likeness(material, 0.02, np.random.default_rng(0))
    assert evidence is not None
    sizes = np.array([2, 2]), np.array([2, 2])
    x = features(np.array([0.9, 0.0]), (np.array([0.3, 0.3]), np.array([0.3, 0.3])), sizes)
    alike, unlike = probability(evidence(x), 0.5)
    assert alike > 0.99
    assert unlike < 0.05


def test_single_photographs_teach_nothing():
    material = CatalogueMaterial.of(gallery(40, 1))
    assert learn_likeness(material, 0.02, np.random.default_rng(0)) is None
