"""Splits a catalogue into training photographs, gallery and queries for open-set validation.

Photos of one burst, exact copies of one photo and the boxes of one photo form a group, which is
never divided.  Groups are distributed over k folds, identity by identity.  The queries of fold f
are the photos of that fold (known queries), and photos of individuals that are not in its gallery
(unseen queries, whose right answer is None).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from flukeprint.config.data import SplitConfig
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Ints
from flukeprint.data.groups import photo_groups
from flukeprint.errors import FlukeprintError, counted, listed

Mask = npt.NDArray[np.bool_]
NewPhotos = Literal["negatives", "queries_only", "ignore"]


@dataclass(frozen=True)
class Split:
    """One fold of a validation, as rows of a catalogue, ascending and without repeats.

    train: photos to train on, including photos without an identity (negatives).
    gallery: the photos of `train` that have an identity.
    queries: photos to identify; none is in `train`.
    answers: for each query its identity, or None for an individual absent from the gallery.
    drawn_from: number of queries of which these are a sample; None: these are all.
    """

    train: Ints
    gallery: Ints
    queries: Ints
    answers: tuple[str | None, ...]
    drawn_from: int | None = None

    def __post_init__(self) -> None:
        for name in ("train", "gallery", "queries"):
            rows = np.asarray(getattr(self, name), dtype=np.int64)
            if rows.ndim != 1 or np.any(np.diff(rows) <= 0):
                raise ValueError(f"{name} must be ascending rows without repeats")
            object.__setattr__(self, name, rows)
        if len(self.answers) != len(self.queries):
            raise ValueError(f"{len(self.answers)} answers for {len(self.queries)} queries")
        if np.intersect1d(self.train, self.queries).size:
            raise ValueError("a query is in train")
        if not np.isin(self.gallery, self.train).all():
            raise ValueError("a gallery photo is not in train")


def group_photos(catalog: Catalog) -> Ints:
    """Number the groups of photos that must not be divided: (n,), from 0 in order of appearance.

    Photos share a group if they have the same bytes (whatever their identities and boxes), or the
    same burst and the same identity, or are linked by a chain of such pairs.
    """
    return photo_groups(catalog)[0]


def make_split(
    catalog: Catalog,
    config: SplitConfig,
    *,
    closed_set: bool,
    new_photos: NewPhotos,
    min_photos: int,
) -> Split:
    """Make fold `config.fold` of `config.folds`; the same arguments give the same rows.

    Known queries are the photos of this fold whose identity has other photos in the gallery; an
    identity with one group is never a query, but stays in train and gallery.  Over all folds of
    a closed set every photo of an identity with two or more groups is a query exactly once.

    Unless `closed_set`, unseen queries make up `config.unseen_share` of all queries, to the
    nearest photo.  They are photos without an identity in this fold; if those are too few, whole
    identities are held out of train and gallery, drawn uniformly over identities (so the long
    tail gives mostly animals with one photo), and different ones in each fold while they last.
    Identities with fewer than `min_photos` photos in the catalogue are in neither train nor
    gallery, so they are drawn first.

    new_photos: use of photos without an identity.  `negatives`: those that are not queries are
        in train (never in the gallery); `queries_only`: they are never in train; `ignore`: they
        are neither queries nor in train.

    A group with a query has no photo in train, even under another name.  Of more queries than
    `config.queries` a sample is drawn, with the share of known ones that all have; the others are
    nowhere.
    Raises FlukeprintError when the identities are too few for the folds or the share.
    """
    names = catalog.vocabulary()
    number = {name: i for i, name in enumerate(names)}
    labels = np.array(  # photos without an identity are labelled one past the last name
        [len(names) if name is None else number[name] for name in catalog.identities],
        dtype=np.int64,
    )
    groups, alike = photo_groups(catalog)
    fold_of = _deal(groups, labels, config.folds, np.random.default_rng([config.seed, 0]))
    photos = np.bincount(labels, minlength=len(names) + 1)
    rare = np.append(photos[:-1] < min_photos, False)
    new = labels == len(names)
    named = ~new & ~rare[labels]

    known_in = [_known(fold_of == fold, named, labels) for fold in range(config.folds)]
    _check_folds(known_in, groups[named], labels[named])
    known = known_in[config.fold]
    unseen = np.zeros(len(catalog), dtype=bool)
    held_out = np.zeros(len(names) + 1, dtype=bool)
    if not closed_set and config.unseen_share > 0:
        doubtful = _mixed(alike, labels)[alike]
        pool = new & (fold_of == config.fold) & ~doubtful
        if new_photos == "ignore":
            pool[:] = False
        drawn, held_out = _draw_unseen(groups, labels, known, pool, rare, doubtful, config)
        known = known & ~held_out[labels]
        known, unseen = _balanced(drawn, known, named & ~held_out[labels], groups, labels, config)

    chosen = known | unseen
    free = ~np.isin(groups, groups[chosen]) & ~held_out[labels]
    train = free & (named | new if new_photos == "negatives" else named)
    every = np.flatnonzero(chosen)
    queries = _sampled(every, known[every], config)
    return Split(
        train=np.flatnonzero(train),
        gallery=np.flatnonzero(train & named),
        queries=queries,
        answers=tuple(catalog.identities[row] if known[row] else None for row in queries),
        drawn_from=len(every) if len(queries) < len(every) else None,
    )


def split_for(config: Config, catalog: Catalog) -> Split:
    """Make the split of a whole configuration: `make_split` with its settings."""
    return make_split(
        catalog,
        config.split,
        closed_set=config.data.closed_set,
        new_photos=config.data.new_photos,
        min_photos=config.data.min_photos,
    )


def _deal(groups: Ints, labels: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """(n,) fold of each photo: a group is put where its identities have fewest groups so far.

    So the folds of an identity differ by at most one group.  Groups under several names come
    first, while all folds are empty; only several of those can unbalance a fold.
    """
    count = int(groups.max(initial=-1)) + 1
    labels_of: list[set[int]] = [set() for _ in range(count)]
    for group, label in zip(groups.tolist(), labels.tolist(), strict=True):
        labels_of[group].add(label)
    load = [[0] * folds for _ in range(int(labels.max(initial=0)) + 1)]
    ties = rng.random((count, folds)).tolist()  # decide in which fold an identity starts
    fold_of = np.zeros(count, dtype=np.int64)
    for group in sorted(rng.permutation(count).tolist(), key=lambda g: -len(labels_of[g])):
        loads = [load[label] for label in labels_of[group]]
        fold = min(
            range(folds),
            key=lambda f: (max(taken[f] for taken in loads), ties[group][f]),
        )
        fold_of[group] = fold
        for taken in loads:
            taken[fold] += 1
    return fold_of[groups]


def _known(here: Mask, named: Mask, labels: Ints) -> Mask:
    """(n,) True for photos of this fold whose identity has photos in other folds."""
    kept = np.bincount(labels[named & ~here], minlength=int(labels.max(initial=0)) + 1) > 0
    return named & here & kept[labels]


def _mixed(groups: Ints, labels: Ints) -> Mask:
    """(groups,) True where the photos of a group have several names, or one and none.

    Its photos may show one individual, so none of them is surely a new one.
    """
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    return np.bincount(pairs[0], minlength=int(groups.max(initial=-1)) + 1) > 1


def _check_folds(known_in: list[Mask], groups: Ints, labels: Ints) -> None:
    empty = [str(fold) for fold, known in enumerate(known_in) if not known.any()]
    if not empty:
        return
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    several = int((np.bincount(pairs[1]) > 1).sum())
    identities = counted(len(set(labels.tolist())), "identity", "identities")
    size = f"{identities} with {counted(len(labels), 'photo')}"
    if several == 0:
        raise FlukeprintError(
            f"no identity has two photos to tell apart ({size}; copies and bursts count once), "
            "so there is nothing to search a gallery for; add photos"
        )
    raise FlukeprintError(
        f"{size} are too few for {len(known_in)} folds: only {several} "
        f"{'has' if several == 1 else 'have'} two photos to tell apart, and fold "
        f"{listed(empty)} has no query; lower split.folds or add photos"
    )


def _draw_unseen(
    groups: Ints,
    labels: Ints,
    known: Mask,
    pool: Mask,
    rare: Mask,
    doubtful: Mask,
    config: SplitConfig,
) -> tuple[Ints, Mask]:
    """Rows for unseen queries, the first to be taken first, and (labels,) identities held out.

    Those are in neither train nor gallery.
    """
    rng = np.random.default_rng([config.seed, 1, config.fold])
    rank = rng.permutation(int(groups.max(initial=-1)) + 1)
    rows = np.flatnonzero(pool)
    rows = rows[np.argsort(rank[groups[rows]], kind="stable")]  # group by group, groups shuffled
    drawn = [rows]
    held_out = np.zeros(len(rare), dtype=bool)
    photos = np.bincount(labels, minlength=len(rare))
    known_of = np.bincount(labels[known], minlength=len(rare))
    left, supply = int(known.sum()), len(rows)
    by_label = np.split(np.argsort(labels, kind="stable"), np.cumsum(photos)[:-1])
    for label in _hold_out_order(labels, rare, doubtful, config):
        if supply >= _wanted(left, config):
            break
        if known_of[label] == left:  # one known identity must remain
            continue
        held_out[label] = True
        left -= int(known_of[label])
        supply += int(photos[label])
        drawn.append(rng.permutation(by_label[label]))
    if supply < _wanted(left, config):
        raise FlukeprintError(
            f"fold {config.fold}: {counted(supply, 'photo')} can serve as new individuals, but "
            f"split.unseen_share={config.unseen_share:g} needs {_wanted(left, config)} with "
            f"{counted(left, 'query', 'queries')} of known ones; lower "
            "the share or set data.closed_set"
        )
    return np.concatenate(drawn), held_out


def _sampled(rows: Ints, known: Mask, config: SplitConfig) -> Ints:
    """At most `config.queries` of the queries at `rows`, ascending; `known` says which are known.

    A sample of fewer queries is part of one of more, of each kind.
    """
    if config.queries is None or len(rows) <= config.queries:
        return rows
    rng = np.random.default_rng([config.seed, 3, config.fold])
    of_known, of_new = rng.permutation(rows[known]), rng.permutation(rows[~known])
    wanted = round(config.queries * len(of_known) / len(rows))
    if len(of_known) and len(of_new):
        wanted = min(max(wanted, 1), config.queries - 1)
    taken = [of_known[:wanted], of_new[: config.queries - wanted]]
    return np.sort(np.concatenate(taken))


def _wanted(known_queries: int, config: SplitConfig) -> int:
    """How many unseen queries belong to this number of known ones."""
    return max(1, round(known_queries * config.unseen_share / (1 - config.unseen_share)))


def _balanced(
    drawn: Ints, known: Mask, named: Mask, groups: Ints, labels: Ints, config: SplitConfig
) -> tuple[Mask, Mask]:
    """(n,) known and (n,) unseen queries in their proportion, each known one in the gallery.

    drawn: rows for unseen queries.  named: photos that may be in the gallery.

    A picture of two individuals leaves the gallery when one of them is an unseen query.  If that
    was the other's last one, its photos are no queries.
    """
    while True:
        unseen = np.zeros(len(labels), dtype=bool)
        unseen[drawn[: _wanted(int(known.sum()), config)]] = True
        gallery = named & ~np.isin(groups, groups[known | unseen])
        kept = np.bincount(labels[gallery], minlength=int(labels.max(initial=0)) + 1) > 0
        if not known.any() or kept[labels[known]].all():
            break
        known = known & kept[labels]
    if not known.any():
        raise FlukeprintError(
            f"fold {config.fold}: pictures of several individuals leave no query of a known one; "
            "lower split.unseen_share or set data.closed_set"
        )
    return known, unseen


def _hold_out_order(labels: Ints, rare: Mask, doubtful: Mask, config: SplitConfig) -> list[int]:
    """Identities in the order in which they are held out, from a shuffle shared by all folds.

    Each fold begins with its own k-th part of it.  An identity with a photo that may show another
    is not held out, because its copy would remain in the gallery.
    """
    shuffled = np.random.default_rng([config.seed, 2]).permutation(len(rare) - 1)
    bound = set(labels[doubtful].tolist())
    free = [label for label in shuffled.tolist() if label not in bound]
    turn = {label: (place - config.fold) % config.folds for place, label in enumerate(free)}
    return sorted(free, key=lambda label: (not rare[label], turn[label] != 0))


def halves(answers: Sequence[str | None], true_identities: Sequence[str | None], seed: int) -> Mask:
    """Halve the queries: (q,) True to fit the threshold on, False to report results on.

    All queries of one individual are on one side; a query without a true identity is an
    individual by itself.  Known and new individuals are assigned separately, each to the half
    with fewer queries so far, so that two of a kind are enough for both halves to have one.
    """
    if len(answers) != len(true_identities):
        raise ValueError(f"{len(true_identities)} identities for {len(answers)} queries")
    queries_of: dict[Hashable, list[int]] = {}
    for query, identity in enumerate(true_identities):
        queries_of.setdefault(query if identity is None else identity, []).append(query)
    rng = np.random.default_rng(seed)
    individuals = list(queries_of.values())
    side = np.zeros(len(answers), dtype=bool)
    total = [0, 0]
    for is_new in (False, True):
        here = [0, 0]
        for i in rng.permutation(len(individuals)).tolist():
            queries = individuals[i]
            if (answers[queries[0]] is None) != is_new:
                continue
            coin = int(rng.integers(2))
            half = min((coin, 1 - coin), key=lambda h: (here[h], total[h]))
            side[queries] = half == 1
            here[half] += len(queries)
            total[half] += len(queries)
    return side
