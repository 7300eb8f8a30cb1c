"""Distractors drawn by their law, and rates that have a closed form."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from flukeprint.evaluation.studies import distractors
from flukeprint.evaluation.studies.distractors import (
    DISTRACTORS,
    Stream,
    distractor_lines,
    identify_among,
    like_gallery,
    uniform,
)
from tests.evaluation.studies.folds import drawn_fold
from tests.refusals import refused


def rows(stream: Stream, number: int, seed: int = 0) -> np.ndarray:
    """Distractors (number, d) as vectors."""
    found = np.concatenate(list(stream.blocks([number], seed)))
    return found if stream.axes is None else found @ stream.axes.T


def below(cosine: np.ndarray | float, d: int) -> np.ndarray:
    """Probability that a uniform unit vector has at most this cosine with a given one.

    (1 + cosine) / 2 follows a beta distribution with both parameters (d - 1) / 2.
    """
    return np.asarray(beta.cdf((1 + np.asarray(cosine)) / 2, (d - 1) / 2, (d - 1) / 2))


@pytest.mark.parametrize("kind", DISTRACTORS)
def test_the_first_of_a_stream_are_the_same_whatever_the_blocks(kind: str) -> None:
    gallery = drawn_fold(dimension=7).vectors
    stream = DISTRACTORS[kind](gallery)
    whole = np.concatenate(list(stream.blocks([5000], 3)))
    parts = list(stream.blocks([0, 1, 10, 999, 5000], 3, most=128))
    assert max(map(len, parts)) == 128
    assert (np.concatenate(parts) == whole).all()
    assert (np.concatenate(list(stream.blocks([0, 10], 3))) == whole[:10]).all()
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1, abs=1e-5)
    assert (np.concatenate(list(stream.blocks([10], 4))) != whole[:10]).any()


def test_uniform_ones_have_the_cosines_of_the_sphere() -> None:
    found = rows(uniform(np.zeros((1, 6), np.float32)), 4000) @ np.eye(6)[2]
    assert kstest(found, lambda x: below(x, 6)).pvalue > 0.01


def test_those_like_the_gallery_have_its_mean_and_covariance() -> None:
    rng = np.random.default_rng(0)
    mean = np.array([30.0, 2, 0, 0, 1])  # far out, so that lengths hardly differ
    gallery = (mean + rng.normal(size=(4000, 5)) @ np.diag([0.1, 1, 2, 0.5, 0.01])) / 30
    stream = like_gallery(gallery.astype(np.float32))
    found = rows(stream, 20_000)
    want = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    assert found.mean(axis=0) == pytest.approx(want.mean(axis=0), abs=0.002)
    assert np.cov(found.T) == pytest.approx(np.cov(want.T), abs=2e-4)


def test_a_gallery_of_few_photographs_spans_what_is_drawn() -> None:
    gallery = distractors.unit(np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32))
    stream = like_gallery(gallery)
    assert stream.axes is not None
    assert stream.axes.shape == (9, 4)  # three directions around the mean, and the mean itself
    assert stream.axes.T @ stream.axes == pytest.approx(np.eye(4), abs=1e-5)
    found = rows(stream, 50)
    beyond = found - found @ np.linalg.pinv(gallery) @ gallery
    assert np.abs(beyond).max() < 1e-5
    # In its coordinates products with distractors are those of the vectors.
    queries = distractors.unit(np.random.default_rng(1).normal(size=(3, 9)).astype(np.float32))
    drawn = np.concatenate(list(stream.blocks([50], 0)))
    assert stream.coordinates(queries) @ drawn.T == pytest.approx(queries @ found.T, abs=1e-5)


def test_rank_1_among_uniform_ones_has_a_closed_form() -> None:
    """A query of similarity s to its own is first among N with probability F(s)^N."""
    fold = drawn_fold(animals=150, each=3, noise=0.8, dimension=12)
    labels = np.array([int(str(name)[1:]) for name in fold.identities])
    similarities = fold.vectors[fold.queries] @ fold.vectors[fold.gallery].T
    mine = labels[fold.queries][:, None] == labels[fold.gallery]
    own = np.where(mine, similarities, -2).max(axis=1)
    first = own > np.where(mine, -2, similarities).max(axis=1)
    sizes = (0, 10, 100, 1000, 20_000)
    want = [float((first * below(own, 12) ** size).mean()) for size in sizes]
    curves = [identify_among(replace(fold, seed=seed), "uniform", sizes) for seed in range(12)]
    for place, expected in enumerate(want):
        found = [curve.rank1[place].mean for curve in curves]
        assert np.mean(found) == pytest.approx(expected, abs=0.02)
    assert want[0] > want[2] + 0.05 > want[4] + 0.1  # it falls by much more than that


def test_rates_are_those_of_a_gallery_with_the_vectors_in_it() -> None:
    """Search all of them, as a gallery with as many more animals of one photograph."""
    fold = drawn_fold(animals=40, each=4, noise=0.9, dimension=8)
    for kind in DISTRACTORS:
        curve = identify_among(fold, kind, (0, 7, 500))
        gallery = distractors.unit(fold.vectors[fold.gallery])
        more = rows(DISTRACTORS[kind](gallery), 500, fold.seed)
        names = [fold.identities[row] for row in fold.gallery]
        for place, size in enumerate(curve.sizes):
            everything = np.concatenate([gallery, more[:size]])
            owners = [*names, *(f"drawn {i}" for i in range(size))]
            ranks = []
            for query in fold.queries:
                order = np.argsort(-(everything @ fold.vectors[query]), kind="stable")
                found = list(dict.fromkeys(owners[row] for row in order))
                ranks.append(found.index(fold.identities[query]) + 1)
            assert curve.rank1[place].mean == pytest.approx(np.mean(np.array(ranks) <= 1))
            assert curve.rank5[place].mean == pytest.approx(np.mean(np.array(ranks) <= 5))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.sampled_from(sorted(DISTRACTORS)))
def test_the_curve_falls_and_lies_in_its_interval(seed: int, kind: str) -> None:
    fold = drawn_fold(animals=12, each=3, noise=0.8, dimension=6, seed=seed)
    curve = identify_among(fold, kind, (0, 5, 50, 300))
    for rates in (curve.rank1, curve.rank5):
        assert all(one.mean >= two.mean for one, two in itertools.pairwise(rates))
        assert all(rate.low <= rate.mean <= rate.high for rate in rates)
    assert all(one.mean <= five.mean for one, five in zip(curve.rank1, curve.rank5, strict=True))


def test_those_like_the_gallery_are_harder() -> None:
    fold = drawn_fold(animals=60, each=4, noise=0.4, dimension=16)
    pull = np.zeros(16, np.float32)
    pull[0] = 2  # all photographs lie to one side
    fold = replace(fold, vectors=distractors.unit(fold.vectors + pull))
    on_sphere, like = (identify_among(fold, kind, (0, 5000)) for kind in DISTRACTORS)
    assert on_sphere.rank1[0] == like.rank1[0]
    assert on_sphere.rank1[1].mean > like.rank1[1].mean + 0.1


def test_new_queries_are_not_asked_and_drawn_ones_may_take_the_place_of_real_ones() -> None:
    fold = drawn_fold(animals=20, each=4, unseen=3, unnamed=4)
    curve = identify_among(fold, "uniform", (0,))
    assert curve.queries == 17 * 2
    assert curve.real == len(fold.gallery)
    drawn = rows(uniform(fold.vectors), len(fold.gallery), fold.seed)
    alone = []
    for query in fold.known_queries():
        own = [row for row in fold.gallery if fold.identities[row] == fold.identities[query]]
        likest = (fold.vectors[own] @ fold.vectors[query]).max()
        alone.append((drawn @ fold.vectors[query]).max() <= likest)
    assert curve.instead.mean == pytest.approx(np.mean(alone))
    text = "\n".join(distractor_lines(curve))
    assert "34 queries" in text
    assert f"{len(fold.gallery)} real photographs" in text


def test_more_queries_than_asked_for_are_drawn_from() -> None:
    fold = drawn_fold(animals=20, each=4)
    curve = identify_among(fold, "uniform", (0, 100), most_queries=9)
    assert curve.queries == 9
    assert curve.rank1 == identify_among(fold, "uniform", (0, 100), most_queries=9).rank1


def test_nobody_to_find_is_refused() -> None:
    fold = drawn_fold(animals=4, each=2, unseen=3)
    nobody = replace(fold, queries=fold.unseen())
    refused(lambda: identify_among(nobody, "uniform", (0,)), "drawn", "nobody to find")


def test_memory_does_not_grow_with_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    draw = Stream.blocks

    def blocks(self: Stream, *arguments: object) -> object:
        nonlocal largest
        for block in draw(self, *arguments):  # type: ignore[arg-type]
            largest = max(largest, block.nbytes)
            yield block

    monkeypatch.setattr(Stream, "blocks", blocks)
    fold = drawn_fold(animals=4, each=3, dimension=4)
    identify_among(fold, "uniform", (0, 200_000))
    assert largest <= 8192 * 4 * 4
