"""Validation: who fits and who reports, and figures recomputed by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.data.splits import Split, halves, make_split
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import fit_calibration, fit_rules, fit_threshold
from flukeprint.evaluation.validation import (
    Validation,
    check_fittable,
    commonest_baseline,
    selection_map5,
    validate,
    validate_rankings,
)
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.ranking.rules import FittedRules


def setting(tmp_path: Path, *overrides: str) -> Config:
    (tmp_path / "c.yaml").write_text("split: {folds: 3, unseen_share: 0.3}")
    return load_config(tmp_path / "c.yaml", list(overrides))


def animals(spread: float, seed: int = 0, many: int = 30) -> tuple[Catalog, Embeddings]:
    """Animals with 1 to 6 photos around their own direction; photos of nobody known."""
    rng = np.random.default_rng(seed)
    names: list[str | None] = []
    vectors = []
    for animal in range(many):
        centre = rng.normal(size=8)
        for _ in range(1 + animal % 6):
            names.append(f"w_{animal:02}")
            vectors.append(centre + spread * rng.normal(size=8))
    for _ in range(many * 2 // 5):
        names.append(None)
        vectors.append(rng.normal(size=8))
    images = tuple(f"{i}.jpg" for i in range(len(names)))
    pixels = rng.integers(0, 255, (len(names), 4, 4), dtype=np.uint8)
    catalog = Catalog(images=images, identities=tuple(names), pixels=pixels)
    return catalog, Embeddings(unit_rows(vectors), images, tuple(names), None, "s")


def split_by(catalog: Catalog, config: Config) -> Split:
    return make_split(
        catalog,
        config.split,
        closed_set=config.data.closed_set,
        new_photos="negatives",
        min_photos=1,
    )


def measured(embeddings: Embeddings, split: Split, config: Config) -> Validation:
    return validate(Features(embeddings), split, config)[0]


def naive_map5(embeddings: Embeddings, split: Split, places: list[int], threshold: float) -> float:
    """The definition: best photo of each animal, None before the first below the threshold."""
    points = []
    for place in places:
        query = embeddings.vectors[split.queries[place]]
        best: dict[str | None, float] = {}
        for row in split.gallery:
            name = embeddings.identities[row]
            best[name] = max(best.get(name, -2.0), float(query @ embeddings.vectors[row]))
        best[None] = threshold
        order = sorted(best, key=lambda name: -best[name])[:5]
        right = split.answers[place]
        points.append(1 / (order.index(right) + 1) if right in order else 0.0)
    return float(np.mean(points))


def test_open_set_figures_by_hand(tmp_path: Path) -> None:
    config = setting(tmp_path)
    catalog, embeddings = animals(0.3)
    split = split_by(catalog, config)
    result = measured(embeddings, split, config)
    assert result.threshold is not None
    assert result.fitted_on + result.scores.queries == len(split.queries)
    want = naive_map5(embeddings, split, result.report.tolist(), result.threshold)
    assert result.scores.map5.mean == pytest.approx(want, abs=1e-9)


def test_the_threshold_never_sees_the_reporting_half(tmp_path: Path) -> None:
    """Scrambling the reporting queries changes the figures, not the threshold."""
    config = setting(tmp_path)
    catalog, embeddings = animals(0.3)
    split = split_by(catalog, config)
    before = measured(embeddings, split, config)
    vectors = embeddings.vectors.copy()
    rows = split.queries[before.report]
    vectors[rows] = unit_rows(np.random.default_rng(5).normal(size=(len(rows), 8)))
    scrambled = Embeddings(vectors, embeddings.images, embeddings.identities, None, "s")
    after = measured(scrambled, split, config)
    assert after.threshold == before.threshold
    assert after.scores.map5.mean < before.scores.map5.mean
    assert selection_map5(scrambled, split, config) == selection_map5(embeddings, split, config)


def test_a_closed_set_has_no_threshold_and_all_queries_report(tmp_path: Path) -> None:
    config = setting(tmp_path, "data.closed_set=true")
    catalog, embeddings = animals(0.3)
    split = split_by(catalog, config)
    result = measured(embeddings, split, config)
    assert result.threshold is None
    assert result.scores.queries == len(split.queries)
    assert result.scores.new_queries == 0
    assert all(None not in names for names in result.ranking.identities)


def test_early_stopping_takes_its_half_from_a_closed_set_too(tmp_path: Path) -> None:
    config = setting(tmp_path, "data.closed_set=true", "train.patience=2")
    catalog, embeddings = animals(0.3)
    split = split_by(catalog, config)
    result = measured(embeddings, split, config)
    assert 0 < result.fitted_on < len(split.queries)
    assert result.fitted_on + result.scores.queries == len(split.queries)


def test_a_given_threshold_is_taken_as_it_is(tmp_path: Path) -> None:
    config = setting(tmp_path, "infer.threshold=0.5")
    catalog, embeddings = animals(0.3)
    result = measured(embeddings, split_by(catalog, config), config)
    assert result.threshold == 0.5
    assert result.fitted_on == 0


def test_the_commonest_labels_by_hand(tmp_path: Path) -> None:
    config = setting(tmp_path, "infer.threshold=none")
    catalog, _ = animals(0.3)
    split = split_by(catalog, config)
    labels = [catalog.identities[row] for row in range(len(catalog)) if row not in split.queries]
    common = sorted(
        set(labels), key=lambda name: (-labels.count(name), name is not None, name or "")
    )[:5]
    points = [
        1 / (common.index(answer) + 1) if answer in common else 0.0 for answer in split.answers
    ]
    assert commonest_baseline(catalog, split, config).map5.mean == pytest.approx(np.mean(points))


@pytest.mark.parametrize("rule", ["{share: 0.3}", "{false_new: 0.2}"])
def test_a_threshold_rule_is_applied_to_one_half_and_measured_on_the_other(
    tmp_path: Path, rule: str
) -> None:
    config = setting(tmp_path, f"infer.threshold={rule}")
    catalog, embeddings = animals(0.5, many=60)
    split = split_by(catalog, config)
    result = measured(embeddings, split, config)
    assert result.threshold is not None
    assert result.fitted_on + result.scores.queries == len(split.queries)
    fit = np.setdiff1d(np.arange(len(split.queries)), result.report)
    if "false_new" in rule:
        fit = np.array([i for i in fit if split.answers[i] is not None])
    first = [
        names[0] is None
        for names in insert_new_individual(
            result.queries.ranking.take(fit), result.threshold
        ).identities
    ]
    promised = 0.2 if "false_new" in rule else 0.3
    assert promised - 1 / len(fit) < np.mean(first) <= promised
    # The other half is measured, not promised.
    e = result.expectation
    assert e is not None
    assert e.false_new is not None
    assert e.missed_new is not None
    first_new = np.array([names[0] is None for names in result.ranking.identities])
    is_new = np.array([split.answers[i] is None for i in result.report])
    assert e.false_new.mean == pytest.approx(first_new[~is_new].mean())
    assert e.missed_new.mean == pytest.approx((~first_new[is_new]).mean())
    assert e.map5 == result.scores.map5
    at_all = naive_map5(embeddings, split, result.report.tolist(), 9.0)
    never = naive_map5(embeddings, split, result.report.tolist(), -9.0)
    assert e.always.mean == pytest.approx(at_all)
    assert e.never.mean == pytest.approx(never)


def test_a_closed_set_takes_a_false_new_threshold(tmp_path: Path) -> None:
    config = setting(tmp_path, "data.closed_set=true", "infer.threshold={false_new: 0.1}")
    catalog, embeddings = animals(0.5, many=60)
    result = measured(embeddings, split_by(catalog, config), config)
    assert result.threshold is not None
    assert result.expectation is not None
    assert result.expectation.missed_new is None
    assert result.fitted_on > 0


def test_probabilities_of_a_closed_set_are_calibrated_on_the_other_half(tmp_path: Path) -> None:
    config = setting(tmp_path, "data.closed_set=true")
    catalog, embeddings = animals(0.8, many=60)
    split = split_by(catalog, config)
    result = measured(embeddings, split, config)
    assert result.reliability is not None
    assert sum(result.reliability.queries) == len(split.queries)
    side = halves(split.answers, result.queries.individuals, config.split.seed)
    report_half = np.zeros(len(split.queries))
    for half in (side, ~side):
        answers = [a for a, h in zip(split.answers, half, strict=True) if h]
        other = fit_calibration(result.queries.ranking.take(half), answers)
        assert other is not None
        report_half[~half] = other.probabilities(result.ranking.take(~half))
    counts = np.array(result.reliability.queries)
    mean = float(counts @ np.array(result.reliability.predicted) / counts.sum())
    assert mean == pytest.approx(report_half.mean())
    hits = float(counts @ np.array(result.reliability.observed) / counts.sum())
    assert hits == pytest.approx(result.scores.top1)
    assert result.calibration == fit_calibration(result.queries.ranking, split.answers)


def test_few_queries_give_no_probabilities_and_it_is_said(tmp_path: Path) -> None:
    config = setting(tmp_path)
    catalog, embeddings = animals(0.3)
    result = measured(embeddings, split_by(catalog, config), config)
    assert result.reliability is None
    assert result.calibration is None
    assert "each half of the queries needs 20 of known animals" in result.lines()[-1]
    summary = result.summary()
    assert summary["reliability"] is None
    assert summary["expectation"]["false_new"]["low"] <= summary["expectation"]["false_new"]["mean"]


def test_a_fold_too_small_for_the_threshold_is_refused_before_training(tmp_path: Path) -> None:
    catalog, _ = animals(0.3)
    split = split_by(catalog, setting(tmp_path))
    known = [i for i, answer in enumerate(split.answers) if answer is not None][:1]
    small = Split(split.train, split.gallery, split.queries[known], (split.answers[known[0]],))
    for rule in ("best_map5", "{share: 0.2}", "{false_new: 0.2}"):
        config = setting(tmp_path, f"infer.threshold={rule}")
        check_fittable(catalog.identities, split, config)
        with pytest.raises(FlukeprintError, match="too few to fit"):
            check_fittable(catalog.identities, small, config)
    check_fittable(catalog.identities, small, setting(tmp_path, "infer.threshold=0.5"))


def test_kept_queries_are_judged_alike(tmp_path: Path) -> None:
    config = setting(tmp_path)
    catalog, embeddings = animals(0.3)
    result = measured(embeddings, split_by(catalog, config), config)
    assert validate_rankings(result.queries, config).summary() == result.summary()


def seen_from_sides(embeddings: Embeddings) -> Embeddings:
    """Photographs of one side have something in common, whoever is on them."""
    views = tuple("left" if i % 3 else "right" for i in range(len(embeddings)))
    common = np.random.default_rng(9).normal(size=(2, 8))
    moved = [
        vector + 0.6 * common[int(view == "left")]
        for vector, view in zip(embeddings.vectors, views, strict=True)
    ]
    return Embeddings(unit_rows(moved), embeddings.images, embeddings.identities, views, "s")


def test_each_half_is_answered_with_what_the_other_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = setting(tmp_path, "rank.other_view=fit", "data.closed_set=true")
    catalog, plain = animals(0.3)
    embeddings = seen_from_sides(plain)
    split = split_by(catalog, config)
    fitted: list[tuple[list[int], FittedRules]] = []
    answered: list[tuple[list[int], FittedRules]] = []
    fit, answer = fit_rules, QueryRanker.rank

    def noted_fit(
        ranker: QueryRanker,
        answers: Sequence[str | None],
        rows: npt.NDArray[np.int64] | None = None,
    ) -> FittedRules:
        index = list(range(len(split.queries))) if rows is None else rows.tolist()
        assert list(answers) == [split.answers[i] for i in index]
        rules = fit(ranker, answers, rows)
        rules = rules.model_copy(update={"other_view": 0.01 * (1 + len(fitted))})
        fitted.append((index, rules))
        return rules

    def noted_answer(
        ranker: QueryRanker, rules: FittedRules, rows: npt.NDArray[np.int64]
    ) -> Ranking:
        answered.append((rows.tolist(), rules))
        return answer(ranker, rules, rows)

    monkeypatch.setattr("flukeprint.evaluation.validation.fit_rules", noted_fit)
    monkeypatch.setattr(QueryRanker, "rank", noted_answer)
    result, rules = validate(Features(embeddings), split, config)
    every = list(range(len(split.queries)))
    assert [m for index, m in fitted if index == every] == [rules]
    assert sorted(row for rows, _ in answered for row in rows) == every
    for report_half, used in answered:
        (fit_half,) = [index for index, m in fitted if m == used]
        names = [
            {embeddings.identities[split.queries[i]] for i in half}
            for half in (fit_half, report_half)
        ]
        assert fit_half
        assert report_half
        assert names[0] & names[1] <= {None}
    # Every query stands where it was, with the score that its own rules give.
    ranking = result.queries.ranking
    assert ranking.images == tuple(embeddings.images[row] for row in split.queries)
    views = embeddings.views or ()
    for report_half, used in answered:
        for place in report_half:
            query = split.queries[place]
            scores = [
                float(embeddings.vectors[query] @ embeddings.vectors[row])
                - used.other_view * (views[row] != views[query])
                for row in split.gallery
            ]
            assert ranking.best_known[place] == pytest.approx(max(scores), abs=1e-6)
            best = split.gallery[int(np.argmax(scores))]
            assert ranking.identities[place][0] == embeddings.identities[best]


def test_a_threshold_is_fitted_and_measured_on_one_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules that each set another scale of scores: those of one half rank both halves."""
    config = setting(tmp_path, "rank.other_view=fit", "infer.fallback=fitted")
    catalog, plain = animals(0.3, many=120)
    embeddings = seen_from_sides(plain)
    split = split_by(catalog, config)
    fitted: list[tuple[list[int], FittedRules]] = []
    fit = fit_rules

    def scaled(
        ranker: QueryRanker,
        answers: Sequence[str | None],
        rows: npt.NDArray[np.int64] | None = None,
    ) -> FittedRules:
        index = list(range(len(split.queries))) if rows is None else rows.tolist()
        other_view = 0.2 + 0.3 * len(fitted)
        rules = fit(ranker, answers, rows).model_copy(update={"other_view": other_view})
        fitted.append((index, rules))
        return rules

    monkeypatch.setattr("flukeprint.evaluation.validation.fit_rules", scaled)
    result, rules = validate(Features(embeddings), split, config)
    ranker = QueryRanker(
        Features(embeddings.take(split.gallery)), Features(embeddings.take(split.queries)),
        config.rank,
    )  # fmt: skip
    ((half, of_half),) = [(index, used) for index, used in fitted if used != rules]
    ranking = ranker.rank(of_half)
    np.testing.assert_array_equal(result.queries.ranking.scores, ranking.scores)
    assert sorted([*half, *result.report.tolist()]) == list(range(len(split.queries)))
    answers = split.answers
    assert result.threshold == fit_threshold(ranking.take(half), [answers[i] for i in half])
    final = ranker.rank(rules)
    assert result.deployed == fit_threshold(final, answers)
    assert result.calibration == fit_calibration(final, answers)


def test_numbers_for_other_views_are_not_fitted_on_their_own_queries(tmp_path: Path) -> None:
    """The returned rules are fitted on all queries; the metrics are of halves."""
    config = setting(tmp_path, "rank.other_view=fit", "data.closed_set=true")
    catalog, plain = animals(0.3)
    embeddings = seen_from_sides(plain)
    split = split_by(catalog, config)
    result, rules = validate(Features(embeddings), split, config)
    ranker = QueryRanker(
        Features(embeddings.take(split.gallery)),
        Features(embeddings.take(split.queries)),
        config.rank,
    )
    assert rules == fit_rules(ranker, split.answers)
    side = halves(split.answers, result.queries.individuals, config.split.seed)
    for report_half in (side, ~side):
        fit_half = np.flatnonzero(~report_half)
        own = fit_rules(ranker, [split.answers[i] for i in fit_half], fit_half)
        want = ranker.rank(own, np.flatnonzero(report_half))
        np.testing.assert_array_equal(result.ranking.take(report_half).scores, want.scores)


def test_one_query_alone_is_answered(tmp_path: Path) -> None:
    """One of the halves is empty."""
    config = setting(tmp_path, "rank.other_view=fit", "data.closed_set=true")
    catalog, plain = animals(0.3)
    split = split_by(catalog, config)
    small = Split(split.train, split.gallery, split.queries[:1], split.answers[:1])
    result, _ = validate(Features(seen_from_sides(plain)), small, config)
    assert len(result.ranking) == 1
