"""Section of runs that learned from pairs: a decision by distance, pairs to look at, a 3-D map."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image

from flukeprint.config.training import LossConfig
from flukeprint.data.embeddings import Ints, Values
from flukeprint.data.synthetic.coloured_shapes import hexadecimal
from flukeprint.evaluation.report.charts import (
    COLOURS,
    MOST_NAMED,
    Bars,
    Chart,
    Part,
    PhotoRow,
    PhotoRows,
    Points,
    Shown,
)
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import interval_percent, percent
from flukeprint.evaluation.studies.pair_accuracy import (
    PairAccuracy,
    PhotoPairs,
    accuracy_of,
    best_distance,
    labelled_pairs,
    some,
)
from flukeprint.pictures import shortened

# Losses that judge a pair by itself, without a third photograph.
LOSSES_ON_PAIRS = (
    "contrastive", "pair_regression", "hinge", "margin", "difference_head", "concatenation_head",
)  # fmt: skip
EACH = 8  # pairs in a panel
POINTS = 300  # of the map
SIDE, GAP = 96, 4  # px, height of a pair's photographs and the space between them
NAME = 24
SYMBOLS: tuple[Literal["circle", "diamond"], ...] = ("circle", "diamond")


@dataclass(frozen=True)
class Decision:
    """The distance below which a pair is judged the same, and where it comes from."""

    distance: float
    reason: str


@dataclass(frozen=True)
class JudgedPairs:
    """Pairs of some photographs of the run, judged by a distance.

    rows: of the catalogue, which `pairs` count from 0.
    """

    title: str
    rows: Ints
    pairs: PhotoPairs
    accuracy: PairAccuracy


def pair_lab(run: RunMaterial) -> Part | None:
    """Accuracy on training and validation pairs, panels of pairs and a map in three dimensions.

    None where neither sampler nor a loss is on pairs, and where a side lacks a kind of pairs.
    """
    loss = next((one for one in run.config.losses if one.name in LOSSES_ON_PAIRS), None)
    if loss is None and run.config.sampler.name != "pairs":
        return None
    seed = run.config.split.seed
    sides = {
        "training": some(run.split.gallery, seed=seed),
        "validation": some(run.split.queries, seed=seed),
    }
    found = {title: _pairs(run, rows) for title, rows in sides.items()}
    if any(not pairs.same.any() or pairs.same.all() for pairs in found.values()):
        return None
    decision = decide(loss, found["training"])
    judged = tuple(
        JudgedPairs(
            title, sides[title], pairs,
            accuracy_of(pairs, pairs.distances < decision.distance, seed=seed),
        )
        for title, pairs in found.items()
    )  # fmt: skip
    return Part(
        "pair-lab", "Pairs and their distance", _lines(judged, decision),
        (_accuracies(judged, decision), *_panels(run, judged, decision), map_of(run)),
    )  # fmt: skip


def decide(loss: LossConfig | None, training: PhotoPairs) -> Decision:
    """The distance that the loss itself draws between same and different pairs.

    Where it draws none, as a head with weights of its own does, the best one on training pairs.
    """
    name = "" if loss is None else loss.name
    if name == "contrastive":
        margin = _parameter(loss, "neg_margin")
        return Decision(margin / 2, f"half of the loss's margin of {margin:g}")
    if name == "margin" and not _parameter(loss, "learn_beta"):
        return Decision(_parameter(loss, "beta"), "the boundary beta of the loss")
    if name == "hinge":
        cosine = _parameter(loss, "threshold")
        return Decision(math.sqrt(2 - 2 * cosine), f"a cosine of {cosine:g}, the loss's threshold")
    if name == "pair_regression":
        return Decision(1.0, "a dot product of 0.5, in the middle of the loss's targets 0 and 1")
    return Decision(best_distance(training), "the best one on these training pairs")


def _parameter(loss: LossConfig | None, name: str) -> float:
    """A parameter of a configured loss, or its default."""
    from flukeprint.models.losses import LOSSES  # the network's packages

    assert loss is not None
    given = loss.params.get(name, inspect.signature(LOSSES[loss.name]).parameters[name].default)
    return float(given)


def _pairs(run: RunMaterial, rows: Ints) -> PhotoPairs:
    names = [run.catalog.identities[row] for row in rows]
    return labelled_pairs(run.embeddings.vectors[rows], names)


def _lines(judged: Sequence[JudgedPairs], decision: Decision) -> tuple[str, ...]:
    lines = [
        "Two photographs are judged to be of one class where the Euclidean distance of their unit "
        f"embeddings is below {decision.distance:.3g}: {decision.reason}. Same and different pairs "
        "weigh the same, so that guessing is right for 50 %.",
    ]
    for side in judged:
        found = side.accuracy
        lines.append(
            f"{side.title.capitalize()} pairs: {interval_percent(found.accuracy)} right; "
            f"{percent(found.same_right)} of {found.sames:,} same and "
            f"{percent(found.different_right)} of {found.differents:,} different pairs of "
            f"{found.photos:,} photographs."
        )
    one, other = (side.accuracy.accuracy for side in judged)
    if one.low > other.high:
        lines.append(
            "Its training pairs are easier for it: on photographs that it never saw the network is "
            f"right {100 * (one.mean - other.mean):.0f} points less often."
        )
    return tuple(lines)


def _accuracies(judged: Sequence[JudgedPairs], decision: Decision) -> Chart:
    shown = [side.accuracy.accuracy for side in judged]
    low, mean, high = (
        np.array([getattr(one, end) for one in shown]) for end in ("low", "mean", "high")
    )
    return Chart(
        "pair-accuracy", f"Accuracy at distance {decision.distance:.3g}",
        "Share of pairs that are judged right, the mean of that of same and of different pairs, "
        "with 95 % intervals over photographs: "
        + "; ".join(f"{side.title} {interval_percent(side.accuracy.accuracy)}" for side in judged)
        + ".",
        (
            Bars(
                "accuracy", tuple(f"{side.title} pairs" for side in judged), mean, low, high,
                tuple(f"{side.accuracy.photos:,} photographs" for side in judged),
            ),
        ),
        y="accuracy", y_limits=(0.0, 1.04),
    )  # fmt: skip


def _panels(run: RunMaterial, judged: Sequence[JudgedPairs], decision: Decision) -> list[PhotoRows]:
    """Some pairs of either side as drawn, and the worst that are judged wrong."""
    rng = np.random.default_rng(run.config.split.seed)
    rows = []
    for side in judged:
        kinds = [np.flatnonzero(side.pairs.same), np.flatnonzero(~side.pairs.same)]
        drawn = [rng.choice(kind, min(EACH // 2, len(kind)), replace=False) for kind in kinds]
        rows.append(_row(run, side, decision, f"Some {side.title} pairs", np.concatenate(drawn)))
    worst = judged[1]
    far, same = worst.pairs.distances, worst.pairs.same
    missed = np.flatnonzero(same & (far >= decision.distance))
    missed = missed[np.argsort(-far[missed], kind="stable")]
    false = np.flatnonzero(~same & (far < decision.distance))
    false = false[np.argsort(far[false], kind="stable")]
    for title, wrong in (
        ("Validation pairs of one class that lie furthest apart", missed),
        ("Validation pairs of two classes that lie nearest", false),
    ):
        if len(wrong):
            shown = unrepeated(worst.pairs, wrong)
            about = (
                f"{title}, {len(shown)} of {len(wrong):,} that are judged wrong, no photograph "
                "twice"
            )
            rows.append(_row(run, worst, decision, about, shown))
    caption = (
        f"Each picture is a pair with its distance; below {decision.distance:.3g} it is judged the "
        "same. Pairs that are judged wrong have a red frame."
    )
    return [PhotoRows("Pairs", caption, tuple(rows))]


def unrepeated(pairs: PhotoPairs, places: Ints) -> Ints:
    """The first of the places of pairs, at most EACH, whose photographs are in none before."""
    seen: set[int] = set()
    kept: list[int] = []
    for place in places.tolist():
        ends = {int(pairs.first[place]), int(pairs.second[place])}
        if len(kept) < EACH and not ends & seen:
            seen |= ends
            kept.append(place)
    return np.array(kept, dtype=np.int64)


def _row(
    run: RunMaterial, side: JudgedPairs, decision: Decision, title: str, places: Ints
) -> PhotoRow:
    shown = []
    for place in places.tolist():
        first = int(side.rows[side.pairs.first[place]])
        second = int(side.rows[side.pairs.second[place]])
        far, same = float(side.pairs.distances[place]), bool(side.pairs.same[place])
        one, other = (
            shortened(str(run.catalog.identities[row] or run.config.data.new_label), NAME)
            for row in (first, second)
        )
        judgement = "same" if far < decision.distance else "different"
        right = same == (far < decision.distance)
        shown.append(
            Shown(
                (f"distance {far:.2f}: {judgement}", one if same else f"{one}, {other}"),
                side_by_side(run.photographs.thumbnail(first), run.photographs.thumbnail(second)),
                "right" if right else "wrong",
            )
        )
    return PhotoRow(title, tuple(shown))


def side_by_side(one: bytes | None, other: bytes | None) -> bytes | None:
    """Two JPEGs as one, each 96 px high; None where one of them is missing."""
    if one is None or other is None:
        return None
    photos = []
    for file in (one, other):
        with Image.open(BytesIO(file)) as image:
            rgb = image.convert("RGB")
        width = max(1, round(rgb.width * SIDE / rgb.height))
        # The pixels of a tiny picture are to be seen as such.
        how = Image.Resampling.NEAREST if rgb.height < SIDE else Image.Resampling.LANCZOS
        photos.append(rgb.resize((width, SIDE), how))
    joined = Image.new("RGB", (photos[0].width + GAP + photos[1].width, SIDE), "white")
    joined.paste(photos[0], (0, 0))
    joined.paste(photos[1], (photos[0].width + GAP, 0))
    out = BytesIO()
    joined.save(out, "JPEG", quality=88)
    return out.getvalue()


def map_of(run: RunMaterial) -> Chart:
    """The embeddings in the three directions of most variance, photographs on hover."""
    seed = run.config.split.seed
    parts = (
        ("training", some(run.split.gallery, seed=seed, most=POINTS // 2)),
        ("validation", some(run.split.queries, seed=seed, most=POINTS // 2)),
    )
    rows = np.concatenate([part for _, part in parts])
    at, explained = three_directions(run.embeddings.vectors[rows].astype(np.float64))
    held_out = np.repeat([False, True], [len(part) for _, part in parts])
    names = [run.catalog.identities[row] for row in rows]
    known = sorted({name for name in names if name is not None})
    by_class = len(known) <= min(MOST_NAMED, len(SYMBOLS) * len(COLOURS))
    groups = known if by_class else ["training photographs", "validation photographs"]
    layers: list[Points] = []
    photos: list[bytes] = []
    for number, group in enumerate(groups):
        member = (
            np.array([name == group for name in names]) if by_class else held_out == bool(number)
        )
        places = np.flatnonzero(member)
        shown = []
        for place in places.tolist():
            file = run.photographs.thumbnail(int(rows[place]))
            shown.append(-1 if file is None else len(photos))
            photos += [] if file is None else [file]
        layers.append(
            Points(
                shortened(group, NAME), at[places],
                tuple(
                    f"{run.catalog.images[rows[place]]}: {names[place]}, "
                    f"{'validation' if held_out[place] else 'training'}"
                    for place in places
                ),
                tuple(shown),
                SYMBOLS[number // len(COLOURS)],
                hexadecimal(group) if by_class else None,
            )
        )  # fmt: skip
    return Chart(
        "pair-map", "The embeddings in three dimensions",
        f"{len(rows):,} photographs, {int(held_out.sum()):,} of them held out, in the three "
        f"directions of most variance, which hold {percent(float(explained.sum()))} of it "
        f"({', '.join(percent(float(one)) for one in explained)}). Turn it; point at a photograph "
        "to see it.",
        tuple(layers), x="first", y="second", z="third", photos=tuple(photos),
    )  # fmt: skip


def three_directions(vectors: Values) -> tuple[Values, Values]:
    """Principal components (n, 3) of vectors (n, dim), and the share of variance of each.

    Pearson 1901; the sign of a component makes its largest number positive.
    """
    centred = vectors - vectors.mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    at = np.zeros((len(vectors), 3))
    kept = min(3, len(lengths))
    at[:, :kept] = left[:, :kept] * lengths[:kept]
    at *= np.where(np.take_along_axis(at, np.abs(at).argmax(axis=0)[None], 0) < 0, -1, 1)
    shares = np.zeros(3)
    total = float((lengths**2).sum())
    if total > 0:
        shares[:kept] = lengths[:kept] ** 2 / total
    return at, shares
