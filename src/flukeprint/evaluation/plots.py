"""Draw rankings, training curves, keypoint matches and reliability diagrams as PNG files."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import decode, decode_row
from flukeprint.evaluation.reliability import Reliability
from flukeprint.files import written_whole
from flukeprint.intervals import wilson
from flukeprint.ranking.local.lightglue import keypoint_backend
from flukeprint.ranking.local.sift import PairMatch, draw_matches
from flukeprint.ranking.ranking import Ranking

RIGHT, WRONG, NEUTRAL = "#1a9850", "#bbbbbb", "#444444"


def draw_answers(
    queries: Catalog,
    ranking: Ranking,
    gallery: Catalog,
    target: Path,
    *,
    new_label: str,
    truth: Sequence[str | None] | None = None,
    rows: Sequence[int] | None = None,
) -> None:
    """Draw queries with their ranked answers, right answers framed in green.

    Args:
        queries: the query photographs, in the order of `ranking`.
        gallery: the photographs that `ranking.rows` points to.
        truth: right answer of each query, None for a new individual; without, nothing is framed.
        rows: which queries to draw; None: the first six.
    """
    shown = list(range(min(6, len(ranking)))) if rows is None else list(rows)
    top = ranking.scores.shape[1]
    figure = Figure(figsize=(2.3 * (top + 1), 1.75 * len(shown) + 0.3), dpi=100)
    axes = figure.subplots(len(shown), top + 1, squeeze=False)
    for line, query in zip(axes, shown, strict=True):
        right = "" if truth is None else (truth[query] or new_label)
        _photo(line[0], decode_row(queries, query, min_size=(160, 320)))
        _label(line[0], f"{queries.images[query]}\n{right}".strip(), NEUTRAL, 1.5)
        for place, axis in enumerate(line[1:]):
            if place >= len(ranking.identities[query]):
                axis.axis("off")
                continue
            answer, score = ranking.identities[query][place], ranking.scores[query, place]
            row = int(ranking.rows[query, place])
            if row >= 0:
                _photo(axis, decode_row(gallery, row, min_size=(160, 320)))
            else:
                _photo(axis, np.full((160, 320, 3), 235, np.uint8))
                axis.text(160, 80, "?", ha="center", va="center", fontsize=26, color=NEUTRAL)
            hit = truth is not None and answer == truth[query]
            _label(
                axis,
                f"{answer or new_label}\n{score:.2f}",
                RIGHT if hit else WRONG,
                5 if hit else 1,
            )
    figure.tight_layout(pad=0.6)
    _save(figure, target)


def draw_curves(logs: Sequence[Path], target: Path) -> None:
    """Draw loss and validation MAP@5 by epoch from CSV logs; a resumed run has several."""
    points: dict[str, dict[int, float]] = {"train/loss": {}, "val/map5": {}}
    for log in logs:
        with log.open(newline="") as file:
            for line in csv.DictReader(file):
                for key, series in points.items():
                    if line.get(key):
                        series[int(line["epoch"]) + 1] = float(line[key])
    figure = Figure(figsize=(7, 3.2), dpi=100)
    loss = figure.subplots()
    loss.plot(*_line(points["train/loss"]), color="#4575b4", marker=".")
    loss.set(xlabel="epoch", ylabel="training loss")
    loss.yaxis.label.set_color("#4575b4")
    score = loss.twinx()
    score.plot(*_line(points["val/map5"]), color=RIGHT, marker="o")
    score.set(ylabel="validation MAP@5", ylim=(0, 1))
    score.yaxis.label.set_color(RIGHT)
    figure.tight_layout()
    _save(figure, target)


def draw_pair(first: Path, second: Path, config: LocalConfig, target: Path) -> PairMatch:
    """Draw two photographs side by side, with lines between the matched keypoints.

    Raises:
        FlukeprintError: a photograph that cannot be read, a matcher that is not installed, or a
            picture that cannot be written.
    """
    backend = keypoint_backend(config)
    photos = [decode(path) for path in (first, second)]
    one, two = (backend.extract(photo) for photo in photos)
    found = backend.match(one, two)
    picture = draw_matches(photos[0], photos[1], one, two, found)
    with written_whole(target) as partial:
        Image.fromarray(picture).save(partial, format="PNG")
    return found


def draw_reliability(reliability: Reliability, target: Path) -> None:
    """Draw a reliability diagram: observed share of right answers over predicted probability.

    Points of perfect calibration lie on the diagonal.
    Whiskers are 95 % Wilson intervals of the share; the area of a point is its queries.
    """
    predicted, observed, queries = (
        np.asarray(part, dtype=np.float64)
        for part in (reliability.predicted, reliability.observed, reliability.queries)
    )
    figure = Figure(figsize=(4.2, 4.2), dpi=100)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=WRONG, linestyle="--", linewidth=1)
    axis.vlines(predicted, *wilson(observed, queries), color=WRONG, linewidth=1)
    axis.scatter(
        predicted, observed, s=20 + 200 * queries / queries.sum(), color="#4575b4", zorder=3
    )
    axis.set(
        xlabel="probability of the first answer", ylabel="share that was right",
        xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal",
    )  # fmt: skip
    axis.set_title(
        f"calibration error {reliability.ece:.3f} (faultless: {reliability.chance:.3f}), "
        f"{int(queries.sum())} queries",
        fontsize=8, color=NEUTRAL,
    )  # fmt: skip
    figure.tight_layout()
    _save(figure, target)


def _line(series: dict[int, float]) -> tuple[list[int], list[float]]:
    return sorted(series), [series[epoch] for epoch in sorted(series)]


def _photo(axis: Axes, pixels: npt.NDArray[np.uint8]) -> None:
    axis.imshow(pixels)
    axis.set(xticks=[], yticks=[])


def _label(axis: Axes, text: str, colour: str, width: float) -> None:
    axis.set_xlabel(text, fontsize=7, color=NEUTRAL if colour == WRONG else colour)
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=width)


def _save(figure: Figure, target: Path) -> None:
    with written_whole(target) as path:
        figure.savefig(path, format="png")
