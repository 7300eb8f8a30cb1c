"""Collapse: losses that are content when all photographs lie together, and what prevents it.

`python -m benchmarks.learn.collapse` trains the small network on digits with the hardest triplets
from the first step, and with center loss, beside what keeps their embeddings apart; three seeds
each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.harness.arguments import options
from benchmarks.learn.lesson import (
    SEEDS,
    Batches,
    Digits,
    Step,
    dense,
    fit,
    grouped,
    judge,
    losses_of,
    raw_of,
    read_digits,
    vectors_of,
)
from benchmarks.learn.output import OTHER, SAME, THIRD, Words, draw, keep_figures
from flukeprint.evaluation.collapse import measure_spread

DIM, MARGIN = 32, 0.3
LARGE = Batches(size=200, each=20)
Terms = list[dict[str, Any]]


def triplet(mining: str, distance: str, *, soft: bool = False) -> Terms:
    margin = 0.0 if soft else MARGIN
    params = {"mining": mining, "distance": distance, "margin": margin, "soft": soft}
    return [{"name": "triplet", "params": params}]


@dataclass(frozen=True)
class Recipe:
    """A training: losses with their epochs, one after the other, and rates."""

    parts: tuple[tuple[Terms, int], ...]
    lr: float
    head_lr_factor: float = 1.0


HARD = triplet("batch_hard", "squared")
CENTER: Terms = [{"name": "center", "weight": 0.1}]
TRIPLETS = {
    "hardest": Recipe(((HARD, 60),), 3e-3),
    "soft": Recipe(((triplet("batch_hard", "squared", soft=True), 60),), 3e-3),
    "euclidean": Recipe(((triplet("batch_hard", "euclidean"), 60),), 3e-3),
    "slow": Recipe(((HARD, 60),), 1e-3),
    "semi_hard": Recipe(((triplet("semi_hard", "squared"), 60),), 3e-3),
    "semi_then_hard": Recipe(((triplet("semi_hard", "squared"), 10), (HARD, 50)), 3e-3),
}
CENTERS = {
    "center": Recipe(((CENTER, 20),), 1e-2, 10.0),
    "center_slow": Recipe(((CENTER, 20),), 1e-2, 1.0),
    "softmax": Recipe((([{"name": "softmax"}], 20),), 1e-2, 10.0),
    "center_softmax": Recipe((([*CENTER, {"name": "softmax"}], 20),), 1e-2, 10.0),
}
WORDS: dict[str, Words] = {
    "en": {
        "step": "step", "rank": "effective rank", "cosine": "mean cosine of two photographs",
        "hardest": "hardest, distance²", "soft": "the same, soft margin",
        "euclidean": "the same, distance, no ²", "slow": "the same, a third of the rate",
        "semi_hard": "semi-hard", "semi_then_hard": "semi-hard, then hardest",
        "center": "center, quick centres", "center_slow": "center, slow centres",
        "softmax": "softmax", "center_softmax": "center + softmax",
    },
    "es": {
        "step": "paso", "rank": "rango efectivo", "cosine": "coseno medio de dos fotos",
        "hardest": "las más difíciles, distancia²", "soft": "lo mismo, margen suave",
        "euclidean": "lo mismo, distancia sin ²", "slow": "lo mismo, un tercio de la tasa",
        "semi_hard": "semidifíciles", "semi_then_hard": "semidifíciles, luego las más difíciles",
        "center": "center, centros rápidos", "center_slow": "center, centros lentos",
        "softmax": "softmax", "center_softmax": "center + softmax",
    },
}  # fmt: skip
COLOURS = {
    "hardest": OTHER, "soft": "#222222", "euclidean": "#8b6fb0", "slow": "#e3b23c",
    "semi_hard": THIRD, "semi_then_hard": SAME,
    "center": OTHER, "center_slow": "#e3b23c", "softmax": THIRD, "center_softmax": SAME,
}  # fmt: skip


def trained(digits: Digits, recipe: Recipe, batches: Batches, seed: int) -> dict[str, Any]:
    """Train: the spread of the held-out digits on the way, and what came of it."""
    net = dense(64, DIM, seed=seed)
    steps: list[int] = []
    curve: dict[str, list[float]] = {"rank": [], "cosine": []}
    cost = 0.0

    def watch(step: Step) -> None:
        nonlocal cost
        cost = step.cost
        if not len(steps) % 5:
            spread = measure_spread(vectors_of(net, digits.held))
            curve["rank"].append(spread.effective_rank)
            curve["cosine"].append(spread.mean_cosine)
        steps.append(len(steps))

    for terms, epochs in recipe.parts:
        loss = losses_of(terms, digits.train_labels, DIM)
        fit(
            net, loss, digits.train, digits.train_labels,
            grouped(digits.train_labels, epochs, batches, seed=seed),
            lr=recipe.lr, head_lr_factor=recipe.head_lr_factor, watch=watch,
        )  # fmt: skip
    right, spread = judge(net, digits)
    return {
        "right": right, "rank": spread.effective_rank, "cosine": spread.mean_cosine, "cost": cost,
        "length": float(np.linalg.norm(raw_of(net, digits.held), axis=1).mean()),
        "least_rank": min(curve["rank"]), "greatest_cosine": max(curve["cosine"]), "curve": curve,
    }  # fmt: skip


def draw_curves(runs: Mapping[str, list[dict[str, Any]]], words: Words) -> Figure:
    """Effective rank and mean cosine by step, a thin line a seed."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for axis, key in zip(axes, ("rank", "cosine"), strict=True):
        for name, seeds in runs.items():
            for number, run in enumerate(seeds):  # labelled once
                values = run["curve"][key]
                axis.plot(
                    np.arange(len(values)) * 5, values, color=COLOURS[name], linewidth=1,
                    label=words[name] if not number else None,
                )  # fmt: skip
        axis.set_title(words[key])
        axis.set_xlabel(words["step"])
        axis.set_ylim(0)
    legend = figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9
    )
    for line in legend.get_lines():
        line.set_linewidth(3)
    return figure


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the lowest and highest share that is right."""
    keys = ("right", "rank", "cosine", "cost", "length", "least_rank", "greatest_cosine")
    found: dict[str, Any] = {key: float(np.mean([run[key] for run in runs])) for key in keys}
    right = [run["right"] for run in runs]
    return found | {"lowest": min(right), "highest": max(right)}


def main() -> None:
    options("learn.collapse", __doc__).parse_args()
    torch.set_num_threads(1)
    digits = read_digits()
    found: dict[str, Any] = {"margin": MARGIN, "seeds": len(SEEDS), "dimensions": DIM}
    for picture, recipes, batches in (
        ("collapse", TRIPLETS, LARGE),
        ("center", CENTERS, Batches()),
    ):
        runs = {
            name: [trained(digits, recipe, batches, seed) for seed in SEEDS]
            for name, recipe in recipes.items()
        }
        draw(picture, WORDS, lambda words, runs=runs: draw_curves(runs, words))
        found |= {name: summary(each) for name, each in runs.items()}
    keep_figures("collapse", found)


if __name__ == "__main__":
    main()
