"""What `benchmarks.accuracy.losses` compares, its rows, and the page and plot made of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from benchmarks.harness import rows as row_files
from benchmarks.harness.places import BENCHMARKS, PLOTS, RESULTS
from benchmarks.harness.rows import ap_of
from flukeprint.errors import listed
from flukeprint.evaluation.comparison import paired_bootstrap
from flukeprint.evaluation.metrics import Interval, bootstrap_interval
from flukeprint.files import written_whole

RESULT, PAGE, PLOT = RESULTS / "losses.csv", BENCHMARKS / "losses.md", PLOTS / "losses.png"
SEEDS = (0, 1, 2)
FOLDS = 5
OF_COLLAPSE = RESULTS / "learn" / "collapse.json"
COLLAPSES = {
    "hardest": "triplet, batch-hard from the start, squared distance",
    "soft": "the same, soft margin",
    "euclidean": "triplet, batch-hard from the start, distance not squared",
    "semi_hard": "triplet, semi-hard",
    "semi_then_hard": "triplet, semi-hard, then batch-hard",
    "center": "center loss alone",
    "center_slow": "center loss alone, centres as slow as the network",
    "center_softmax": "center + softmax",
}
STEPS, BATCH = 180, 32
CERTAIN = 0.995  # share of resamples, either way: a 99 % interval that leaves out 0
COLLAPSED_COSINE, COLLAPSED_RANK = 0.95, 3
UNTRAINED = "no training"
DATA = {
    "nyala": "Nyala, real: animals with at least 8 photographs, 128 x 176 px",
    "whales": "Whales, drawn: animals with at least 2 photographs, 48 x 96 px",
}


@dataclass(frozen=True)
class Compared:
    """A loss: the terms of `losses` and the sampler that suits it."""

    terms: str
    sampler: str = "shuffled"


def _pairs(name: str, **params: str) -> Compared:
    inner = ", ".join(f"{key}: {value}" for key, value in params.items())
    return Compared(f"[{{name: {name}, params: {{{inner}}}}}]", "pk")


LOSSES = {
    "softmax": Compared("[{name: softmax}]"),
    "contrastive": _pairs("contrastive"),
    "triplet, easy": _pairs("triplet", mining="batch_easy"),
    "triplet, semi-hard": _pairs("triplet", mining="semi_hard"),
    "triplet, batch-hard": _pairs("triplet", mining="batch_hard"),
    "triplet, batch-all": _pairs("triplet", mining="batch_all"),
    "margin": _pairs("margin"),
    "center + softmax": Compared("[{name: softmax}, {name: center, weight: 0.003}]"),
    "center alone": Compared("[{name: center}]"),
    "SphereFace": Compared("[{name: sphereface}]"),
    "CosFace": Compared("[{name: cosface}]"),
    "ArcFace": Compared("[{name: arcface}]"),
    "sub-center ArcFace": Compared("[{name: subcenter_arcface}]"),
    "dynamic-margin ArcFace": Compared("[{name: dynamic_arcface}]"),
    "multi-similarity": _pairs("multi_similarity"),
    "circle": _pairs("circle"),
    "proxy-anchor": Compared("[{name: proxy_anchor}]"),
    "SupCon": _pairs("supcon"),
}


@dataclass(frozen=True)
class Row:
    """One training.

    of_queries: digest of the queries and their right answers.
    ranks: for each query the place of the right animal among its five answers, 0 where it is none.
    """

    data: str
    loss: str
    seed: int
    photos: int
    queries: int
    of_queries: str
    steps: int
    cpu_seconds: float
    effective_rank: float
    mean_cosine: float
    ranks: str


def read_rows() -> list[Row]:
    """All rows that are measured."""
    return row_files.read_rows(RESULT, Row)


def save_rows(found: Sequence[Row]) -> None:
    """Write all rows, each a training."""
    row_files.save_rows(RESULT, Row, found)


@dataclass(frozen=True)
class Outcome:
    """All seeds of a loss on one data set, by seed."""

    loss: str
    rows: tuple[Row, ...]

    @cached_property
    def ap(self) -> tuple[npt.NDArray[np.float64], ...]:
        """AP@5 of the queries of each seed."""
        return tuple(ap_of(row.ranks) for row in self.rows)

    @cached_property
    def map5(self) -> Interval:
        """MAP@5 of all queries, each of which one seed answered."""
        return bootstrap_interval(np.concatenate(self.ap), seed=0)

    @cached_property
    def top1(self) -> Interval:
        """Share of the queries whose first answer is right."""
        return bootstrap_interval((np.concatenate(self.ap) == 1).astype(float), seed=0)

    @property
    def of_seeds(self) -> list[float]:
        """MAP@5 of each seed."""
        return [float(ap.mean()) for ap in self.ap]

    @property
    def seconds_an_epoch(self) -> float:
        """Seconds of one core for as many batches as an epoch has, the median of the seeds."""
        return float(
            np.median(
                [row.cpu_seconds / max(row.steps, 1) * row.photos / BATCH for row in self.rows]
            )
        )

    def mean(self, field: str) -> float:
        """Mean of a figure over the seeds."""
        return float(np.mean([getattr(row, field) for row in self.rows]))

    @property
    def collapsed(self) -> int:
        """Number of seeds whose embeddings lie nearly all together."""
        return sum(
            row.mean_cosine > COLLAPSED_COSINE or row.effective_rank < COLLAPSED_RANK
            for row in self.rows
        )


def outcomes(rows: Sequence[Row], data: str) -> list[Outcome]:
    """Every loss on one data set, the best first.

    Raises:
        ValueError: losses that were asked other queries, which do not compare.
    """
    found = []
    for loss in (UNTRAINED, *LOSSES):
        of_loss = [row for row in rows if row.data == data and row.loss == loss]
        if of_loss:
            found.append(Outcome(loss, tuple(sorted(of_loss, key=lambda row: row.seed))))
    asked = {tuple((row.seed, row.of_queries) for row in one.rows) for one in found}
    if len(asked) > 1:
        raise ValueError(f"{data}: the losses were not all asked the same queries: {asked}")
    return sorted(found, key=lambda one: -one.map5.mean)


@cache
def told_apart(better: Outcome, worse: Outcome) -> bool:
    """Whether the better one is better beyond chance: over queries, and with every seed."""
    if any(a <= b for a, b in zip(better.of_seeds, worse.of_seeds, strict=True)):
        return False
    both = (np.concatenate(one.ap) for one in (worse, better))
    return paired_bootstrap(*both).better >= CERTAIN


def table(found: Sequence[Outcome]) -> list[str]:
    """One line a loss, in Markdown; the last column are places in this table."""
    lines = [
        "| | loss | MAP@5 | of each seed | top-1 | seconds an epoch | effective rank | "
        "mean cosine | cannot be told from |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for place, one in enumerate(found):
        like = [
            other + 1
            for other in range(len(found))
            if other != place and not told_apart(found[min(place, other)], found[max(place, other)])
        ]
        seeds = ", ".join(f"{value:.3f}" for value in one.of_seeds)
        untrained = one.loss == UNTRAINED
        seconds = "-" if untrained else f"{one.seconds_an_epoch:.1f}"
        name = f"*{one.loss}*" if untrained else one.loss
        lines.append(
            f"| {place + 1} | {name} | {one.map5.text()} | {seeds} | {one.top1.text()} | {seconds} "
            f"| {one.mean('effective_rank'):.1f} | {one.mean('mean_cosine'):.3f} | "
            f"{_ranges(like) or '-'} |"
        )
    return lines


def of_pairs(loss: str) -> bool:
    """Whether a loss compares photographs with each other, not with classes."""
    return loss in LOSSES and LOSSES[loss].sampler == "pk"


def _ranges(places: Sequence[int]) -> str:
    """`1-3, 5` for 1, 2, 3, 5."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def verdict(data: str, found: Sequence[Outcome]) -> list[str]:
    """What the figures of one data set say, in sentences."""
    best, *others = found
    level = [one.loss for one in others if not told_apart(best, one)]
    places = range(len(found))
    apart = sum(told_apart(found[a], found[b]) for a in places for b in places if a < b)
    pairs = len(found) * (len(found) - 1) // 2
    untrained = next(place for place, one in enumerate(found) if one.loss == UNTRAINED)
    worse = [one.loss for one in found[untrained + 1 :] if told_apart(found[untrained], one)]
    better = [one for one in found[:untrained] if told_apart(one, found[untrained])]
    said = [
        f"- {best.loss} has the highest MAP@5, {best.map5.mean:.3f}. "
        + (
            f"{len(level)} of the other {len(others)} cannot be told from it: {listed(level)}."
            if level
            else "All others are worse than it beyond chance."
        ),
        f"- Of all {pairs} pairs of rows {apart} can be told apart; at most about "
        f"{pairs * 2 * (1 - CERTAIN):.0f} would be by chance alone if no loss differed from "
        "another.",
        f"- Better than the untrained features beyond chance: {len(better)} of {len(found) - 1}"
        + (f"; worse: {listed(worse)}." if worse else "; none is worse."),
    ]
    places_of_pairs = [place for place, one in enumerate(found) if of_pairs(one.loss)]
    if places_of_pairs:
        first = found[places_of_pairs[0]]
        said.append(
            f"- The best of the losses on pairs and triplets is {first.loss}, place "
            f"{places_of_pairs[0] + 1}, MAP@5 {first.map5.mean:.3f}."
        )
    collapsed = [
        f"{one.loss} ({one.collapsed} of {len(one.rows)} seeds; effective rank "
        f"{one.mean('effective_rank'):.1f}, mean cosine {one.mean('mean_cosine'):.3f})"
        for one in found
        if one.collapsed and one.loss != UNTRAINED
    ]
    nearest = max(
        (one for one in found if one.loss != UNTRAINED), key=lambda one: one.mean("mean_cosine")
    )
    said.append(
        f"- Collapsed: {listed(collapsed)}."
        if collapsed
        else f"- None collapsed on {data}; the nearest to it is {nearest.loss}, mean cosine "
        f"{nearest.mean('mean_cosine'):.3f}, effective rank "
        f"{nearest.mean('effective_rank'):.1f}."
    )
    return said


def collapses() -> list[str]:
    """Trainings that collapse, with their measures, from a benchmark made for that."""
    told = json.loads(OF_COLLAPSE.read_text())
    lines = [
        "", "## Collapses", "",
        f"In {STEPS} steps from ImageNet's weights a loss has little time to collapse. Small "
        "networks from a random start do, on digits, in 300 steps "
        "([the walk](../docs/learn.md), `python -m benchmarks.learn.collapse`), means of "
        f"{told['seeds']} networks, {told['dimensions']} dimensions:", "",
        "| training | effective rank at its least | mean cosine at its greatest | rank at the end "
        "| first answer right |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for key, name in COLLAPSES.items():
        one = told[key]
        lines.append(
            f"| {name} | {one['least_rank']:.1f} | {one['greatest_cosine']:.4f} | "
            f"{one['rank']:.1f} | {one['right']:.3f} |"
        )
    lines += [
        "",
        "Center loss alone stands high in the tables above, most likely for a reason that is not "
        "its own: its centres begin at random places, which the photographs of each animal are "
        "drawn to before the centres have moved together. Do not rely on it.",
    ]
    return lines


def render(rows: Sequence[Row]) -> str:
    """The page."""
    lines = [
        "# Which loss?",
        "",
        f"Written by `python -m benchmarks.accuracy.losses`: {len(LOSSES)} losses, each trained "
        f"for {STEPS} steps of {BATCH} small photographs from EfficientNet-Lite0's ImageNet "
        "weights, its first stages frozen, to 128 dimensions. Rate, schedule, augmentation and "
        "network are the same for all, and every loss has the constants that it has by default "
        "here, most of them its paper's: **no loss was tuned**, and another rate may order them "
        "otherwise. Losses on pairs and triplets draw four photographs of each of eight animals "
        "(`pk`), the others shuffled photographs. "
        "A loss that learns slowly is cut off: that is part of what equal compute means.",
        "",
        f"There are {len(SEEDS)} seeds, each on another of {FOLDS} folds, so every query is asked "
        "once of each loss. Answers are the nearest photographs by cosine: no keypoints, no "
        "mirrored photographs, closed set. Brackets hold 95 % bootstrap intervals over queries, "
        "which do not hold the chance of another seed; the seeds stand beside them. Two losses "
        "count as told apart where one has the higher MAP@5 with every seed, and in 99.5 % of the "
        "paired bootstrap's resamples. Effective rank (of 128, untrained of 1,280) and mean cosine "
        "are those of the queries' embeddings, means over the seeds; a collapse is a mean cosine "
        f"above {COLLAPSED_COSINE} or an effective rank below {COLLAPSED_RANK}. Seconds are those "
        "of one core of a busy machine, for an epoch's number of photographs.",
        "",
        "![MAP@5 of every loss on both data sets, with intervals and seeds](plots/losses.png)",
    ]
    for data, title in DATA.items():
        found = outcomes(rows, data)
        if not found:
            continue
        of = found[0].rows
        asked = sum(row.queries for row in of)
        lines += [
            "", f"## {title}", "",
            f"{of[0].photos} training photographs a fold, so {STEPS * BATCH / of[0].photos:.1f} "
            f"epochs; {asked} queries in all.",
            "", *table(found), "", *verdict(data, found),
        ]  # fmt: skip
        whole = {len(one.rows) for one in found} == {len(SEEDS)}
        if not whole or len(found) < len(LOSSES) + 1:
            lines += ["", "Not complete: some rows are not measured yet."]
    lines += collapses()
    minutes = sum(row.cpu_seconds for row in rows) / 60
    lines += ["", f"All trainings together took {minutes:.0f} minutes of one core.", ""]
    return "\n".join(lines)


def draw(rows: Sequence[Row]) -> None:
    """Draw MAP@5 of each loss with its interval and its seeds, a panel a data set."""
    panels = [data for data in DATA if outcomes(rows, data)]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(6.4 * len(panels), 6.2), squeeze=False, layout="constrained"
    )
    for axis, data in zip(axes[0], panels, strict=True):
        found = outcomes(rows, data)[::-1]
        for height, one in enumerate(found):
            kind = "#0072b2" if of_pairs(one.loss) else "#d55e00"
            colour = "0.45" if one.loss == UNTRAINED else kind
            axis.plot([one.map5.low, one.map5.high], [height, height], color=colour, linewidth=2)
            axis.plot(one.map5.mean, height, "o", color=colour, markersize=7)
            axis.plot(one.of_seeds, [height] * len(one.rows), "|", color="0.3", markersize=9)
        untrained = next((one for one in found if one.loss == UNTRAINED), None)
        if untrained is not None:
            axis.axvline(untrained.map5.mean, color="0.6", linestyle=":", linewidth=1)
        axis.set_yticks(range(len(found)), [one.loss for one in found])
        axis.set_title(DATA[data].partition(":")[0])
        axis.set_xlabel("MAP@5, 95 % interval over queries; | a seed")
        axis.grid(True, axis="x", alpha=0.3)
        axis.set_xlim(left=0)
    handles = [
        plt.Line2D([], [], marker="o", color=colour, label=label)
        for colour, label in (
            ("#0072b2", "pairs and triplets"), ("#d55e00", "classes and proxies"),
            ("0.45", "ImageNet's features"),
        )
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    with written_whole(PLOT) as partial:
        figure.savefig(partial, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)


def write_page(rows: Sequence[Row]) -> None:
    """Write the page and its plot."""
    draw(rows)
    with written_whole(PAGE) as partial:
        partial.write_text(render(rows))
