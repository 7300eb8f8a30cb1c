"""Find the hardest triplets of a run's training photographs, to look at and to train on.

A triplet is an anchor, a positive (the same animal) and a negative (another one).  Its violation
is d_ap - d_an + margin, with Euclidean distances of unit embeddings, 0 to 2: above 0 it costs a
triplet loss something (Schroff et al. 2015, FaceNet, eq. 1 and 2).
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, Floats, Ints, Values
from flukeprint.data.groups import photo_groups
from flukeprint.data.splits import Split
from flukeprint.files import written_whole

TRIPLETS = "triplets.csv"  # in a run's folder
PHOTO_COLUMNS = ("anchor", "positive", "negative")
COLUMNS = (*PHOTO_COLUMNS, "positive_distance", "negative_distance", "violation")
MARGIN = 0.3  # of a run without a triplet loss; the default of that loss
MOST = 1000
_ROWS_AT_ONCE = 1 << 10


@dataclass(frozen=True)
class HardTriplets:
    """Triplets that violate a margin, the worst first.

    rows: (t, 3) anchor, positive, negative, as rows of the photographs they were found among.
    positive_distance, negative_distance, violation: (t,) float64.
    anchors: number of photographs that have both a positive and a negative.
    """

    rows: Ints
    positive_distance: Values
    negative_distance: Values
    violation: Values
    margin: float
    anchors: int

    def __post_init__(self) -> None:
        t = len(self.rows)
        if self.rows.shape != (t, 3) or any(
            values.shape != (t,)
            for values in (self.positive_distance, self.negative_distance, self.violation)
        ):
            raise ValueError("a row of three photographs, two distances and a violation each")

    def __len__(self) -> int:
        return len(self.rows)

    def save(self, path: Path, images: tuple[str, ...], *, most: int = MOST) -> None:
        """Write the worst `most` as CSV, for `sampler.triplets`; `images` are what rows name."""
        with written_whole(path) as partial, partial.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row, near, far, violation in zip(
                self.rows[:most].tolist(), self.positive_distance, self.negative_distance,
                self.violation, strict=False,
            ):  # fmt: skip
                names = [images[photo] for photo in row]
                writer.writerow([*names, f"{near:.6f}", f"{far:.6f}", f"{violation:.6f}"])


def triplet_margin(config: Config) -> float:
    """The margin of a run's triplet loss on Euclidean distances, or MARGIN where it has none."""
    for loss in config.losses:
        if loss.name == "triplet" and loss.params.get("distance", "euclidean") == "euclidean":
            return float(loss.params.get("margin", MARGIN))
    return MARGIN


def training_triplets(
    embeddings: Embeddings,
    catalog: Catalog,
    split: Split,
    config: Config,
    *,
    margin: float | None = None,
) -> HardTriplets:
    """Find the hardest triplets among the training photographs of a fold, never its queries.

    With data.classes identity_and_view a positive has the anchor's view as well.  A copy or burst
    neighbour of the anchor is no positive, and what may show the anchor itself is no negative.

    Args:
        embeddings: of the whole `catalog`, whose rows `split` and the result name.
        margin: None takes that of the run's triplet loss.
    """
    rows = split.train
    views: tuple[str | None, ...] = (None,) * len(catalog)
    if config.data.classes == "identity_and_view" and catalog.views is not None:
        views = catalog.views
    names = [catalog.identities[row] for row in rows]
    groups, alike = photo_groups(catalog)
    found = mine_hardest(
        embeddings.vectors[rows],
        animals=_numbered(names),
        classes=_numbered([n and (n, views[row]) for n, row in zip(names, rows, strict=True)]),
        groups=groups[rows],
        alike=alike[rows],
        margin=triplet_margin(config) if margin is None else margin,
    )
    return HardTriplets(
        rows[found.rows], found.positive_distance, found.negative_distance, found.violation,
        found.margin, found.anchors,
    )  # fmt: skip


def _numbered(keys: list[object]) -> Ints:
    """(n,) the number of each key, in order of appearance; -1 for None."""
    numbers: dict[object, int] = {}
    return np.array(
        [-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys],
        dtype=np.int64,
    )


def mine_hardest(
    vectors: Floats,
    *,
    animals: Ints,
    classes: Ints,
    groups: Ints,
    alike: Ints,
    margin: float,
) -> HardTriplets:
    """Each anchor's furthest positive and nearest negative, where they violate the margin.

    So each photograph is an anchor once, and the worst triplet of all is the first one (Hermans
    et al. 2017, eq. 5, with all photographs as one batch).  Of equal distances the lower row is
    taken.

    Args:
        vectors: (n, d) unit embeddings.
        animals, classes: (n,) of each photograph, -1 for a new individual: it is never an anchor
            or a positive.  Positives share a class, negatives are other animals.
        groups: (n,) numbers of copies and bursts; photographs of one are no pair to learn from.
        alike: (n,) of what may show one animal, whatever its name; none is another's negative.
    """
    n = len(vectors)
    wide = vectors.astype(np.float64)
    kept: list[tuple[Ints, Values]] = []
    anchors = 0
    for start in range(0, n, _ROWS_AT_ONCE):
        mine = np.arange(start, min(start + _ROWS_AT_ONCE, n))
        far = np.sqrt(np.maximum(2 - 2 * (wide[mine] @ wide.T), 0))
        known = animals[mine] >= 0
        positive = (classes[mine, None] == classes) & (groups[mine, None] != groups)
        negative = (animals[mine, None] != animals) & (alike[mine, None] != alike)
        usable = known & positive.any(axis=1) & negative.any(axis=1)
        anchors += int(usable.sum())
        ap = np.where(positive, far, -np.inf).argmax(axis=1)
        an = np.where(negative, far, np.inf).argmin(axis=1)
        own = np.arange(len(mine))
        distances = np.stack([far[own, ap], far[own, an]], axis=1)
        hard = usable & (distances[:, 0] - distances[:, 1] + margin > 0)
        kept.append((np.stack([mine, ap, an], axis=1)[hard], distances[hard]))
    rows = np.concatenate([np.empty((0, 3), np.int64), *(part for part, _ in kept)])
    distances = np.concatenate([np.empty((0, 2)), *(part for _, part in kept)])
    violation = distances[:, 0] - distances[:, 1] + margin
    order = np.argsort(-violation, kind="stable")
    return HardTriplets(
        rows[order], distances[order, 0], distances[order, 1], violation[order], margin, anchors
    )
