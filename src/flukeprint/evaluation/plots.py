"""Draw rankings, training curves, keypoint matches and reliability diagrams, as slides."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels, decode, decode_row
from flukeprint.errors import counted
from flukeprint.evaluation.reliability import Reliability
from flukeprint.intervals import wilson
from flukeprint.pictures import HEIGHT, check_picture, shortened, slide
from flukeprint.ranking.local.keypoints import Keypoints
from flukeprint.ranking.local.lightglue import keypoint_backend
from flukeprint.ranking.local.sift import PairMatch, shown_inliers
from flukeprint.ranking.ranking import Ranking

RIGHT, WRONG, NEUTRAL, BLUE = "#1a9850", "#bbbbbb", "#444444", "#4575b4"
ROWS = 4  # most queries of a picture
NAME = 22  # most characters of a name below a photograph
PHOTO = (240, 480)  # px, least height and width that a photograph is decoded at


def draw_answers(
    queries: Catalog,
    ranking: Ranking,
    gallery: Catalog,
    target: Path,
    *,
    new_label: str,
    truth: Sequence[str | None] | None = None,
    rows: Sequence[int] | None = None,
    title: str = "Photographs and their likeliest animals",
) -> None:
    """Draw queries with their ranked answers and scores, right answers framed in green.

    Args:
        queries: the query photographs, in the order of `ranking`.
        gallery: the photographs that `ranking.rows` points to.
        truth: right answer of each query, None for a new individual; without, nothing is framed.
        rows: which queries to draw, at most ROWS; None: the first ones.
    """
    shown = list(range(len(ranking)) if rows is None else rows)[:ROWS]
    top = ranking.scores.shape[1]
    with slide(target, title, arranged=False) as figure:
        axes = figure.subplots(len(shown), top + 1, squeeze=False, gridspec_kw=_grid(len(shown)))
        for column, axis in enumerate(axes[0]):
            axis.set_title("photograph" if column == 0 else f"answer {column}")
        for line, query in zip(axes, shown, strict=True):
            right = None if truth is None else (truth[query] or new_label)
            name = shortened(queries.images[query], NAME)
            below = name if right is None else f"{name}\nis {shortened(right, NAME - 3)}"
            _photo(line[0], decode_row(queries, query, min_size=PHOTO))
            _label(line[0], below, NEUTRAL, 1.5)
            for place, axis in enumerate(line[1:]):
                if place >= len(ranking.identities[query]):
                    axis.axis("off")  # fewer animals than answers
                    continue
                answer, score = ranking.identities[query][place], ranking.scores[query, place]
                _photo(axis, _answer(gallery, int(ranking.rows[query, place])))
                if ranking.rows[query, place] < 0:
                    axis.text(
                        0.5, 0.5, "?", transform=axis.transAxes, ha="center", va="center",
                        fontsize=40, color=NEUTRAL,
                    )  # fmt: skip
                hit = truth is not None and answer == truth[query]
                mark = "" if truth is None else ("\u2713 " if hit else "\u2717 ")
                _label(
                    axis,
                    f"{mark}{shortened(answer or new_label, NAME - 2)}\nscore {score:.2f}",
                    RIGHT if hit else WRONG,
                    6 if hit else 1,
                )
        key = f"?  an animal that is not in the gallery ({new_label})"
        if truth is not None:
            key = f"\u2713 right answer   \u2717 wrong answer   {key}"
        figure.supxlabel(key, fontsize=13, color=NEUTRAL, parse_math=False)


def draw_curves(logs: Sequence[Path], target: Path, *, title: str = "Training") -> None:
    """Draw loss and validation MAP@5 by epoch from CSV logs; a resumed run has several."""
    points: dict[str, dict[int, float]] = {"train/loss": {}, "val/map5": {}}
    for log in logs:
        with log.open(newline="") as file:
            for line in csv.DictReader(file):
                for key, series in points.items():
                    if line.get(key):
                        series[int(line["epoch"]) + 1] = float(line[key])
    with slide(target, title) as figure:
        loss, score = figure.subplots(1, 2, sharex=True)
        every = [epoch for series in points.values() for epoch in series]
        if len(set(every)) == 1:
            loss.set_xlim(every[0] - 1, every[0] + 1)
        _curve(loss, points["train/loss"], BLUE, "training loss, mean of the epoch")
        _curve(score, points["val/map5"], RIGHT, "MAP@5 of validation, by cosine alone")
        score.set_ylim(-0.02, 1.02)


def _curve(axis: Axes, series: dict[int, float], colour: str, label: str) -> None:
    epochs = sorted(series)
    values = [series[epoch] for epoch in epochs]
    axis.set(xlabel="epoch", ylabel=label)
    axis.grid(visible=True, alpha=0.3)
    if not epochs:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", va="center")
        return
    axis.plot(epochs, values, color=colour, marker="o", markersize=8 if len(epochs) < 40 else 3)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_title(f"epoch {epochs[-1]}: {values[-1]:.3f}")


def draw_pair(first: Path, second: Path, config: LocalConfig, target: Path) -> PairMatch:
    """Draw two photographs side by side, with lines between the matched keypoints.

    Raises:
        FlukeprintError: a photograph that cannot be read, a matcher that is not installed, or a
            picture that cannot be written.
    """
    check_picture(target)
    backend = keypoint_backend(config)
    photos = (decode(first), decode(second))
    keypoints = (backend.extract(photos[0]), backend.extract(photos[1]))
    found = backend.match(*keypoints)
    draw_matches(photos, keypoints, found, (first.name, second.name), target)
    return found


def draw_matches(
    photos: tuple[Pixels, Pixels],
    keypoints: tuple[Keypoints, Keypoints],
    found: PairMatch,
    names: tuple[str, str],
    target: Path,
    *,
    title: str = "Keypoints that agree in two photographs",
) -> None:
    """Draw two photographs (h, w, 3) with lines between the inliers of their keypoints."""
    lines = shown_inliers(found)
    with slide(target, title) as figure:
        axes = figure.subplots(1, 2)
        for axis, photo, points, name in zip(axes, photos, keypoints, names, strict=True):
            height, width = points.size
            axis.imshow(photo, extent=(0, width, height, 0))
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel(shortened(name, 60), parse_math=False)
        for place, line in enumerate(lines):
            colour = _hue(place / max(len(lines), 1))
            one, two = found.pairs[line]
            ends = (keypoints[0].points[one], keypoints[1].points[two])
            for axis, end in zip(axes, ends, strict=True):
                axis.plot(*end, "o", color=colour, markersize=6, markerfacecolor="none")
            bond = ConnectionPatch(
                xyA=tuple(ends[0]), xyB=tuple(ends[1]), coordsA=axes[0].transData,
                coordsB=axes[1].transData, color=colour, linewidth=1.2, alpha=0.8,
            )  # fmt: skip
            bond.set_in_layout(False)
            figure.add_artist(bond)
        drawn = "" if len(lines) == found.count else f", the {len(lines)} most distinct drawn"
        figure.supxlabel(
            f"{counted(found.count, 'keypoint')} in one geometry{drawn}; match strength "
            f"{found.strength:.2f}",
            fontsize=15,
        )


def draw_reliability(
    reliability: Reliability, target: Path, *, title: str = "Are the probabilities right?"
) -> None:
    """Draw a reliability diagram: observed share of right answers over predicted probability.

    Points of perfect calibration lie on the diagonal.
    Whiskers are 95 % Wilson intervals of the share; the area of a point is its queries.
    """
    predicted, observed, queries = (
        np.asarray(part, dtype=np.float64)
        for part in (reliability.predicted, reliability.observed, reliability.queries)
    )
    with slide(target, title) as figure:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=WRONG, linestyle="--", label="perfect calibration")
        low, high = wilson(observed, queries)
        axis.vlines(predicted, low, high, color=WRONG, linewidth=2, label="95 % interval")
        axis.scatter(
            predicted, observed, s=60 + 600 * queries / queries.sum(), color=BLUE, zorder=3,
            label="queries of about one probability",
        )  # fmt: skip
        axis.set(
            xlabel="predicted probability that the first answer is right",
            ylabel="share of first answers that was right",
            xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal",
        )  # fmt: skip
        axis.grid(visible=True, alpha=0.3)
        axis.set_title(
            f"calibration error {reliability.ece:.3f} (faultless: {reliability.chance:.3f}), "
            f"{counted(int(queries.sum()), 'query', 'queries')}"
        )
        figure.legend(loc="outside right upper", markerscale=0.5)


def _grid(rows: int) -> dict[str, float]:
    """Where `rows` rows of photographs stand, with room for two lines of text below each."""
    text, top, bottom = 0.6, 0.89 * HEIGHT, 0.05 * HEIGHT  # inches
    photo = min((top - bottom) / rows - text, 3.5)
    free = (top - bottom - rows * (photo + text)) / 2  # above and below few rows
    return {
        "left": 0.01, "right": 0.99, "top": (top - free) / HEIGHT,
        "bottom": (bottom + free + text) / HEIGHT, "hspace": text / photo, "wspace": 0.08,
    }  # fmt: skip


def _answer(gallery: Catalog, row: int) -> Pixels:
    if row < 0:
        return np.full((240, 320, 3), 235, np.uint8)
    return decode_row(gallery, row, min_size=PHOTO)


def _hue(share: float) -> tuple[float, float, float]:
    """A bright colour; hues go round once from 0 to 1."""
    red, green, blue = hsv_to_rgb((share, 0.8, 1.0))
    return float(red), float(green), float(blue)


def _photo(axis: Axes, pixels: npt.NDArray[np.uint8]) -> None:
    axis.imshow(pixels)
    axis.set(xticks=[], yticks=[], anchor="N")


def _label(axis: Axes, text: str, colour: str, width: float) -> None:
    tone = NEUTRAL if colour == WRONG else colour
    axis.set_xlabel(text, fontsize=13, color=tone, parse_math=False)
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=width)
