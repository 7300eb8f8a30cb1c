"""Verdicts: the identifier's answers, and all that is said beside them, recomputed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.catalog import Catalog
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.showcase import Showcase
from flukeprint.identifier.verdict import row_text, verdict_row
from flukeprint.ranking.calibration import posterior
from flukeprint.ranking.encounters.combine import COMBINATIONS, merge_encounter
from flukeprint.ranking.features import Features
from flukeprint.ranking.threshold import OutOfDistribution
from tests.identifier.earlier import without_digests
from tests.serving.served import make_identifier, photo


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Identifier:
    return Identifier.load(make_identifier(tmp_path_factory.mktemp("verdicts")))


def settled(known: Identifier, **card: object) -> Identifier:
    return replace(known, card=known.card.model_copy(update=card))


def test_the_answers_are_those_of_identify(known: Identifier):
    photos = [photo(i, 77) for i in range(5)]
    plain = known.identify(photos)
    for row, verdict in enumerate(known.judge(photos)):
        assert verdict.ranking.identities[0] == plain.identities[row]
        np.testing.assert_allclose(verdict.ranking.scores[0], plain.scores[row], atol=1e-6)
        kind = "new" if plain.identities[row][0] is None else "known"
        assert verdict.kind == ("outside" if verdict.outside else kind)


def test_probabilities_stand_beside_their_answers(known: Identifier):
    queries = known.examine([photo(3, 5)])
    verdict = known.judge_encounter(queries)
    every = settled(known, threshold=None).rank(queries, top=len(known.identities))
    likely = posterior(every, known.card.calibration)
    assert verdict.probabilities is not None
    for name, value in zip(verdict.ranking.identities[0], verdict.probabilities, strict=True):
        column = None if name is None else every.identities[0].index(name)
        expected = likely.new[0] if column is None else likely.identities[0, column]
        assert value == pytest.approx(float(expected))
    # The first answer's is what `probabilities` says of the same ranking.
    assert verdict.probabilities[0] == pytest.approx(known.probabilities(verdict.ranking)[0])


def test_the_nearest_photos_are_of_the_answer_and_sorted(known: Identifier):
    queries = known.examine([photo(1, 9)])
    verdict = known.judge_encounter(queries)
    cosines = (known.gallery.vectors @ queries.embeddings.vectors[0]).tolist()
    for name, near, row in zip(
        verdict.ranking.identities[0], verdict.nearest, verdict.ranking.rows[0], strict=True
    ):
        if name is None:
            assert near == ()
            continue
        own = [i for i, who in enumerate(known.gallery.identities) if who == name]
        assert near[0].row == row
        assert len(near) == min(3, len(own))
        assert {spot.row for spot in near} <= set(own)
        for spot in near:
            assert spot.score == pytest.approx(cosines[spot.row], abs=1e-6)
        left_out = set(own) - {spot.row for spot in near}
        assert all(cosines[i] <= near[-1].score + 1e-6 for i in left_out)


def test_an_encounter_is_as_close_as_its_closest_photograph(known: Identifier):
    photos = [photo(0, 1), photo(5, 2)]
    apart = known.judge(photos)
    together = known.judge_encounter(known.examine(photos))
    assert together.nearest_cosine == pytest.approx(max(v.nearest_cosine for v in apart), abs=1e-6)


def test_something_else_is_outside_and_has_no_place(known: Identifier):
    never, always = (
        OutOfDistribution(floor=floor, share=0.02, queries=50) for floor in (-1.0, 1.5)
    )
    queries = known.examine([photo(2, 4)])
    inside = settled(known, outside=never).judge_encounter(queries)
    outside = settled(known, outside=always).judge_encounter(queries)
    assert (inside.kind, outside.kind) != ("outside", "outside")
    assert outside.kind == "outside"
    assert outside.placement is None
    assert inside.placement is not None
    assert outside.ranking.identities == inside.ranking.identities


def test_without_calibration_or_taxonomy_nothing_is_said(known: Identifier):
    bare = replace(settled(known, calibration=None), showcase=None)
    verdict = bare.judge([photo(2, 4)])[0]
    assert (verdict.probabilities, verdict.new, verdict.placement) == (None, None, None)


def test_of_a_closed_set_nothing_is_known_of_new_individuals(known: Identifier):
    calibration = known.card.calibration.model_copy(update={"known": None})
    assert settled(known, calibration=calibration).judge([photo(2, 4)])[0].new is None


def test_a_pair_is_verified_symmetrically(known: Identifier):
    pair = known.examine([photo(1, 1), photo(1, 2)])
    score, point = known.verify(pair, 0.05)
    assert known.verify(pair.take([1, 0]), 0.05) == (score, point)
    vectors = pair.embeddings.vectors.astype(np.float64)
    assert score == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    assert point.false_accept <= 0.05
    with pytest.raises(FlukeprintError, match="train again"):
        settled(known, verifier=None).verify(pair, 0.05)


def test_what_is_enrolled_has_a_place_and_no_lineage(known: Identifier):
    grown = known.enroll("stranger", [photo(200, 1)], thumbnails=False)
    shown = grown.showcase
    assert shown is not None
    assert known.showcase is not None
    assert len(shown) == len(known.showcase) + 1
    assert shown.thumbnails[len(shown) - 1] is None
    assert shown.taxonomy is not None
    assert shown.taxonomy.lineages["stranger"] == (None, None)
    verdict = grown.judge([photo(200, 1)])[0]
    assert "stranger" in verdict.ranking.identities[0]
    pictured = known.enroll("stranger", [photo(200, 1)]).showcase
    assert pictured is not None
    assert pictured.thumbnails[len(pictured) - 1] is not None


def test_the_showcase_is_kept_with_the_identifier(known: Identifier, tmp_path: Path):
    grown = known.enroll("stranger", [photo(200, 1)])
    grown.save(tmp_path / "kept")
    again = Identifier.load(tmp_path / "kept").showcase
    assert again is not None
    assert grown.showcase is not None
    assert again.taxonomy == grown.showcase.taxonomy
    assert again.cards == grown.showcase.cards
    np.testing.assert_array_equal(again.xy, grown.showcase.xy)
    assert [again.thumbnails[i] for i in range(len(again))] == [
        grown.showcase.thumbnails[i] for i in range(len(again))
    ]
    assert len(again.examples) == len(grown.showcase.examples) == 6


def test_an_identifier_of_an_earlier_version_has_no_showcase(known: Identifier, tmp_path: Path):
    known.save(tmp_path / "kept")
    without_digests(tmp_path / "kept")
    for name in ("thumbnails.npz", "examples.npz", "map.npz", "taxonomy.csv", "cards.csv"):
        (tmp_path / "kept" / name).unlink()
    assert Identifier.load(tmp_path / "kept").showcase is None


def test_thumbnails_of_another_gallery_are_refused(known: Identifier):
    few = Showcase(Thumbnails.none(2), np.zeros((2, 2), np.float32))
    with pytest.raises(FlukeprintError, match="do not belong together"):
        replace(known, showcase=few)


def test_photos_of_a_catalogue_and_from_memory_are_judged_alike(known: Identifier, tmp_path: Path):
    data = photo(4, 4)
    (tmp_path / "a.jpg").write_bytes(data)
    catalog = Catalog(images=("a.jpg",), paths=(tmp_path / "a.jpg",))
    assert known.judge(catalog)[0].ranking.scores.tolist() == (
        known.judge([data])[0].ranking.scores.tolist()
    )
    seen = known.examine([data, data])
    assert len(Features.concatenate([seen, seen])) == 4


def test_several_photographs_say_more_than_one(known: Identifier):
    queries = known.examine([photo(3, 5), photo(3, 6), photo(3, 7)])
    assert known.card.method.encounter_exponent == 0
    as_one = known.judge_encounter(queries)
    method = known.card.method.model_copy(update={"encounter_exponent": 0.5})
    sure = settled(known, method=method)
    together = sure.judge_encounter(queries)
    assert together.ranking.identities == as_one.ranking.identities
    every = merge_encounter(settled(known, threshold=None).rank(queries, top=len(known.identities)))
    likely = posterior(every, known.card.calibration)
    power = likely.identities[0] ** 3**0.5
    expected = (1 - likely.new[0]) * power / power.sum()
    name = together.answers[0]
    assert together.probabilities[0] == pytest.approx(
        likely.new[0] if name is None else expected[every.identities[0].index(name)]
    )
    # One photograph is answered as before.
    one = queries.take([0])
    assert sure.judge_encounter(one).probabilities == known.judge_encounter(one).probabilities


def test_the_rule_of_encounters_is_that_of_the_identifier(known: Identifier):
    queries = known.examine([photo(3, 5), photo(4, 6)])
    every = settled(known, threshold=None).rank(queries, top=len(known.identities))
    for rule in COMBINATIONS:
        rules = known.card.method.rules.model_copy(update={"encounters": rule})
        method = known.card.method.model_copy(update={"rules": rules})
        verdict = settled(known, method=method, threshold=None).judge_encounter(queries)
        merged = merge_encounter(every, rule, known.card.calibration)
        assert verdict.answers == merged.identities[0][:5]
        np.testing.assert_array_equal(verdict.ranking.scores[0], merged.scores[0, :5])


def test_a_prior_tells_its_part_and_moves_answers(known: Identifier):
    queries = known.examine([photo(3, 5), photo(3, 6)])
    never_new = settled(known, threshold=None)
    plain = never_new.judge_encounter(queries)
    neutral = never_new.judge_encounter(queries, log_weights={})
    assert neutral.answers == plain.answers
    assert neutral.probabilities == pytest.approx(plain.probabilities)
    assert (plain.factors, neutral.factors) == (None, (1.0,) * 5)
    assert "prior" not in verdict_row("x", plain, "new")["answers"][0]
    last = plain.answers[-1]
    informed = never_new.judge_encounter(queries, log_weights={last: 12.0})
    assert informed.answers[0] == last
    assert informed.factors[0] == pytest.approx(np.exp(12))
    assert informed.factors[1:] == (1.0,) * 4
    assert informed.probabilities[0] > 0.9
    row = verdict_row("x", informed, "new")
    assert row["answers"][0]["prior"] == informed.factors[0]
    lines = row_text(row).splitlines()
    assert "prior" in lines[-6]
    assert "x1.00" in lines[-1]
    with pytest.raises(FlukeprintError, match="needs probabilities"):
        settled(known, calibration=None).judge_encounter(queries, log_weights={})
