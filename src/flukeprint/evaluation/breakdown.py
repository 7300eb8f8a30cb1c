"""Break metrics down by view and by the number of gallery photographs of the individual.

`QueryTable` holds everything that the metrics need, one entry a query, and is saved as
`queries.csv`: every metric can be recomputed from that table without network or photographs.  The
size of an individual is the number of its photographs in the gallery; 0 stands for a new
individual.  `ceiling` is the share of queries that could be found by photographs of their view.
"""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Values
from flukeprint.data.splits import Split
from flukeprint.data.tables import check_filled, check_once, lines, read_header, read_table
from flukeprint.errors import FlukeprintError, listed
from flukeprint.evaluation.metrics import Interval, auroc_interval, bootstrap_interval, per_query_ap
from flukeprint.files import written_whole
from flukeprint.ranking.ranking import Ranking

SIZES = {"0": (0, 0), "1": (1, 1), "2-3": (2, 3), "4-9": (4, 9), "10+": (10, None)}
QUERY_COLUMNS = ("image", "answer", "view", "photos", "answers", "ap", "first_score", "best_known")


@dataclass(frozen=True)
class QueryTable:
    """The q reporting queries of one run with their right answers and the ranked ones.

    images: names of the photographs.
    truths: the right answers; None for a new individual.
    views: None where unknown.
    photos: number of gallery photographs of the right individual; 0 for a new individual.
    found: for each query up to five answers, best first; None is a new individual.
    first_score: (q,) score of the first answer; best_known: (q,) similarity to the nearest
        known identity, whatever is ranked first.
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
            raise ValueError("no queries to measure on")
        wrong = [
            image
            for image, truth, photos in zip(self.images, self.truths, self.photos, strict=True)
            if (truth is None) != (photos == 0)
        ]
        if wrong:
            raise ValueError(
                f"only known individuals have photographs in the gallery: {listed(wrong)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def of(
        ranking: Ranking,
        truths: Sequence[str | None],
        views: Sequence[str | None],
        gallery: Sequence[str | None],
    ) -> "QueryTable":
        """Make the table of a ranking of q queries.

        Args:
            truths: (q) right answers.
            views: (q) views of the query photographs.
            gallery: one identity for each photograph of the gallery.
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
        """Average precision at 5 (q,)."""
        return per_query_ap(self.found, self.truths)

    @property
    def first_right(self) -> Values:
        """Top-1 (q,): 1 where the first answer is right, else 0."""
        return np.asarray(self.ap == 1, dtype=np.float64)

    @property
    def five_right(self) -> Values:
        """Top-5 (q,): 1 where one of the five answers is right, else 0."""
        return np.asarray(self.ap > 0, dtype=np.float64)

    @property
    def is_new(self) -> npt.NDArray[np.bool_]:
        """True (q,) for queries of new individuals."""
        return np.array([truth is None for truth in self.truths], dtype=bool)

    def save(self, path: Path) -> None:
        """Write CSV; an empty `answer` and a `null` in `answers` stand for a new individual."""
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
        rows = zip(*(table[name] for name in QUERY_COLUMNS[3:]), strict=True)
        for row, cells in zip(table.index, rows, strict=True):
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
    """Metrics of a group of queries."""

    queries: int
    top1: float
    map5: float


@dataclass(frozen=True)
class Figures:
    """Metrics of one run, each with its 95 % bootstrap interval; no `auroc` in a closed set."""

    map5: Interval
    top1: Interval
    top5: Interval
    auroc: Interval | None
    queries: int
    new_queries: int


def fold_table(
    ranking: Ranking, report: npt.NDArray[np.int64], catalog: Catalog, split: Split
) -> QueryTable:
    """Make the table of a fold's reporting queries.

    ranking: of these queries.  report: their places among the queries of `split`, whose rows are
        of `catalog`.
    """
    views = catalog.views or (None,) * len(catalog)
    return QueryTable.of(
        ranking,
        truths=[split.answers[place] for place in report],
        views=[views[split.queries[place]] for place in report],
        gallery=[catalog.identities[row] for row in split.gallery],
    )


def score_table(table: QueryTable, *, seed: int) -> Figures:
    """Compute the metrics of one run; `seed` is for the bootstrap over its queries."""
    is_new = table.is_new
    open_set = bool(is_new.any() and not is_new.all())
    return Figures(
        map5=bootstrap_interval(table.ap, seed=seed),
        top1=bootstrap_interval(table.first_right, seed=seed),
        top5=bootstrap_interval(table.five_right, seed=seed),
        auroc=auroc_interval(table.best_known, is_new, seed=seed) if open_set else None,
        queries=len(table),
        new_queries=int(is_new.sum()),
    )


def by_view(table: QueryTable) -> dict[str, QueryGroup]:
    """Metrics by view, in alphabetical order; empty where no view is known.

    Queries without a view stand under the empty name.
    """
    if not any(table.views):
        return {}
    views = np.array([view or "" for view in table.views])
    return {str(view): _group(table, views == view) for view in sorted(set(views.tolist()))}


def by_size(table: QueryTable) -> dict[str, QueryGroup]:
    """Metrics by the number of the individual's gallery photographs, a key of SIZES.

    Sizes that no query has are left out.
    """
    photos = np.array(table.photos)
    chosen = {
        name: (photos >= low) & (photos <= (np.inf if high is None else high))
        for name, (low, high) in SIZES.items()
    }
    return {name: _group(table, mask) for name, mask in chosen.items() if mask.any()}


def _group(table: QueryTable, mask: npt.NDArray[np.bool_]) -> QueryGroup:
    return QueryGroup(
        queries=int(mask.sum()),
        top1=float(table.first_right[mask].mean()),
        map5=float(table.ap[mask].mean()),
    )


@dataclass(frozen=True)
class Ceiling:
    """Upper bound on recall by view: queries with a gallery photograph of their animal and view.

    overall: share of all queries, 0 to 1; None where there are none.
    of_view: share of the queries of each view, views sorted.
    queries: number of queries of each view, with the same keys.
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
    """Compute how many queries could be found by gallery photographs of the same view alone.

    Views and identities of the (q) queries and the (n) gallery photographs; None where unknown.
    A gallery photograph without a view or an identity counts for no query.
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
