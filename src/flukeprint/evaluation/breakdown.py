"""Where answers are right.  A ranking and the truth enter, figures by view and by size leave.

`QueryTable` holds all that figures are made of, one entry a query, and is kept as `queries.csv`:
whoever has that table can recompute every figure without network or photographs.  The size of
an individual is the number of its photographs in the gallery; 0 stands for a new individual.
"""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Values
from flukeprint.data.tables import check_filled, check_once, lines, read_header, read_table
from flukeprint.errors import FlukeprintError, listed
from flukeprint.evaluation.metrics import Interval, auroc_interval, bootstrap_interval, per_query_ap
from flukeprint.files import written_whole
from flukeprint.ranking.ranking import Ranking

SIZES = {"0": (0, 0), "1": (1, 1), "2-3": (2, 3), "4-9": (4, 9), "10+": (10, None)}
QUERY_COLUMNS = ("image", "answer", "view", "photos", "answers", "ap", "first_score", "best_known")


@dataclass(frozen=True)
class QueryTable:
    """The q queries of one run that report, with what was answered.

    images: names of the photos.
    truths: the right answers; None for a new individual.
    views: None where nobody knows.
    photos: photos of the right individual in the gallery; 0 for a new individual.
    found: for each query up to five answers, best first; None is a new individual.
    first_score: (q,) score of the first answer; best_known: (q,) similarity to the nearest
        known identity, whatever was answered.
    """

    images: tuple[str, ...]
    truths: tuple[str | None, ...]
    views: tuple[str | None, ...]
    photos: tuple[int, ...]
    found: tuple[tuple[str | None, ...], ...]
    first_score: Values
    best_known: Values

    def __post_init__(self) -> None:
        for field in fields(self):
            if len(getattr(self, field.name)) != len(self.images):
                raise ValueError(f"{field.name} must have one entry for each query")
        if not self.images:
            raise ValueError("no queries to score_table on")
        wrong = [
            image
            for image, truth, photos in zip(self.images, self.truths, self.photos, strict=True)
            if (truth is None) != (photos == 0)
        ]
        if wrong:
            raise ValueError(f"known individuals have photos in the gallery: {listed(wrong)}")

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def of(
        ranking: Ranking,
        truths: Sequence[str | None],
        views: Sequence[str | None],
        gallery: Sequence[str | None],
    ) -> "QueryTable":
        """Of a ranking of q queries.

        Args:
            truths: (q) right answers.
            views: (q) views of the query photos.
            gallery: one identity for each photo of the gallery.
        """
        counts = Counter(gallery)
        return QueryTable(
            images=ranking.images,
            truths=tuple(truths),
            views=tuple(views),
            photos=tuple(0 if truth is None else counts[truth] for truth in truths),
            found=tuple(names[:5] for names in ranking.identities),
            first_score=ranking.scores[:, 0].astype(np.float64),
            best_known=ranking.best_known.astype(np.float64),
        )

    @property
    def ap(self) -> Values:
        """(q,) average precision at 5."""
        return per_query_ap(self.found, self.truths)

    @property
    def first_right(self) -> Values:
        """(q,) 1 where the first answer is right, else 0."""
        return np.asarray(self.ap == 1, dtype=np.float64)

    @property
    def five_right(self) -> Values:
        """(q,) 1 where one of the five answers is right, else 0."""
        return np.asarray(self.ap > 0, dtype=np.float64)

    @property
    def is_new(self) -> npt.NDArray[np.bool_]:
        """(q,) True for the queries of new individuals."""
        return np.array([truth is None for truth in self.truths], dtype=bool)

    def save(self, path: Path) -> None:
        """Write the table; an empty `answer` and a `null` among `answers` are new individuals."""
        with written_whole(path) as partial, partial.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(QUERY_COLUMNS)
            writer.writerows(
                [
                    image, truth or "", view or "", photos, json.dumps(found, ensure_ascii=False),
                    f"{ap:.9g}", f"{first:.9g}", f"{best:.9g}",
                ]
                for image, truth, view, photos, found, ap, first, best in zip(
                    self.images, self.truths, self.views, self.photos, self.found, self.ap,
                    self.first_score, self.best_known, strict=True,
                )
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "QueryTable":
        """Read what `save` wrote.  Raises FlukeprintError for any other table."""
        if tuple(read_header(path)) != QUERY_COLUMNS:
            raise FlukeprintError(
                f"{path} is no table of queries: wanted {', '.join(QUERY_COLUMNS)}"
            )
        table = read_table(path, QUERY_COLUMNS)
        check_filled(table, ("image", "photos", "answers", "first_score", "best_known"), path)
        check_once(table, "image", None, path)
        for row, cells in enumerate(zip(*(table[name] for name in QUERY_COLUMNS[3:]), strict=True)):
            try:
                int(cells[0]), tuple(json.loads(cells[1])), [float(cell) for cell in cells[2:]]
            except (ValueError, TypeError):
                raise FlukeprintError(f"{path}, {lines([row])}: a cell cannot be read") from None
        return cls(
            images=tuple(table["image"]),
            truths=tuple(name or None for name in table["answer"]),
            views=tuple(view or None for view in table["view"]),
            photos=tuple(int(cell) for cell in table["photos"]),
            found=tuple(tuple(json.loads(cell)) for cell in table["answers"]),
            first_score=table["first_score"].to_numpy(dtype=np.float64),
            best_known=table["best_known"].to_numpy(dtype=np.float64),
        )


@dataclass(frozen=True)
class QueryGroup:
    """The figures of some of the queries."""

    queries: int
    top1: float
    map5: float


@dataclass(frozen=True)
class Figures:
    """All figures, each with its 95 % bootstrap interval; no `auroc` in a closed set."""

    map5: Interval
    top1: Interval
    top5: Interval
    auroc: Interval | None
    queries: int
    new_queries: int


def score_table(answered: QueryTable, *, seed: int) -> Figures:
    """The figures of one run; `seed` is for the bootstrap over its queries."""
    is_new = answered.is_new
    open_set = bool(is_new.any() and not is_new.all())
    return Figures(
        map5=bootstrap_interval(answered.ap, seed=seed),
        top1=bootstrap_interval(answered.first_right, seed=seed),
        top5=bootstrap_interval(answered.five_right, seed=seed),
        auroc=auroc_interval(answered.best_known, is_new, seed=seed) if open_set else None,
        queries=len(answered),
        new_queries=int(is_new.sum()),
    )


def by_view(answered: QueryTable) -> dict[str, QueryGroup]:
    """View -> figures, in alphabetical order; nothing where no view is known.

    Queries without a view stand under the empty name.
    """
    if not any(answered.views):
        return {}
    views = np.array([view or "" for view in answered.views])
    return {str(view): _part(answered, views == view) for view in sorted(set(views.tolist()))}


def by_size(answered: QueryTable) -> dict[str, QueryGroup]:
    """Number of the individual's photos in the gallery (a key of SIZES) -> figures.

    Sizes that no query has are left out.
    """
    photos = np.array(answered.photos)
    chosen = {
        name: (photos >= low) & (photos <= (np.inf if high is None else high))
        for name, (low, high) in SIZES.items()
    }
    return {name: _part(answered, mask) for name, mask in chosen.items() if mask.any()}


def _part(answered: QueryTable, mask: npt.NDArray[np.bool_]) -> QueryGroup:
    return QueryGroup(
        queries=int(mask.sum()),
        top1=float(answered.first_right[mask].mean()),
        map5=float(answered.ap[mask].mean()),
    )


@dataclass(frozen=True)
class Ceiling:
    """Share of queries, 0 to 1, whose animal has a gallery photo of the same view.

    overall: of all queries; None where there are none.
    of_view: of the queries of each view, views sorted.
    queries: how many these are, with the same keys.
    Only queries count whose view and identity are known.
    """

    overall: float | None
    of_view: dict[str, float]
    queries: dict[str, int]


def ceiling(
    query_views: Sequence[str | None],
    query_identities: Sequence[str | None],
    gallery_views: Sequence[str | None],
    gallery_identities: Sequence[str | None],
) -> Ceiling:
    """How many queries could be answered from photos of the same view alone.

    Views and identities of the (q) queries and the (n) gallery photos; None where nobody
    knows.  A photo without a view or an identity helps nobody.
    """
    there = set(zip(gallery_views, gallery_identities, strict=True))
    hits: dict[str, list[bool]] = {}
    for view, identity in zip(query_views, query_identities, strict=True):
        if view is not None and identity is not None:
            hits.setdefault(view, []).append((view, identity) in there)
    every = [hit for found in hits.values() for hit in found]
    return Ceiling(
        overall=sum(every) / len(every) if every else None,
        of_view={view: sum(hits[view]) / len(hits[view]) for view in sorted(hits)},
        queries={view: len(hits[view]) for view in sorted(hits)},
    )
