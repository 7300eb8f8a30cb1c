"""Splits against twins that check every pair of photos."""

import csv
import math
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flukeprint.config.data import SplitConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.splits import Split, group_photos, halves, make_split
from flukeprint.errors import FlukeprintError
from tests.refusals import refused

BOXES = [None, (0, 0, 1, 1), (0, 0, 2, 2), (1, 0, 2, 2)]


def drawn(identities, contents=None, bursts=None, boxes=None):
    """A catalogue of tiny pictures; photos with the same content number are copies."""
    n = len(identities)
    contents = range(n) if contents is None else contents
    pixels = np.array([[(c >> 16, c >> 8 & 255, c & 255)] for c in contents], dtype=np.uint8)
    return Catalog(
        images=tuple(f"{i}.jpg" for i in range(n)),
        identities=tuple(identities),
        bursts=None if bursts is None else tuple(bursts),
        boxes=None if boxes is None else tuple(boxes),
        pixels=pixels.reshape(n, 1, 1, 3),
    )


def split(catalog, *, closed_set=False, new_photos="negatives", min_photos=1, **config):
    return make_split(
        catalog,
        SplitConfig(**config),
        closed_set=closed_set,
        new_photos=new_photos,
        min_photos=min_photos,
    )


def tail(seed=0, identities=60, new=20):
    """A long tail: half of the animals have one photo; some photos have no identity."""
    rng = np.random.default_rng(seed)
    names = [f"w{i}" for i in range(identities) for _ in range(1 if i % 2 else 2 + i % 7)]
    return drawn(list(rng.permutation(np.array([*names, *[None] * new], dtype=object))))


@st.composite
def catalogs(draw, closed=False):
    """Closed: everybody has a name, and no photo has two."""
    n = draw(st.integers(0, 40))
    names = [f"w{i}" for i in range(8)] + ([] if closed else [None])
    identities = draw(st.lists(st.sampled_from(names), min_size=n, max_size=n))
    bursts = draw(st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=n, max_size=n))
    contents = draw(st.lists(st.integers(0, 9 if closed else 60), min_size=n, max_size=n))
    if closed:
        contents = [c + 10 * int(name[1:]) for c, name in zip(contents, identities, strict=True)]
    boxes = draw(st.none() | st.lists(st.sampled_from(BOXES), min_size=n, max_size=n))
    return drawn(identities, contents, bursts, boxes)


def naive_groups(catalog):
    """(n, n) True where a chain of pairs joins two photos: the closure of the pairs."""
    n = len(catalog)
    joined = np.eye(n, dtype=bool)
    contents = [photo.tobytes() for photo in catalog.pixels]
    for i in range(n):
        for j in range(n):
            joined[i, j] |= contents[i] == contents[j]
            joined[i, j] |= (
                catalog.bursts is not None
                and catalog.bursts[i] is not None
                and catalog.bursts[i] == catalog.bursts[j]
                and catalog.identities[i] == catalog.identities[j]
            )
    while True:
        further = (joined.astype(int) @ joined) > 0
        if np.array_equal(further, joined):
            return joined
        joined = further


@given(catalogs())
def test_groups_are_the_closure_of_copies_and_bursts(catalog):
    groups = group_photos(catalog)
    assert np.array_equal(groups[:, None] == groups[None, :], naive_groups(catalog))
    assert list(dict.fromkeys(groups.tolist())) == list(range(len(set(groups.tolist()))))


def two_a_picture(animals, pictures, seed=0):
    """Each picture shows two animals in boxes of their own."""
    rng = np.random.default_rng(seed)
    names = [f"w{i}" for _ in range(pictures) for i in rng.choice(animals, 2, replace=False)]
    contents = [picture for picture in range(pictures) for _ in range(2)]
    return drawn(names, contents, boxes=BOXES[1:3] * pictures)


@pytest.mark.parametrize("seed", range(3))
def test_pictures_of_two_animals_have_an_open_set_split(seed):
    catalog = two_a_picture(14, 40, seed)
    for fold in range(3):
        found = split(catalog, folds=3, fold=fold, seed=seed)
        picture = np.arange(len(catalog)) // 2
        assert not set(picture[found.train]) & set(picture[found.queries])
        asked = zip(found.queries, found.answers, strict=True)
        held_out = {catalog.identities[row] for row, answer in asked if answer is None}
        assert held_out
        assert held_out.isdisjoint(catalog.identities[row] for row in found.train)
        assert set(found.answers) - {None} <= {catalog.identities[row] for row in found.gallery}


def test_one_box_under_two_names_is_never_a_new_individual():
    # w0 and w1 share a box, w2 and w3 only a picture.
    names = ["w0", "w1", "w2", "w3", *(f"w{i}" for i in range(12)), *(f"w{i}" for i in range(12))]
    contents = [0, 0, 1, 1, *range(2, 26)]
    boxes = [BOXES[1], BOXES[1], BOXES[1], BOXES[2], *[None] * 24]
    asked = set()
    for seed in range(10):
        found = split(drawn(names, contents, boxes=boxes), folds=2, unseen_share=0.4, seed=seed)
        asked |= {names[row] for row, answer in zip(found.queries, found.answers, strict=True)
                  if answer is None}  # fmt: skip
    assert not asked & {"w0", "w1"}
    assert asked >= {"w2", "w3"}


def test_an_animal_whose_last_picture_is_asked_for_is_no_query():
    """Each animal has a picture of its own and one with each neighbour; queries keep a gallery."""
    n = 8
    names = [f"w{i}" for i in range(n)] + [f"w{(i + j) % n}" for i in range(n) for j in (0, 1)]
    contents = [*range(n), *(n + i for i in range(n) for _ in range(2))]
    catalog = drawn(names, contents, boxes=[None] * n + BOXES[1:3] * n)
    found_any = 0
    for seed in range(20):
        try:
            found = split(catalog, folds=2, unseen_share=0.5, seed=seed)
        except FlukeprintError:
            continue
        found_any += 1
        known = sum(answer is not None for answer in found.answers)
        assert len(found.answers) - known == known
        assert set(found.answers) - {None} <= {names[row] for row in found.gallery}
    assert found_any > 5


def test_files_are_compared_by_content(tmp_path: Path):
    contents = {"a.jpg": b"one", "b.jpg": b"two", "c.jpg": b"longer", "d.jpg": b"one"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    catalog = Catalog(tuple(contents), tuple(tmp_path / name for name in contents))
    assert group_photos(catalog).tolist() == [0, 1, 2, 0]
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(FlukeprintError, match=r"not found: .*b\.jpg"):
        group_photos(catalog)


def test_a_file_of_a_size_of_its_own_is_not_read(tmp_path: Path, monkeypatch):
    for i, name in enumerate(("a", "b", "c")):
        (tmp_path / name).write_bytes(b"x" * (10 + i // 2))  # a, b: 10 bytes; c: 11
    opened = []
    read = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a: opened.append(self.name) or read(self, *a))
    group_photos(Catalog(("a", "b", "c"), tuple(tmp_path / name for name in "abc")))
    assert opened == ["a", "b"]


@given(
    catalogs(),
    st.integers(2, 4),
    st.booleans(),
    st.sampled_from(["negatives", "queries_only", "ignore"]),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.2, 0.276, 0.5, 0.8]),
    st.integers(0, 3),
)
def test_what_every_split_promises(catalog, folds, closed_set, new_photos, least, share, seed):
    fold = seed % folds
    arguments = {
        "closed_set": closed_set, "new_photos": new_photos, "min_photos": least,
        "folds": folds, "fold": fold, "unseen_share": share, "seed": seed,
    }  # fmt: skip
    try:
        found = split(catalog, **arguments)
    except FlukeprintError:
        assume(False)
    again = split(catalog, **arguments)
    assert np.array_equal(found.train, again.train)
    assert np.array_equal(found.queries, again.queries)

    joined = naive_groups(catalog)
    assert not joined[np.ix_(found.train, found.queries)].any()
    names = catalog.identities
    counts = Counter(names)
    in_gallery = {names[row] for row in found.gallery}
    assert found.gallery.tolist() == [row for row in found.train if names[row] is not None]
    assert all(counts[name] >= least for name in in_gallery)
    for row, answer in zip(found.queries, found.answers, strict=True):
        if answer is None:
            assert names[row] is None or names[row] not in in_gallery
        else:
            assert answer == names[row]
            assert answer in in_gallery
    known = sum(answer is not None for answer in found.answers)
    unseen = len(found.answers) - known
    assert known > 0
    if closed_set or share == 0:
        assert unseen == 0
    else:
        assert unseen == max(1, round(known * share / (1 - share)))
    nameless = [row for row, name in enumerate(names) if name is None]
    if new_photos != "negatives":
        assert not set(found.train) & set(nameless)
    if new_photos == "ignore":
        assert not set(found.queries) & set(nameless)
    if new_photos == "negatives":  # all that touch no query
        free = [row for row in nameless if not joined[row, found.queries].any()]
        assert set(free) == set(found.train) & set(nameless)


@given(catalogs(closed=True), st.integers(2, 4), st.integers(0, 3))
def test_a_closed_set_asks_for_every_photo_once(catalog, folds, seed):
    groups = group_photos(catalog)
    pairs = set(zip(groups.tolist(), catalog.identities, strict=True))
    try:
        splits = [
            split(catalog, closed_set=True, folds=folds, fold=fold, seed=seed)
            for fold in range(folds)
        ]
    except FlukeprintError:
        assume(False)
    groups_of = Counter(name for _, name in pairs)
    asked = Counter(row for found in splits for row in found.queries.tolist())
    for row, name in enumerate(catalog.identities):
        assert asked[row] == (groups_of[name] > 1)
    for found in splits:
        here = {(groups[row], catalog.identities[row]) for row in found.queries}
        for name, count in Counter(name for _, name in here).items():
            assert count <= math.ceil(groups_of[name] / folds)
        everything = set(found.train) | set(found.queries)
        assert everything == set(range(len(catalog)))


def test_a_photo_under_two_names_never_straddles():
    # Rows 0 and 3 are one photo; a has two groups besides, b one.
    catalog = drawn(["a", "a", "a", "b", "b"], contents=[7, 1, 2, 7, 3])
    for fold in range(2):
        found = split(catalog, closed_set=True, folds=2, fold=fold)
        assert (0 in found.queries) == (3 in found.queries)
        assert (0 in found.train) == (3 in found.train)
    # b's only photo is a copy of one of a's: it stays with it and is never a query.
    catalog = drawn(["a", "a", "b"], contents=[7, 1, 7])
    for fold in range(2):
        found = split(catalog, closed_set=True, folds=2, fold=fold)
        assert 2 not in found.queries
        assert (2 in found.train) == (0 in found.train)


def test_named_new_photos_come_first_and_identities_are_held_out_only_if_they_are_too_few():
    many = tail(new=200)
    found = split(many)
    asked = [many.identities[r] for r, a in zip(found.queries, found.answers, strict=True) if not a]
    assert set(asked) == {None}
    few = tail(new=10)
    found = split(few)
    asked = [few.identities[r] for r, a in zip(found.queries, found.answers, strict=True) if not a]
    assert None in asked
    held_out = {name for name in asked if name is not None}
    assert held_out
    assert held_out.isdisjoint(few.identities[row] for row in found.train)


def test_new_photos_of_nobody_known_are_asked_for_in_one_fold_only():
    catalog = tail(new=30)
    asked = Counter()
    for fold in range(5):
        found = split(catalog, fold=fold, unseen_share=0.5)
        asked.update(r for r in found.queries.tolist() if catalog.identities[r] is None)
    assert sorted(asked.values()) == [1] * 30


def test_folds_hold_out_different_identities_while_they_last():
    catalog = tail(identities=100, new=0)
    held_out = []
    for fold in range(5):
        found = split(catalog, fold=fold)
        names = zip(found.queries, found.answers, strict=True)
        held_out.append({catalog.identities[row] for row, answer in names if answer is None})
    assert all(held_out)
    assert sum(map(len, held_out)) == len(set.union(*held_out))
    # Drawn uniformly over identities, so that about half have one photo.
    counts = catalog.counts()
    single = [counts[name] == 1 for names in held_out for name in names]
    assert 0.25 < np.mean(single) < 0.75


def test_identities_below_the_minimum_are_drawn_first():
    catalog = tail(new=0)
    found = split(catalog, min_photos=2, unseen_share=0.2)
    counts = catalog.counts()
    asked = [
        catalog.identities[r] for r, a in zip(found.queries, found.answers, strict=True) if not a
    ]
    assert {counts[name] for name in asked} == {1}
    kept = {catalog.identities[row] for row in found.train}
    assert kept == {name for name, count in counts.items() if count >= 2}


def test_another_seed_gives_another_split():
    catalog = tail()
    assert not np.array_equal(split(catalog).queries, split(catalog, seed=1).queries)


@pytest.mark.parametrize(
    ("identities", "contents", "message"),
    [
        ([], None, "0 identities with 0 photos"),
        ([None, None], None, "0 identities with 0 photos"),
        (["a", "b", "c"], None, "no identity has two photos"),
        (["a", "a"], [1, 1], "no identity has two photos"),
        (["a", "a", "b"], None, r"2 identities with 3 photos are too few for 5 folds: only 1 .*"),
    ],
)
def test_too_small_a_set_is_one_clear_line(identities, contents, message):
    with pytest.raises(FlukeprintError, match=message) as error:
        split(drawn(identities, contents), closed_set=True)
    assert "\n" not in str(error.value)


def test_a_share_that_cannot_be_reached_is_refused():
    with pytest.raises(FlukeprintError, match=r"unseen_share=0\.9"):
        split(drawn(["a", "a", "b"]), folds=2, unseen_share=0.9)


def test_a_split_validates_itself():
    rows = np.array([0, 1])
    good = Split(rows, rows[:1], np.array([2]), ("a",))
    for change in (
        {"queries": np.array([1])},
        {"gallery": np.array([3])},
        {"answers": ()},
        {"train": rows[::-1]},
    ):
        with pytest.raises(ValueError):
            replace(good, **change)


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=40),
    st.integers(0, 3),
)
def test_halves_keep_individuals_whole_and_both_kinds_on_both_sides(queries, seed):
    # A letter in capitals is an individual held out; None stands for one that nobody knows.
    answers = [None if new else name for name, new in queries]
    true = [(None if name == "a" else name.upper()) if new else name for name, new in queries]
    side = halves(answers, true, seed)
    assert np.array_equal(side, halves(answers, true, seed))
    for i, one in enumerate(true):
        for j, other in enumerate(true):
            if one is not None and one == other:
                assert side[i] == side[j]
    for kind in (True, False):
        mine = [i for i, answer in enumerate(answers) if (answer is None) == kind]
        individuals = {true[i] or i for i in mine}
        if len(individuals) > 1:
            assert {bool(side[i]) for i in mine} == {True, False}
    if answers and len(set(true)) == len(true):
        assert abs(int(side.sum()) - int((~side).sum())) <= 1


@pytest.mark.photos
def test_the_whale_competition(photos: Path):
    with (photos / "humpback" / "train.csv").open(newline="") as file:
        labels = [row["Id"] for row in csv.DictReader(file)]
    catalog = drawn([None if label == "new_whale" else label for label in labels])
    counts = catalog.counts()
    found = split(catalog)
    unseen = [row for row, answer in zip(found.queries, found.answers, strict=True) if not answer]
    assert len(unseen) / len(found.queries) == pytest.approx(0.276, abs=0.0005)
    assert all(catalog.identities[row] is None for row in unseen)
    several = sum(count for count in counts.values() if count > 1)
    assert len(found.queries) - len(unseen) == pytest.approx(several / 5, rel=0.05)
    assert {catalog.identities[row] for row in found.gallery} == set(counts)


def test_a_pipe_among_the_photographs_is_refused_at_once(tmp_path: Path) -> None:
    paths = (tmp_path / "a.jpg", tmp_path / "b.jpg")
    os.mkfifo(paths[0])
    paths[1].touch()  # of the same size, so that both would be read
    catalog = Catalog(images=("a.jpg", "b.jpg"), paths=paths)
    refused(lambda: group_photos(catalog), "a.jpg: cannot be read", "a pipe")


def test_a_sample_of_the_queries_leaves_train_and_gallery_as_they_are() -> None:
    catalog = tail()
    whole = split(catalog, folds=3)
    assert whole.drawn_from is None
    sizes = (2, 7, 12)
    some = [split(catalog, folds=3, queries=size) for size in sizes]
    right = dict(zip(whole.queries.tolist(), whole.answers, strict=True))
    share = sum(answer is not None for answer in whole.answers) / len(whole.answers)
    for size, one in zip(sizes, some, strict=True):
        assert (len(one.queries), one.drawn_from) == (size, len(whole.queries))
        assert one.train.tolist() == whole.train.tolist()
        assert one.gallery.tolist() == whole.gallery.tolist()
        assert all(
            right[row] == answer
            for row, answer in zip(one.queries.tolist(), one.answers, strict=True)
        )
        known = sum(answer is not None for answer in one.answers)
        assert abs(known - size * share) <= 1
    assert set(some[1].queries.tolist()) <= set(some[2].queries.tolist())
    assert some[2].queries.tolist() == split(catalog, folds=3, queries=12).queries.tolist()
    assert some[2].queries.tolist() != split(catalog, folds=3, queries=12, seed=1).queries.tolist()
    assert split(catalog, folds=3, queries=10_000).drawn_from is None
