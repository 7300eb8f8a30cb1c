"""Triplets: where negatives lie around an anchor, and what easy ones teach.

`python -m benchmarks.learn.triplets` trains the small network on digits with easy, semi-hard and
batch-hard triplets, three seeds each, and draws the zones around one anchor.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from benchmarks.harness.arguments import options
from benchmarks.learn.lesson import (
    SEEDS,
    Digits,
    Step,
    dense,
    fit,
    grouped,
    judge,
    losses_of,
    one_photograph,
    read_digits,
    vectors_of,
)
from benchmarks.learn.output import OTHER, SAME, THIRD, Words, draw, keep_figures
from flukeprint.data.embeddings import Floats, Ints, unit_rows
from flukeprint.models.miners import batch_all, pair_masks

MARGIN, DIM, EPOCHS, ANCHOR = 0.3, 32, 20, 9
WAYS = {"easy": "batch_easy", "semi_hard": "semi_hard", "batch_hard": "batch_hard"}
WORDS: dict[str, Words] = {
    "en": {
        "before": "untrained", "after": "after one epoch", "anchor": "anchor",
        "positive": "positive", "margin": "positive + margin",
        "hard": "hard", "semi": "semi-hard", "easy": "easy", "epoch": "epoch",
        "free": "triplets that cost nothing", "right": "right from one photograph",
        "batch_easy": "easy", "semi_hard": "semi-hard", "batch_hard": "hardest",
        "untrained": "untrained",
    },
    "es": {
        "before": "sin entrenar", "after": "tras una época", "anchor": "ancla",
        "positive": "positivo", "margin": "positivo + margen",
        "hard": "difícil", "semi": "semidifícil", "easy": "fácil", "epoch": "época",
        "free": "tripletas que no cuestan nada", "right": "aciertos con una sola foto",
        "batch_easy": "fáciles", "semi_hard": "semidifíciles", "batch_hard": "más difíciles",
        "untrained": "sin entrenar",
    },
}  # fmt: skip


def zones(far: Floats, near: float) -> dict[str, Ints]:
    """Rows of the negatives in each zone, by their distance `far` (n,) from the anchor.

    near: distance of the positive.  Hard: nearer than it; semi-hard: further, by MARGIN at most;
    easy: the rest, whose triplet costs nothing.
    """
    return {
        "hard": np.flatnonzero(far <= near),
        "semi": np.flatnonzero((far > near) & (far <= near + MARGIN)),
        "easy": np.flatnonzero(far > near + MARGIN),
    }


def free_share(embeddings: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of all triplets of a batch that cost nothing at MARGIN (euclidean, unit vectors)."""
    unit = torch.nn.functional.normalize(embeddings)
    far = torch.cdist(unit, unit)
    anchors, positives, negatives = batch_all(far, *pair_masks(labels, None))
    cost = far[anchors, positives] - far[anchors, negatives] + MARGIN
    return float((cost <= 0).float().mean())


def trained(digits: Digits, mining: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train with one way of mining: what it is worth, and the free triplets by epoch."""
    net = dense(64, DIM, seed=seed)
    term = {"name": "triplet", "params": {"mining": mining, "margin": MARGIN}}
    free: dict[int, list[float]] = {}
    idle: dict[int, list[float]] = {}

    def watch(step: Step) -> None:
        free.setdefault(step.epoch, []).append(free_share(step.embeddings, step.labels))
        idle.setdefault(step.epoch, []).append(float(step.cost == 0))

    loss = losses_of([term], digits.train_labels, DIM)
    order = grouped(digits.train_labels, epochs, seed=seed)
    fit(net, loss, digits.train, digits.train_labels, order, watch=watch)
    right, spread = judge(net, digits)
    return {
        "right": right,
        "effective_rank": spread.effective_rank,
        "free_by_epoch": [float(np.mean(each)) for each in free.values()],
        "batches_of_no_cost": [float(np.mean(each)) for each in idle.values()],
    }


def around(digits: Digits, epochs: int) -> dict[str, Any]:
    """Distances of the held-out digits from one anchor, the first 9, after some epochs."""
    net = dense(64, DIM)
    term = {"name": "triplet", "params": {"mining": "semi_hard", "margin": MARGIN}}
    loss = losses_of([term], digits.train_labels, DIM)
    fit(net, loss, digits.train, digits.train_labels, grouped(digits.train_labels, epochs))
    vectors, labels = vectors_of(net, digits.held), digits.held_labels
    anchor = int(np.flatnonzero(labels == ANCHOR)[0])
    far = np.linalg.norm(vectors - vectors[anchor], axis=1)
    own = np.flatnonzero((labels == ANCHOR) & (np.arange(len(labels)) != anchor))
    positive = own[np.argsort(far[own])[len(own) // 2]]  # of middling distance
    others = np.flatnonzero(labels != ANCHOR)
    return {
        "near": float(far[positive]), "far": far[others], "labels": labels[others],
        "zones": {name: len(rows) for name, rows in zones(far[others], far[positive]).items()},
        "likest": _commonest(labels[others][zones(far[others], far[positive])["hard"]]),
    }  # fmt: skip


def _commonest(labels: Ints) -> dict[str, int]:
    """The digit that most of these are, and how many of them are."""
    counts = np.bincount(labels, minlength=10)
    return {"digit": int(counts.argmax()), "of_hard": int(counts.max())}


def draw_zones(parts: list[dict[str, Any]], words: Words) -> Figure:
    """Every negative at its true distance from the anchor, each digit in a sector of its own."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 5.2), subplot_kw={"projection": "polar"})
    figure.subplots_adjust(left=0.04, right=0.96, top=0.9, bottom=0.15, wspace=0.16)
    colours = {"hard": OTHER, "semi": "#e3b23c", "easy": "#9aa5ad"}
    for axis, part, title in zip(axes, parts, (words["before"], words["after"]), strict=True):
        near, far, labels = part["near"], part["far"], part["labels"]
        digits = np.unique(labels)
        sector = 2 * np.pi / len(digits)
        place = np.random.default_rng(0).uniform(0.12, 0.88, len(far))
        angles = (np.searchsorted(digits, labels) + place) * sector
        for name, rows in zones(far, near).items():
            axis.scatter(
                angles[rows], far[rows], s=9, color=colours[name],
                label=f"{words[name]}: {len(rows)}",
            )  # fmt: skip
        round_about = np.linspace(0, 2 * np.pi, 200)
        for radius, style in ((near, "-"), (near + MARGIN, "--")):
            axis.plot(round_about, np.full(200, radius), style, color="black", linewidth=1)
        axis.plot([], [], "--", color="black", linewidth=1, label=words["margin"])
        axis.plot([0], [0], "*", color=SAME, markersize=13, label=words["anchor"])
        axis.plot([0.05], [near], "o", color=SAME, markersize=8, label=words["positive"])
        axis.set_xticks((np.arange(len(digits)) + 0.5) * sector, [str(d) for d in digits])
        axis.set_yticks(
            [0.5, 1.0, 1.5], ["0.5", "1", "1.5"], fontsize=8,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
        axis.set_rlabel_position(120)  # between two sectors, where no dots are
        axis.set_ylim(0, max(1.75, float(far.max()) * 1.02))
        axis.grid(alpha=0.25)
        axis.set_title(title)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, fontsize=8.5)
    return figure


def draw_free(ways: dict[str, Any], untrained: list[float], words: Words) -> Figure:
    """Left the share of free triplets by epoch, right what each way is worth."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    colours = {"easy": "#9aa5ad", "semi_hard": THIRD, "batch_hard": OTHER}
    right.bar(words["untrained"], np.mean(untrained), color="#e8e8e8", edgecolor="#888888")
    right.plot([words["untrained"]] * len(untrained), untrained, "k.", markersize=5)
    for name, mining in WAYS.items():
        curve = np.mean([run["free_by_epoch"] for run in ways[name]], axis=0)
        left.plot(np.arange(len(curve)) + 1, curve, color=colours[name], label=words[mining])
        values = [run["right"] for run in ways[name]]
        right.bar(words[mining], np.mean(values), color=colours[name])
        right.plot([words[mining]] * len(values), values, "k.", markersize=5)
    right.axhline(float(np.mean(untrained)), color="black", linestyle=":", linewidth=1)
    left.set_xlabel(words["epoch"])
    left.set_title(words["free"])
    right.set_title(words["right"])
    for axis in (left, right):
        axis.set_ylim(0, 1.02)
    left.set_xticks([1, 5, 10, 15, 20])
    left.legend(loc="lower right")
    return figure


def main() -> None:
    options("learn.triplets", __doc__).parse_args()
    torch.set_num_threads(1)
    digits = read_digits()
    parts = [around(digits, epochs) for epochs in (0, 1)]
    draw("triplet_zones", WORDS, lambda words: draw_zones(parts, words))
    ways = {
        name: [trained(digits, mining, seed, EPOCHS) for seed in SEEDS]
        for name, mining in WAYS.items()
    }
    untrained = [judge(dense(64, DIM, seed=seed), digits)[0] for seed in SEEDS]
    draw("easy_triplets", WORDS, lambda words: draw_free(ways, untrained, words))
    keep_figures(
        "triplets",
        {
            "margin": MARGIN, "epochs": EPOCHS, "seeds": len(SEEDS),
            "zones": {"before": parts[0]["zones"], "after": parts[1]["zones"]},
            "likest": parts[1]["likest"],
            "positive_at": {"before": parts[0]["near"], "after": parts[1]["near"]},
            "pixels": {"right": of_pixels(digits)},
            "untrained": {"right": float(np.mean(untrained))},
            **{name: summary(runs) for name, runs in ways.items()},
        },
    )  # fmt: skip


def of_pixels(digits: Digits) -> float:
    """The same measure of the pixels themselves, without a network."""
    gallery, queries = unit_rows(digits.train), unit_rows(digits.held)
    return one_photograph(gallery, digits.train_labels, queries, digits.held_labels)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and range over the seeds, and the free triplets of the first and the last epoch."""
    right = [run["right"] for run in runs]
    free = np.mean([run["free_by_epoch"] for run in runs], axis=0)
    idle = np.mean([run["batches_of_no_cost"] for run in runs], axis=0)
    return {
        "right": float(np.mean(right)), "lowest": min(right), "highest": max(right),
        "effective_rank": float(np.mean([run["effective_rank"] for run in runs])),
        "free_first": float(free[0]), "free_last": float(free[-1]),
        "no_cost_first": float(idle[0]), "no_cost_last": float(idle[-1]),
    }  # fmt: skip


if __name__ == "__main__":
    main()
