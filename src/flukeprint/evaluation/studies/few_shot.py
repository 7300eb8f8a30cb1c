"""Few shots: N-way k-shot identification of animals that are known from k photographs each.

An episode draws N animals, k photographs of each (the support) and further ones to identify (the
queries).  No two photographs of an episode are of one group: not of one burst, no copies, no boxes
of one picture.  Source: Vinyals et al., Matching networks for one shot learning (NeurIPS 2016).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flukeprint.data.embeddings import Floats, Ints
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.metrics import Interval, bootstrap_interval
from flukeprint.evaluation.studies.distractors import unit
from flukeprint.evaluation.studies.fold import Fold
from flukeprint.evaluation.studies.individuals import draw_individuals, share_interval

WAYS, SHOTS, EPISODES = (5, 20), (1, 5), 1000
_TRIES = 100  # at an episode whose photographs are of different groups

# Which photographs episodes are drawn from.
Source = Literal["unseen", "seen", "untrained"]


def prototype(support: Floats, queries: Floats) -> Ints:
    """Answer (q,) of each query: the animal of which the mean photograph is nearest by cosine.

    support: (ways, shots, d) unit vectors; queries: (q, d).  Ties go to the first animal.
    Source: Snell, Swersky and Zemel, Prototypical networks for few-shot learning (NeurIPS 2017),
    equation 1, there by squared Euclidean distance of vectors that are not normalised.
    """
    means = support.mean(axis=1, dtype=np.float64)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(
        np.argmax(queries @ (means / np.maximum(lengths, 1e-12)).T, axis=1), dtype=np.int64
    )


def nearest_photograph(support: Floats, queries: Floats) -> Ints:
    """Answer (q,) of each query: the animal of the nearest photograph by cosine, as `prototype`."""
    best = np.einsum("wkd,qd->qwk", support, queries).max(axis=2)
    return np.asarray(np.argmax(best, axis=1), dtype=np.int64)


CLASSIFIERS: dict[str, Callable[[Floats, Floats], Ints]] = {
    "prototype": prototype,
    "nearest photograph": nearest_photograph,
}


@dataclass(frozen=True)
class FewShotCell:
    """Accuracy of N-way k-shot identification by each of `CLASSIFIERS`.

    over_episodes: 95 % interval by a bootstrap over episodes, what other episodes of these
        photographs would give.  over_animals: by a bootstrap over the animals that were asked for,
        wider: what other animals would give.
    animals: number of animals that have enough photographs.
    """

    ways: int
    shots: int
    episodes: int
    animals: int
    source: Source
    over_episodes: dict[str, Interval]
    over_animals: dict[str, Interval]


@dataclass(frozen=True)
class FewShotStudy:
    """Cells of ways and shots; `refused`: why a cell of the grid has no figures."""

    name: str
    cells: tuple[FewShotCell, ...]
    refused: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Animals:
    """The photographs that may be drawn of each animal: rows for support and for queries."""

    support: list[Ints]
    queries: list[Ints]
    source: Source


def few_shots(
    fold: Fold,
    ways: Sequence[int] = WAYS,
    shots: Sequence[int] = SHOTS,
    *,
    episodes: int = EPISODES,
    strict: bool = False,
) -> FewShotStudy:
    """Measure a grid of ways and shots on a fold, with one query of each animal in an episode.

    From animals that training never saw, where they are enough for a cell.  Else from animals that
    it saw: their support is of the gallery, which was trained on, and their queries are the fold's.
    An untrained network has seen none; all photographs are drawn from.

    strict: refuse a cell without enough animals, instead of leaving it out.

    Raises FlukeprintError for a cell that is refused, and where none is left.
    """
    start = time.perf_counter()
    check_cells(fold, ways, shots, strict=strict)
    cells, refused = [], []
    for way in ways:
        for shot in shots:
            try:
                cells.append(_cell(fold, way, shot, episodes))
            except FlukeprintError as error:
                if strict:
                    raise
                refused.append(str(error))
    if not cells:
        raise FlukeprintError(refused[0])
    return FewShotStudy(
        fold.name, tuple(cells), tuple(refused), _notes(cells), time.perf_counter() - start
    )


def check_cells(fold: Fold, ways: Sequence[int], shots: Sequence[int], *, strict: bool) -> None:
    """Refuse what `few_shots` would for want of animals; the vectors are not looked at."""
    reasons, cells = [], 0
    for way in ways:
        for shot in shots:
            cells += 1
            try:
                _chosen(fold, way, shot)
            except FlukeprintError as error:
                reasons.append(str(error))
    if reasons and (strict or len(reasons) == cells):
        raise FlukeprintError(reasons[0])


def _chosen(fold: Fold, ways: int, shots: int) -> _Animals:
    """The first source that has enough animals; FlukeprintError if none has."""
    if ways < 2 or shots < 1:
        raise FlukeprintError(f"{ways}-way {shots}-shot: at least 2 ways and 1 shot are needed")
    sets = [_eligible(fold, found, shots) for found in _sources(fold)]
    for found in sets:
        if len(found.support) >= ways:
            return found
    raise FlukeprintError(_too_few(fold, sets, ways, shots))


def _cell(fold: Fold, ways: int, shots: int, episodes: int) -> FewShotCell:
    chosen = _chosen(fold, ways, shots)
    rng = np.random.default_rng([fold.seed, ways, shots])
    vectors = unit(fold.vectors)
    right = {name: np.empty((episodes, ways)) for name in CLASSIFIERS}
    asked = np.empty((episodes, ways), dtype=np.int64)
    truth = np.arange(ways)
    for episode in range(episodes):
        asked[episode], support, queries = _episode(chosen, fold.groups, ways, shots, rng)
        for name, classify in CLASSIFIERS.items():
            right[name][episode] = classify(vectors[support], vectors[queries]) == truth
    times = draw_individuals(len(chosen.support), seed=fold.seed)
    return FewShotCell(
        ways, shots, episodes, len(chosen.support), chosen.source,
        over_episodes={
            name: bootstrap_interval(found.mean(axis=1), seed=fold.seed)
            for name, found in right.items()
        },
        over_animals={
            name: share_interval(found.ravel(), asked.ravel(), times)
            for name, found in right.items()
        },
    )  # fmt: skip


def _sources(fold: Fold) -> list[_Animals]:
    """The photographs of each source of animals, the best first."""
    named = [row for row, name in enumerate(fold.identities) if name is not None]
    if not any(fold.trained):
        rows = np.array(named, dtype=np.int64)
        return [_by_animal(fold, rows, rows, "untrained")]
    unseen = fold.unseen()
    return [
        _by_animal(fold, unseen, unseen, "unseen"),
        _by_animal(fold, fold.gallery, fold.known_queries(), "seen"),
    ]


def _by_animal(fold: Fold, support: Ints, queries: Ints, source: Source) -> _Animals:
    of: dict[str, tuple[list[int], list[int]]] = {}
    for side, rows in enumerate((support, queries)):
        for row in rows.tolist():
            of.setdefault(fold.identities[row] or "", ([], []))[side].append(row)
    parts = [of[name] for name in sorted(of)]
    return _Animals(
        [np.array(mine, np.int64) for mine, _ in parts],
        [np.array(asked, np.int64) for _, asked in parts],
        source,
    )


def _eligible(fold: Fold, animals: _Animals, shots: int) -> _Animals:
    """The animals with a query and k supports of different groups."""
    kept = []
    for place, (support, queries) in enumerate(zip(animals.support, animals.queries, strict=True)):
        groups = set(fold.groups[support].tolist())
        asked = set(fold.groups[queries].tolist())
        # A query takes its group from the support, where it is among it.
        if any(len(groups - {group}) >= shots for group in asked):
            kept.append(place)
    return _Animals(
        [animals.support[place] for place in kept],
        [animals.queries[place] for place in kept],
        animals.source,
    )


def _episode(
    animals: _Animals, groups: Ints, ways: int, shots: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Draw an episode: animals (ways,), rows of support (ways, shots) and of queries (ways,)."""
    for _ in range(_TRIES):
        drawn = rng.choice(len(animals.support), size=ways, replace=False)
        support = np.empty((ways, shots), dtype=np.int64)
        queries = np.empty(ways, dtype=np.int64)
        taken: set[int] = set()
        for way, animal in enumerate(drawn.tolist()):
            rows = _of_groups(animals.queries[animal], groups, 1, taken, rng)
            more = (
                [] if not rows else _of_groups(animals.support[animal], groups, shots, taken, rng)
            )
            if not more:
                break
            queries[way], support[way] = rows[0], more
        else:
            return drawn.astype(np.int64), support, queries
    raise FlukeprintError(
        f"{ways}-way {shots}-shot: no {ways} animals have photographs that are of different bursts "
        "and pictures throughout; ask for fewer ways"
    )


def _of_groups(
    rows: Ints, groups: Ints, number: int, taken: set[int], rng: np.random.Generator
) -> list[int]:
    """Draw rows of different groups that are not taken yet, and take them; none if too few.

    A group is drawn as a photograph is: those with many photographs more often.
    """
    found: list[int] = []
    for row in rng.permutation(rows).tolist():
        group = int(groups[row])
        if group not in taken:
            taken.add(group)
            found.append(row)
            if len(found) == number:
                return found
    return []


def _too_few(fold: Fold, sets: Sequence[_Animals], ways: int, shots: int) -> str:
    names = {
        "unseen": "that training never saw",
        "seen": f"in the gallery ({shots} there and 1 among the queries)",
        "untrained": "in the catalogue",
    }
    have = " and ".join(
        f"{counted(len(found.support), 'animal')} {names[found.source]}" for found in sets
    )
    return (
        f"{fold.name}: {ways}-way {shots}-shot needs {ways} animals with {shots + 1} photographs "
        f"of different bursts; found {have}; ask for fewer ways or shots"
    )


def _notes(cells: Sequence[FewShotCell]) -> tuple[str, ...]:
    notes = [
        "Episodes share animals and photographs: the interval over episodes is what other episodes "
        "of the same photographs would give, the one over animals what other animals would."
    ]
    sources = {cell.source for cell in cells}
    if "seen" in sources:
        notes.append(
            "Seen: training saw these animals, and the photographs of their support; only the "
            "queries are new to it. On animals that it never saw it may do far worse."
        )
    if "unseen" in sources:
        notes.append("Unseen: training saw no photograph of these animals.")
    if "untrained" in sources:
        notes.append("Untrained: the network was trained on no animal of the catalogue.")
    return tuple(notes)


def few_shot_lines(study: FewShotStudy) -> list[str]:
    """The figures as lines for people."""
    lines = [study.name]
    for cell in study.cells:
        lines.append(
            f"{cell.ways}-way {cell.shots}-shot, {counted(cell.episodes, 'episode')} of "
            f"{counted(cell.animals, 'animal')} ({cell.source}); chance {1 / cell.ways:.3f}"
        )
        for name, found in cell.over_episodes.items():
            animals = cell.over_animals[name]
            lines.append(
                f"  {name:20}{found.text()} over episodes, "
                f"[{animals.low:.3f}, {animals.high:.3f}] over animals"
            )
    return [*lines, *study.refused, *study.notes]
