"""A threshold that was fitted on too little, or gains nothing, is not used, and it is said why."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import FEWEST_KNOWN, fit_threshold
from flukeprint.evaluation.metrics import map_at_5
from flukeprint.evaluation.threshold_choice import FEWEST_NEW, choose_threshold
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import ValidationQueries
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.ranking.threshold import threshold_for_share
from tests.refusals import refused


def setting(tmp_path: Path, *overrides: str) -> Config:
    (tmp_path / "c.yaml").write_text("split: {folds: 2}")
    return load_config(tmp_path / "c.yaml", list(overrides))


def asked(known: int, new: int, gap: float, seed: int = 0) -> ValidationQueries:
    """Queries of as many animals; those of known ones score higher by `gap` (spread 0.1).

    Three of four known ones are found at the first place.
    """
    rng = np.random.default_rng(seed)
    q = known + new
    answers = tuple(f"w{i}" if i < known else None for i in range(q))
    first = 0.5 + 0.1 * rng.normal(size=q) + np.where(np.arange(q) < known, gap, 0.0)
    scores = (first[:, None] - np.arange(5) * 0.05).astype(np.float32)
    identities = []
    for i in range(q):
        names = [f"other{i}-{j}" for j in range(5)]
        if i < known:
            names[0 if i % 4 else 2] = f"w{i}"
        identities.append(tuple(names))
    ranking = Ranking(
        images=tuple(f"{i}.jpg" for i in range(q)),
        identities=tuple(identities),
        scores=scores,
        rows=np.zeros((q, 5), dtype=np.int64),
        best_known=scores[:, 0],
    )
    return ValidationQueries(ranking, answers, tuple(f"animal {i}" for i in range(q)))


def halves_of(queries: ValidationQueries) -> tuple[np.ndarray, np.ndarray]:
    every = np.arange(len(queries.answers))
    return every[::2], every[1::2]


def test_a_threshold_that_gains_is_the_fitted_one(tmp_path: Path) -> None:
    queries = asked(200, 80, gap=0.5)
    fit, report = halves_of(queries)
    chosen = choose_threshold(queries.ranking, queries.answers, fit, report, setting(tmp_path))
    assert chosen.doubt is None
    want = fit_threshold(queries.ranking.take(fit), [queries.answers[i] for i in fit])
    assert chosen.threshold == want


@pytest.mark.parametrize(
    ("known", "new", "few"),
    [
        (2 * FEWEST_KNOWN - 2, 60, "19 queries of known and 30 of new"),
        (200, 2 * FEWEST_NEW - 2, "100 queries of known and 4 of new"),
        (200, 0, "100 queries of known and 0 of new"),
    ],
)
def test_of_few_queries_nothing_is_fitted(tmp_path: Path, known: int, new: int, few: str) -> None:
    queries = asked(known, new, gap=0.5)
    fit, report = halves_of(queries)
    chosen = choose_threshold(queries.ranking, queries.answers, fit, report, setting(tmp_path))
    assert chosen.doubt is not None
    assert "\n" not in chosen.doubt
    assert few in chosen.doubt
    assert chosen.threshold == threshold_for_share(queries.ranking.best_known[fit], 0.276)


def test_just_enough_queries_are_fitted_on(tmp_path: Path) -> None:
    queries = asked(2 * FEWEST_KNOWN, 2 * FEWEST_NEW, gap=1.0)
    fit, report = halves_of(queries)
    chosen = choose_threshold(queries.ranking, queries.answers, fit, report, setting(tmp_path))
    assert chosen.doubt is None


@pytest.mark.parametrize("gap", [0.0, -0.2])
def test_a_threshold_without_gain_is_not_used(tmp_path: Path, gap: float) -> None:
    """Scores that say nothing: the best threshold is a constant answer."""
    queries = asked(100, 80, gap=gap)
    validation = validate_rankings(queries, setting(tmp_path))
    assert validation.doubt is not None
    assert "no gain beyond noise" in validation.doubt
    assert validation.doubt == validation.lines()[0]
    assert validation.doubt == validation.summary()["doubt"]
    first_new = [names[0] is None for names in validation.ranking.identities]
    assert 0.1 < np.mean(first_new) < 0.5  # neither none nor all


@pytest.mark.parametrize(
    ("fallback", "threshold", "words"),
    [("0.25", 0.25, "takes 0.2500"), ("none", None, "new is never answered")],
)
def test_the_fallback_is_a_setting(
    tmp_path: Path, fallback: str, threshold: float | None, words: str
) -> None:
    config = setting(tmp_path, f"infer.fallback={fallback}")
    validation = validate_rankings(asked(20, 8, gap=0.5), config)
    assert validation.threshold == threshold
    assert validation.doubt is not None
    assert words in validation.doubt


def test_a_fitted_threshold_can_be_kept_all_the_same(tmp_path: Path) -> None:
    queries, config = asked(20, 8, gap=0.5), setting(tmp_path, "infer.fallback=fitted")
    fit, report = halves_of(queries)
    chosen = choose_threshold(queries.ranking, queries.answers, fit, report, config)
    want = fit_threshold(queries.ranking.take(fit), [queries.answers[i] for i in fit])
    assert (chosen.threshold, chosen.doubt) == (want, None)
    one_kind = asked(20, 0, gap=0.5)
    refused(lambda: validate_rankings(one_kind, config), "too few to fit a threshold")


@pytest.mark.parametrize("rule", ["{share: 0.1}", "{false_new: 0.1}", "0.4", "none"])
def test_other_rules_are_taken_at_their_word(tmp_path: Path, rule: str) -> None:
    config = setting(tmp_path, f"infer.threshold={rule}")
    assert validate_rankings(asked(20, 8, gap=0.0), config).doubt is None


def test_a_wrong_fallback_is_refused_in_one_line(tmp_path: Path) -> None:
    for wrong in ("{share: 2}", "best_map5", "yes", "{false_new: 0.1}"):
        with pytest.raises(FlukeprintError, match=r"infer.fallback=.*: expected \{share: S\}"):
            setting(tmp_path, f"infer.fallback={wrong}")


def test_the_constant_answers_stand_beside_the_figures(tmp_path: Path) -> None:
    queries = asked(60, 30, gap=0.3)
    validation = validate_rankings(queries, setting(tmp_path))
    plain = queries.ranking.take(validation.report)
    answers = [queries.answers[i] for i in validation.report]
    constants = validation.constants
    assert constants["never new"].map5.mean == map_at_5(plain.identities, answers)
    always = insert_new_individual(plain, np.inf).identities
    assert all(names[0] is None for names in always)
    assert constants["always new first"].map5.mean == map_at_5(always, answers)
    written = validation.summary()["constants"]
    assert written["never new"]["text"] == constants["never new"].text()
    closed = setting(tmp_path, "data.closed_set=true")
    assert validate_rankings(asked(30, 0, gap=0.3), closed).constants == {}
