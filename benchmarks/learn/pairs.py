"""Pairs: a siamese network on digits, the zones of the contrastive loss, and distances.

`python -m benchmarks.learn.pairs` trains the small network with contrastive loss (margin 1) and
measures pairs of a held-out and a training digit before and after; three seeds.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.harness.arguments import options
from benchmarks.learn.lesson import (
    SEED,
    SEEDS,
    Digits,
    dense,
    fit,
    grouped,
    losses_of,
    read_digits,
    vectors_of,
)
from benchmarks.learn.output import OTHER, SAME, Words, draw, keep_figures
from flukeprint.data.embeddings import Floats, Ints
from flukeprint.evaluation.verification import sample_pairs

DIM, EPOCHS, MARGIN, THRESHOLD, EACH = 32, 20, 1.0, 0.5, 2000
FURTHEST = 2.0  # of two unit vectors
LOSS = {"name": "contrastive", "params": {"neg_margin": MARGIN, "squared": True}}
WORDS: dict[str, Words] = {
    "en": {
        "cost": "cost of a pair", "before": "untrained", "after": "after 20 epochs",
        "distance": "distance", "pull": "same: pulled", "push": "different: pushed",
        "dead": "different: no force", "same": "same digit", "other": "different digits",
        "pairs": "pairs", "threshold": "threshold",
    },
    "es": {
        "cost": "coste de un par", "before": "sin entrenar", "after": "tras 20 épocas",
        "distance": "distancia", "pull": "iguales: se atraen", "push": "distintos: se separan",
        "dead": "distintos: sin fuerza", "same": "mismo dígito", "other": "dígitos distintos",
        "pairs": "pares", "threshold": "umbral",
    },
}  # fmt: skip


def pairs_of(digits: Digits) -> tuple[Ints, Ints]:
    """Rows (EACH, 2) of a held-out and a training digit: of the same digit, and of two."""
    names = [str(label) for label in digits.held_labels]
    known = [str(label) for label in digits.train_labels]
    return sample_pairs(names, known, most_other=EACH, most_same=EACH, seed=SEED)


def distances(net: torch.nn.Module, digits: Digits, rows: Ints) -> Floats:
    """Distances of unit embeddings, from 0 to 2, of the pairs `rows` (n, 2)."""
    held, train = vectors_of(net, digits.held), vectors_of(net, digits.train)
    found: Floats = np.linalg.norm(held[rows[:, 0]] - train[rows[:, 1]], axis=1)
    return found


def measured(same: Floats, other: Floats) -> dict[str, float]:
    """What a threshold at THRESHOLD makes of as many same as different pairs, and the zones."""
    return {
        "accuracy": float(((same < THRESHOLD).mean() + (other >= THRESHOLD).mean()) / 2),
        "same": float(np.median(same)),
        "other": float(np.median(other)),
        "same_called_different": float((same >= THRESHOLD).mean()),
        "different_called_same": float((other < THRESHOLD).mean()),
        "different_without_force": float((other >= MARGIN).mean()),
    }


def costs(distance: Floats) -> tuple[Floats, Floats]:
    """Cost of a same and of a different pair at each distance, by the loss itself."""
    loss = losses_of([LOSS], np.array([0, 1]), 2)
    found: list[list[float]] = []
    for labels in ([0, 0], [0, 1]):
        found.append([])
        for far in distance.tolist():
            angle = 2 * np.arcsin(far / 2)  # of two unit vectors
            ends = torch.tensor([[1.0, 0.0], [float(np.cos(angle)), float(np.sin(angle))]])
            found[-1].append(float(loss(ends, torch.tensor(labels)).total))
    same, other = (np.array(values, dtype=np.float32) for values in found)
    return same, other


def draw_distances(parts: dict[str, tuple[Floats, Floats]], words: Words) -> Figure:
    """The cost by distance with its zones, and the distances before and after training."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained")
    far = np.linspace(0, FURTHEST, 81, dtype=np.float32)
    same, other = costs(far)
    axes[0].plot(far, same, color=SAME, label=words["pull"])
    axes[0].plot(far, other, color=OTHER, label=words["push"])
    axes[0].axvspan(MARGIN, FURTHEST, color="#dddddd", zorder=0, label=words["dead"])
    axes[0].set_title(words["cost"])
    axes[0].set_ylim(-0.04, 2.05)
    edges = np.linspace(0, FURTHEST, 51)
    for axis, name in zip(axes[1:], ("before", "after"), strict=True):
        axis.hist(parts[name][0], edges, color=SAME, alpha=0.75, label=words["same"])
        axis.hist(parts[name][1], edges, color=OTHER, alpha=0.75, label=words["other"])
        axis.axvline(THRESHOLD, color="black", linewidth=1, label=words["threshold"])
        axis.axvspan(MARGIN, FURTHEST, color="#eeeeee", zorder=0)
        axis.set_title(words[name])
        axis.set_ylabel(words["pairs"])
    for axis in axes:
        axis.set_xlabel(words["distance"])
        axis.set_xlim(0, FURTHEST)
        axis.legend(fontsize=8.5)
    return figure


def draw_pairs(digits: Digits, rows: Ints, far: Floats, right: Floats, words: Words) -> Figure:
    """Pairs, the same ones first, with their distance; red where the threshold is wrong."""
    figure = plt.figure(figsize=(11, 3.3), layout="constrained")
    half = len(rows) // 2
    sides = figure.subfigures(1, 2, wspace=0.04)
    for side, name, start in zip(sides, ("same", "other"), (0, half), strict=True):
        side.suptitle(words[name], fontsize=11)
        axes = side.subplots(2, half)
        for column in range(half):
            at = start + column
            held, train = rows[at]
            colour = SAME if right[at] else "#c01818"
            for axis, pixels, label in zip(
                axes[:, column],
                (digits.held[held], digits.train[train]),
                (digits.held_labels[held], digits.train_labels[train]),
                strict=True,
            ):
                axis.imshow(pixels.reshape(8, 8), cmap="gray_r")
                axis.set(xticks=[], yticks=[])
                axis.set_xlabel(str(label), fontsize=9, labelpad=2)
                for spine in axis.spines.values():
                    spine.set(visible=True, color=colour, linewidth=2)
            axes[0, column].set_title(f"{far[at]:.2f}", color=colour, fontsize=11)
    return figure


def chosen_pairs(same: Ints, other: Ints, near: Floats, far: Floats) -> tuple[Ints, Floats, Floats]:
    """Five pairs of each kind by distance: at most three of them wrong, the worst ones."""
    wrong = int(min(3, (near >= THRESHOLD).sum())), int(min(3, (far < THRESHOLD).sum()))
    by_near, by_far = np.argsort(near), np.argsort(-far)
    first = _spread(same, by_near, 5 - wrong[0], wrong[0])
    second = _spread(other, by_far, 5 - wrong[1], wrong[1])
    rows = np.concatenate([same[first], other[second]])
    distance = np.concatenate([near[first], far[second]])
    right = np.concatenate([near[first] < THRESHOLD, far[second] >= THRESHOLD]).astype(np.float32)
    return rows, distance, right


def _spread(rows: Ints, order: Ints, easy: int, worst: int) -> Ints:
    """Places of `easy` pairs among the better half and of the `worst`, no photograph twice."""
    seen: set[int] = set()

    def fresh(places: Ints, most: int) -> list[int]:
        found: list[int] = []
        for place in places.tolist():
            if len(found) < most and int(rows[place, 0]) not in seen:
                seen.add(int(rows[place, 0]))
                found.append(place)
        return found

    last = fresh(order[::-1], worst)
    steps = (np.linspace(0.05, 0.5, max(easy, 1)) * len(order)).astype(int)[:easy]
    first = [place for step in steps for place in fresh(order[step:], 1)]
    return np.array([*first, *last[::-1]], dtype=np.int64)


def main() -> None:
    options("learn.pairs", __doc__).parse_args()
    torch.set_num_threads(1)
    digits = read_digits()
    same, other = pairs_of(digits)
    found: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
    shown: dict[str, tuple[Floats, Floats]] = {}
    for seed in SEEDS:
        net = dense(64, DIM, seed=seed)
        loss = losses_of([LOSS], digits.train_labels, DIM)
        for name in found:
            if name == "after":
                order = grouped(digits.train_labels, EPOCHS, seed=seed)
                fit(net, loss, digits.train, digits.train_labels, order)
            near, far = distances(net, digits, same), distances(net, digits, other)
            found[name].append(measured(near, far))
            if seed == SEED:
                shown[name] = near, far
    draw("pairs", WORDS, lambda words: draw_distances(shown, words))
    rows, distance, right = chosen_pairs(same, other, *shown["after"])
    draw("pairs_shown", WORDS, lambda words: draw_pairs(digits, rows, distance, right, words))
    keep_figures(
        "pairs",
        {"pairs": 2 * EACH, "margin": MARGIN, "threshold": THRESHOLD, "seeds": len(SEEDS)}
        | {name: _mean(runs) for name, runs in found.items()},
    )


def _mean(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Means over the seeds, and the lowest and highest accuracy."""
    found = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    accuracy = [run["accuracy"] for run in runs]
    return found | {"lowest": min(accuracy), "highest": max(accuracy)}


if __name__ == "__main__":
    main()
