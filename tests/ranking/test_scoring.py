"""Rules together against a twin that follows the order of the rules in plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flukeprint.ranking.neighbours as neighbours_module
from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.k_reciprocal import Reciprocal
from flukeprint.ranking.neighbours import cosines, csls, hubs_of, largest, neighbours
from flukeprint.ranking.reranking import augmented_gallery, expanded, mean_direction, trimmed
from flukeprint.ranking.scoring import Scorer, view_numbers
from flukeprint.ranking.whitening import fit_whitening
from flukeprint.search.gallery import Gallery
from tests.ranking.embeddings import OFF, centers_of, drawn, same, search

RULES = {
    "off": {},
    "mean": {"identity": "mean", "best": 2},
    "mean_of_all": {"identity": "mean", "best": 99},
    "prototype": {"identity": "prototype"},
    "beside_max": {"prototype": 0.3},
    "beside_mean": {"identity": "mean", "prototype": 0.6, "within": 0.5, "other_view": 0.2},
    "beside_itself": {"identity": "prototype", "prototype": 0.6},
    "head": {"head": 0.4},
    "whiten": {"whiten": 4},
    "within": {"within": 0.6},
    "whiten_then_within": {"whiten": 4, "within": 0.5},
    "expand": {"expand": 3, "alpha": 2.0},
    "augment_gallery": {"augment_gallery": 2},
    "hubness": {"hubness": 3},
    "reciprocal": {"reciprocal": 5, "reciprocal_weight": 0.6},
    "other_view": {"other_view": 0.3},
    "prototype_and_view": {"identity": "prototype", "other_view": 0.3},
    "more_than_there_are": {"expand": 99, "augment_gallery": 99, "hubness": 99, "reciprocal": 99},
    "all": {
        "identity": "prototype", "head": 0.3, "whiten": 5, "expand": 2, "augment_gallery": 2,
        "hubness": 4, "reciprocal": 6, "other_view": 0.1, "within": 0.4,
    },
}  # fmt: skip


def naive_within(vectors, names, weight):
    """Its own whitening; from Cholesky's root, which turns all vectors alike."""
    wide, d = vectors.astype(float), vectors.shape[1]
    own = [wide[names == name] for name in set(names)]
    freedom = sum(len(rows) - 1 for rows in own)
    spread = (
        sum(
            np.outer(row - rows.mean(axis=0), row - rows.mean(axis=0))
            for rows in own
            for row in rows
        )
        / freedom
    )
    shrunk = weight * spread + (1 - weight) * np.trace(spread) / d * np.eye(d)
    mean, root = wide.mean(axis=0), np.linalg.cholesky(np.linalg.inv(shrunk))
    return lambda rows: unit_rows((rows - mean) @ root)


def naive(queries, gallery, rules, centers, adjustment=None):
    """(identity -> (score, row)) for each query, the rules one after the other."""
    g = gallery.vectors
    if rules.whiten:
        whitening = fit_whitening(g, rules.whiten)
        g = whitening(g)
    names = np.unique(gallery.identities, return_inverse=True)[1]
    if rules.within:
        within = naive_within(g, names, rules.within)
        g = within(g)
    if rules.augment_gallery:
        g = augmented_gallery(g, rules.augment_gallery, rules.alpha)
    gallery_hubs = None
    if rules.hubness:
        gallery_hubs = hubs_of(neighbours(g, rules.hubness, labels=names))
    out = []
    for number in range(len(queries)):
        raw = q = queries.vectors[number : number + 1]
        if rules.whiten:
            q = whitening(q)
        if rules.within:
            q = within(q)
        if rules.expand:
            q = expanded(q, g, largest(cosines(q, g), rules.expand), rules.alpha)
        plain = scores = cosines(q, g)
        hubs = None
        if rules.hubness:
            hubs = hubs_of(largest(scores, rules.hubness))
            scores = csls(scores, hubs, gallery_hubs)
        if rules.reciprocal:
            near = largest(scores, rules.reciprocal)
            common = Reciprocal(g, rules.reciprocal, gallery_hubs).common(q, near, hubs)
            w = rules.reciprocal_weight
            scores = (1 - w) * scores + w * common
        photos = [float(score) for score in scores[0]]
        if rules.other_view and queries.views and gallery.views:
            for row, view in enumerate(gallery.views):
                if None not in (view, queries.views[number]) and view != queries.views[number]:
                    photos[row] -= rules.other_view
        if adjustment is not None:
            photos = [score + adjustment(number, row) for row, score in enumerate(photos)]
        answers, heads = {}, {}
        for name in sorted(set(gallery.identities)):
            rows = [row for row, other in enumerate(gallery.identities) if other == name]
            rows.sort(key=lambda row: (-photos[row], row))
            score = photos[rows[0]]
            if rules.identity == "mean":
                score = np.mean([photos[row] for row in rows[: rules.best]])
            ordered = sorted(rows)
            kept = [ordered[i] for i in trimmed(g[ordered])]
            prototype = float(q[0].astype(float) @ mean_direction(g[kept]).astype(float))
            prototype += np.mean([photos[row] - float(plain[0, row]) for row in kept])
            weight = 1.0 if rules.identity == "prototype" else rules.prototype
            score = (1 - weight) * score + weight * prototype
            if rules.head:
                own = [i for i, other in enumerate(centers.identities) if other == name]
                if own:
                    heads[name] = max(float(raw[0] @ centers.vectors[i]) for i in own)
            answers[name] = (score, rows[0])
        if heads:
            moved = np.mean([head - answers[name][0] for name, head in heads.items()])
            for name, (score, row) in answers.items():
                head = heads.get(name, score + moved)
                answers[name] = ((1 - rules.head) * score + rules.head * head, row)
        out.append(answers)
    return out


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("n", [1, 7, 40])
def test_each_rule_is_the_naive_one(rules, n):
    rules = RankConfig(**rules)
    gallery, queries = drawn(n, seed=n), drawn(6, seed=99, first=100)
    if n == 1 and (rules.whiten or rules.within):
        why = "cannot be whitened" if rules.whiten else r"rank\.within has nothing to learn from"
        with pytest.raises(FlukeprintError, match=why):
            Scorer(Gallery(gallery), rules, centers_of(["w0"]))
        return
    centers = centers_of(["w1", "w0", "w3", "elsewhere"])
    found = search(queries, Gallery(gallery), rules, top=9, centers=centers)
    assert found.scores.dtype == np.float32
    for query, answers in enumerate(naive(queries, gallery, rules, centers)):
        names = [found.vocabulary[label] for label in found.labels[query]]
        assert sorted(names) == sorted(answers)
        assert found.scores[query] == pytest.approx([answers[name][0] for name in names], abs=2e-5)
        assert found.rows[query].tolist() == [answers[name][1] for name in names]
    three = search(queries, Gallery(gallery), rules, top=3, centers=centers)
    assert np.array_equal(three.labels, found.labels[:, :3])


@given(st.integers(1, 30), st.integers(0, 6), st.integers(1, 9), st.integers(0, 99))
def test_off_is_the_gallery_itself(n, q, top, seed):
    rng = np.random.default_rng(seed)
    whole = rng.integers(-1, 2, (n + q, 4))  # equal photos and equal scores occur
    whole[~whole.any(axis=1), 0] = 1
    names = tuple(f"w{i}" for i in rng.integers(0, 5, n + q))
    both = Embeddings(unit_rows(whole), names, names, ("left",) * (n + q), "net")
    gallery, queries = Gallery(both.take(range(n))), both.take(range(n, n + q))
    plain = gallery.search_identities(queries, top)
    assert same(search(queries, gallery, OFF, top=top), plain)
    # The long way comes to the same, ties included.
    assert same(search(queries, gallery, OFF, top=top, adjustment=lambda _, scores: scores), plain)
    one = RankConfig(identity="mean", best=1)
    assert same(search(queries, gallery, one, top=top), plain)
    assert same(search(queries, gallery, RankConfig(within=0.0), top=top), plain)
    no_weight = RankConfig(reciprocal=3, reciprocal_weight=0)
    assert same(search(queries, gallery, no_weight, top=top), plain)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_an_answer_does_not_depend_on_its_companions(rules, monkeypatch):
    rules = RankConfig(**rules)
    queries, centers = drawn(9, seed=1), centers_of(["w0", "w1"])
    scorer = Scorer(Gallery(drawn(30)), rules, centers)
    whole = scorer.search(queries, 4)
    monkeypatch.setattr(neighbours_module, "_SCORES_AT_ONCE", 60)  # two queries at once
    assert same(scorer.search(queries, 4), whole)
    for query in range(len(queries)):
        alone = scorer.search(queries.take([query]), 4)
        assert np.array_equal(alone.labels[0], whole.labels[query])
        assert alone.scores[0] == pytest.approx(whole.scores[query], abs=1e-6)


def test_rules_refuse_an_index_that_may_miss_some():
    class Some:
        name, exact, candidates = "some", False, 1

        def __len__(self):
            return 20

    gallery = drawn(20)
    indexed = Gallery(gallery, index=Some())
    Scorer(indexed, OFF)
    Scorer(indexed, RankConfig(reciprocal=3, reciprocal_weight=0))  # changes nothing
    for name, rules in RULES.items():
        if rules:
            with pytest.raises(FlukeprintError, match=r"set gallery\.backend=exact") as error:
                Scorer(indexed, RankConfig(**rules), centers_of(["w0"]))
            assert "=some finds" in str(error.value), name
            assert "\n" not in str(error.value)
    indexed.index.exact = True
    Scorer(indexed, RankConfig(within=0.5))


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_no_queries_have_no_answers(rules):
    found = search(
        drawn(0), Gallery(drawn(12)), RankConfig(**rules), top=3, centers=centers_of(["w0"])
    )
    assert found.scores.shape == found.rows.shape == found.labels.shape == (0, 3)


def test_unknown_views_lose_nothing():
    gallery, queries = drawn(20), drawn(6, seed=3)
    plain = Gallery(gallery).search_identities(queries, 5)
    for mine, theirs in (
        (drawn(6, seed=3, views=False), gallery),
        (queries, drawn(20, views=False)),
    ):
        assert same(search(mine, Gallery(theirs), OFF, top=5, other_view=0.5), plain)
    two = Embeddings(unit_rows([[1, 0], [1, 0.1]]), ("x", "y"), ("a", "b"), ("left", None), "net")
    asked = Embeddings(unit_rows([[1, 0]] * 2), ("p", "q"), (None, None), ("right", None), "net")
    found = search(asked, Gallery(two), OFF, top=2, other_view=0.25)
    assert found.rows.tolist() == [[1, 0], [0, 1]]
    assert found.scores[0, 1] == pytest.approx(0.75)
    assert found.scores[1, 0] == pytest.approx(1)


def test_an_adjustment_sees_rows_and_photos():
    gallery, queries = drawn(15), drawn(7, seed=5)
    table = np.random.default_rng(0).normal(size=(7, 15)).astype(np.float32)
    rules = RankConfig(identity="mean", best=2, hubness=3)
    found = search(
        queries,
        Gallery(gallery),
        rules,
        top=5,
        adjustment=lambda rows, scores: scores + table[rows],
    )
    twin = naive(
        queries, gallery, rules, None, adjustment=lambda query, row: float(table[query, row])
    )
    for query, answers in enumerate(twin):
        order = sorted(answers.values(), key=lambda pair: -pair[0])
        assert found.rows[query].tolist() == [row for _, row in order]
        assert found.scores[query] == pytest.approx([score for score, _ in order], abs=1e-5)
    with pytest.raises(ValueError, match="an adjustment of"):
        search(queries, Gallery(gallery), OFF, top=5, adjustment=lambda rows, scores: scores[:, :3])


def test_what_does_not_compare_is_refused():
    gallery, queries = Gallery(drawn(9)), drawn(3, seed=2)
    alien = Embeddings(queries.vectors, queries.images, queries.identities, None, "other")
    for rules in (OFF, RankConfig(hubness=2)):
        with pytest.raises(
            FlukeprintError, match="net made those of the gallery, other those of the queries"
        ):
            search(alien, gallery, rules, top=3)
    with pytest.raises(FlukeprintError, match=r"rank\.head=0\.5 needs the class centers"):
        search(queries, gallery, RankConfig(head=0.5), top=3)
    with pytest.raises(FlukeprintError, match="other those of the class centers"):
        Scorer(gallery, RankConfig(head=0.5), centers_of(["w0"], stamp="other"))
    with pytest.raises(ValueError, match="dimension"):
        Scorer(gallery, RankConfig(head=0.5), centers_of(["w0"], d=7))
    with pytest.raises(ValueError, match="fit_other_view"):
        search(queries, gallery, RankConfig(other_view="fit"), top=3)
    with pytest.raises(ValueError, match="at least one"):
        search(queries, gallery, RankConfig(hubness=2), top=0)


def test_numbers_of_views_are_the_same_on_both_sides():
    mine, theirs = view_numbers(("left", None, "top"), ("right", "left", None))
    assert mine.tolist() == [0 + 1, -1, 2]
    assert theirs[1] == mine[0]
    assert theirs[0] not in mine
    assert theirs[2] == -1
    assert view_numbers(None, ("left",)) == (None, None)
    assert view_numbers(("left",), None) == (None, None)
