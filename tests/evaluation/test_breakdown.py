"""Metrics by view and by size, and upper bounds, against counting by hand; the table of queries."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import (
    SIZES,
    QueryTable,
    by_size,
    by_view,
    ceiling,
    score_table,
)
from flukeprint.evaluation.metrics import auroc_interval, bootstrap_interval
from flukeprint.ranking.ranking import rank
from flukeprint.search.index import IdentityMatches

GALLERY = ["a"] + ["b"] * 2 + ["c"] * 4 + ["d"] * 10 + ["e f"] * 3
NAMES = ("a", "b", "c", "d", "e f")


def answered(queries: int = 40, seed: int = 0, views: bool = True) -> QueryTable:
    """Random answers to random queries, a fifth of them of new individuals."""
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.random((queries, 5)), axis=1)
    scores = np.sort(rng.uniform(-1, 1, (queries, 5)).astype(np.float32), axis=1)[:, ::-1]
    matches = IdentityMatches(np.ascontiguousarray(scores), order, order, NAMES)
    images = [f"photo, {i}.jpg" for i in range(queries)]
    truths = [None if i % 5 == 0 else NAMES[rng.integers(5)] for i in range(queries)]
    kinds = ["left", "right", None]
    seen = [kinds[rng.integers(3)] if views else None for _ in range(queries)]
    return QueryTable.of(rank(matches, images, threshold=0.3), truths, seen, GALLERY)


def reciprocal(found: tuple[str | None, ...], truth: str | None) -> float:
    return 1 / (found.index(truth) + 1) if truth in found else 0.0


def test_parts_are_counted_by_hand() -> None:
    queries = answered()
    for parts, kind in (
        (by_view(queries), [view or "" for view in queries.views]),
        (
            by_size(queries),
            [
                {None: "0", "a": "1", "b": "2-3", "c": "4-9", "d": "10+", "e f": "2-3"}[truth]
                for truth in queries.truths
            ],
        ),
    ):
        assert set(parts) == set(kind)
        for name, part in parts.items():
            rows = [i for i in range(len(queries)) if kind[i] == name]
            points = [reciprocal(queries.found[i], queries.truths[i]) for i in rows]
            assert part.queries == len(rows)
            assert part.map5 == pytest.approx(sum(points) / len(rows))
            assert part.top1 == pytest.approx(
                sum(queries.found[i][0] == queries.truths[i] for i in rows) / len(rows)
            )
    assert list(by_size(queries)) == list(SIZES)
    assert by_view(answered(views=False)) == {}


def test_figures_are_means_over_queries_with_intervals() -> None:
    queries = answered()
    figures = score_table(queries, seed=3)
    points = [reciprocal(f, t) for f, t in zip(queries.found, queries.truths, strict=True)]
    firsts = [f[0] == t for f, t in zip(queries.found, queries.truths, strict=True)]
    fives = [t in f for f, t in zip(queries.found, queries.truths, strict=True)]
    assert figures.map5 == bootstrap_interval(points, seed=3)
    assert figures.top1 == bootstrap_interval(firsts, seed=3)
    assert figures.top5 == bootstrap_interval(fives, seed=3)
    assert figures.auroc == auroc_interval(queries.best_known, queries.is_new, seed=3)
    assert (figures.queries, figures.new_queries) == (40, 8)


def test_a_closed_set_has_no_auroc() -> None:
    open_set = answered()
    known = [i for i in range(len(open_set)) if open_set.truths[i] is not None]
    closed = QueryTable(
        images=tuple(open_set.images[i] for i in known),
        truths=tuple(open_set.truths[i] for i in known),
        views=tuple(open_set.views[i] for i in known),
        photos=tuple(open_set.photos[i] for i in known),
        found=tuple(open_set.found[i] for i in known),
        first_score=open_set.first_score[known],
        best_known=open_set.best_known[known],
    )
    assert score_table(closed, seed=0).auroc is None
    assert "0" not in by_size(closed)


def test_the_table_keeps_everything(tmp_path: Path) -> None:
    queries = answered()
    path = tmp_path / "queries.csv"
    queries.save(path)
    again = QueryTable.load(path)
    for name in ("images", "truths", "views", "photos", "found"):
        assert getattr(again, name) == getattr(queries, name)
    # Nine digits tell every float32 from the next.
    for name in ("first_score", "best_known"):
        before, after = getattr(queries, name), getattr(again, name)
        assert np.array_equal(before.astype(np.float32), after.astype(np.float32))
    assert score_table(again, seed=0) == score_table(queries, seed=0)


def test_other_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "queries.csv"
    path.write_text("image,answer\nx.jpg,a\n")
    with pytest.raises(FlukeprintError, match="no table of queries"):
        QueryTable.load(path)
    answered(3).save(path)
    path.write_text(path.read_text().replace('"[', '"', 1))
    with pytest.raises(FlukeprintError, match="line 2: a cell cannot be read"):
        QueryTable.load(path)


def test_a_known_individual_has_a_photo_in_the_gallery() -> None:
    with pytest.raises(
        ValueError, match=r"only known individuals have photographs in the gallery: x\.jpg"
    ):
        QueryTable(("x.jpg",), ("a",), (None,), (0,), (("a",),), np.zeros(1), np.zeros(1))


def test_a_ceiling_by_eye():
    found = ceiling(
        ["left", "left", "right", None, "right", "left"],
        ["a", "b", "a", "a", None, "new"],
        ["left", "right", "right", None, "left"],
        ["a", "b", "a", "b", None],
    )
    # The query without a view and the one without an identity do not count.
    assert found.queries == {"left": 3, "right": 1}
    assert found.of_view == {"left": pytest.approx(1 / 3), "right": 1.0}
    assert found.overall == 0.5


def test_no_queries_have_no_ceiling():
    found = ceiling([None], ["a"], ["left"], ["a"])
    assert (found.overall, found.of_view, found.queries) == (None, {}, {})
    assert ceiling([], [], [], []).overall is None
    assert ceiling(["left"], ["a"], [], []).overall == 0
    with pytest.raises(ValueError):
        ceiling(["left"], [], [], [])
