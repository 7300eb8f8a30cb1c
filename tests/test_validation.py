"""Validation: who fits and who reports, and figures recomputed by hand."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.catalog import Catalog
from flukeprint.config import Config, load_config
from flukeprint.gallery import Embeddings, unit_rows
from flukeprint.splits import Split, make_split
from flukeprint.validation import commonest_baseline, selection_map5, validate


def setting(tmp_path: Path, *overrides: str) -> Config:
    (tmp_path / "c.yaml").write_text("split: {folds: 3, unseen_share: 0.3}")
    return load_config(tmp_path / "c.yaml", list(overrides))


def animals(spread: float, seed: int = 0) -> tuple[Catalog, Embeddings]:
    """30 animals with 1 to 6 photos around their own direction; 12 photos of nobody known."""
    rng = np.random.default_rng(seed)
    names: list[str | None] = []
    vectors = []
    for animal in range(30):
        centre = rng.normal(size=8)
        for _ in range(1 + animal % 6):
            names.append(f"w_{animal:02}")
            vectors.append(centre + spread * rng.normal(size=8))
    for _ in range(12):
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
    result = validate(embeddings, split, config)
    assert result.threshold is not None
    assert result.fitted_on + result.scores.queries == len(split.queries)
    want = naive_map5(embeddings, split, result.report.tolist(), result.threshold)
    assert result.scores.map5.mean == pytest.approx(want, abs=1e-9)


def test_the_threshold_never_sees_the_reporting_half(tmp_path: Path) -> None:
    """Scrambling the reporting queries changes the figures, not the threshold."""
    config = setting(tmp_path)
    catalog, embeddings = animals(0.3)
    split = split_by(catalog, config)
    before = validate(embeddings, split, config)
    vectors = embeddings.vectors.copy()
    rows = split.queries[before.report]
    vectors[rows] = unit_rows(np.random.default_rng(5).normal(size=(len(rows), 8)))
    scrambled = Embeddings(vectors, embeddings.images, embeddings.identities, None, "s")
    after = validate(scrambled, split, config)
    assert after.threshold == before.threshold
    assert after.scores.map5.mean < before.scores.map5.mean
    assert selection_map5(scrambled, split, config) == selection_map5(embeddings, split, config)


def test_a_closed_set_has_no_threshold_and_all_queries_report(tmp_path: Path) -> None:
    config = setting(tmp_path, "data.closed_set=true")
    catalog, embeddings = animals(0.3)
    split = split_by(catalog, config)
    result = validate(embeddings, split, config)
    assert result.threshold is None
    assert result.scores.queries == len(split.queries)
    assert result.scores.new_queries == 0
    assert all(None not in names for names in result.ranking.identities)


def test_early_stopping_takes_its_half_from_a_closed_set_too(tmp_path: Path) -> None:
    config = setting(tmp_path, "data.closed_set=true", "train.patience=2")
    catalog, embeddings = animals(0.3)
    split = split_by(catalog, config)
    result = validate(embeddings, split, config)
    assert 0 < result.fitted_on < len(split.queries)
    assert result.fitted_on + result.scores.queries == len(split.queries)


def test_a_given_threshold_is_taken_as_it_is(tmp_path: Path) -> None:
    config = setting(tmp_path, "infer.threshold=0.5")
    catalog, embeddings = animals(0.3)
    result = validate(embeddings, split_by(catalog, config), config)
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
