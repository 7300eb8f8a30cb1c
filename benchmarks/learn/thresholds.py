"""Verification: a threshold for two photographs, its two errors, and what measures the distance.

`python -m benchmarks.learn.thresholds` trains the small network on the digits 0 to 6, verifies
pairs of these and pairs of 7, 8 and 9, which it never saw, and compares metrics; three seeds.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.harness.arguments import options
from benchmarks.learn.lesson import (
    SEED,
    SEEDS,
    Digits,
    dense,
    fit,
    grouped,
    losses_of,
    raw_of,
    read_digits,
    vectors_of,
)
from benchmarks.learn.output import OTHER, SAME, Words, draw, keep_figures
from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.evaluation.studies.distances import METRICS
from flukeprint.evaluation.verification import Pairs, Roc, roc, sample_pairs

DIM, EPOCHS, KNOWN, EACH, RATE = 32, 20, 7, 5000, 0.01
LOSS = {"name": "triplet", "params": {"mining": "semi_hard", "margin": 0.3}}
WORDS: dict[str, Words] = {
    "en": {
        "cosine": "cosine", "same": "same digit", "other": "different digits",
        "unseen": "7, 8, 9: never seen", "seen": "0 to 6: trained on",
        "false_accept": "false accepts", "true_accept": "true accepts", "pairs": "share of pairs",
        "euclidean": "Euclidean", "minkowski p=1": "Minkowski p = 1",
        "minkowski p=3": "Minkowski p = 3", "mahalanobis": "Mahalanobis",
        "threshold": "threshold", "asked": "photograph asked about", "origin": "origin",
    },
    "es": {
        "cosine": "coseno", "same": "mismo dígito", "other": "dígitos distintos",
        "unseen": "7, 8, 9: nunca vistos", "seen": "0 a 6: entrenados",
        "false_accept": "falsas aceptaciones", "true_accept": "aceptaciones correctas",
        "pairs": "proporción de pares", "euclidean": "euclidiana",
        "minkowski p=1": "Minkowski p = 1", "minkowski p=3": "Minkowski p = 3",
        "mahalanobis": "Mahalanobis", "threshold": "umbral",
        "asked": "foto por la que se pregunta", "origin": "origen",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Side:
    """Photographs to compare: embeddings (n, d) as the network gives them, and their digits (n,).

    The first half of the rows asks, the second half is the gallery.
    """

    raw: Floats
    labels: Ints

    def rows(self) -> tuple[Ints, Ints]:
        """Pairs (EACH, 2) of one digit and of two, as rows of `raw`."""
        half = len(self.labels) // 2
        names = [str(label) for label in self.labels]
        same, other = sample_pairs(
            names[:half], names[half:], most_other=EACH, most_same=EACH, seed=SEED
        )
        after = np.array([0, half])  # the gallery's rows follow the first half
        return same + after, other + after


def sides(digits: Digits, seed: int) -> tuple[torch.nn.Module, dict[str, Side]]:
    """Train on the digits below KNOWN: held-out photographs of these, and all of the others."""
    seen = digits.train_labels < KNOWN
    net = dense(64, DIM, seed=seed)
    labels = digits.train_labels[seen]
    loss = losses_of([LOSS], labels, DIM)
    fit(net, loss, digits.train[seen], labels, grouped(labels, EPOCHS, seed=seed))
    held = digits.held_labels < KNOWN
    pixels = np.concatenate([digits.held[~held], digits.train[~seen]])
    others = np.concatenate([digits.held_labels[~held], digits.train_labels[~seen]])
    order = np.random.default_rng(SEED).permutation(len(others))
    return net, {
        "seen": Side(raw_of(net, digits.held[held]), digits.held_labels[held]),
        "unseen": Side(raw_of(net, pixels[order]), others[order]),
    }


def cosines(side: Side) -> Pairs:
    """Cosines of the pairs of one digit and of two."""
    unit = side.raw.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    same, other = (
        np.einsum("nd,nd->n", unit[rows[:, 0]], unit[rows[:, 1]]) for rows in side.rows()
    )
    return Pairs(same, other)


def rates(curve: Roc, threshold: float) -> dict[str, float]:
    """False accepts and false rejects of the strictest listed threshold not above `threshold`."""
    at = int(np.argmax(curve.thresholds <= threshold))
    return {
        "false_accept": float(curve.false_accept[at]),
        "false_reject": float(curve.false_reject[at]),
    }


def equal_error(curve: Roc) -> float:
    """The equal error rate."""
    at = curve.equal()
    return float((curve.false_accept[at] + curve.false_reject[at]) / 2)


def at_rate(curve: Roc) -> float:
    """The smallest threshold that accepts at most RATE of the pairs of two."""
    allowed = np.flatnonzero(curve.false_accept <= RATE)
    return float(curve.thresholds[allowed[-1]])


def metric_errors(side: Side, vectors: Floats, labels: Ints) -> dict[str, float]:
    """Equal error rate of each metric on unit vectors; Mahalanobis learns from training."""
    unit = side.raw.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    half = len(unit) // 2
    same, other = side.rows()
    found = {}
    for name, make in METRICS.items():
        scores: Values = make(vectors.astype(np.float64), labels)(unit[:half], unit[half:])
        pairs = Pairs(
            scores[same[:, 0], same[:, 1] - half].astype(np.float64),
            scores[other[:, 0], other[:, 1] - half].astype(np.float64),
        )
        found[name] = equal_error(roc(pairs))
    return found


def draw_verification(pairs: Pairs, curves: dict[str, Roc], limit: float, words: Words) -> Figure:
    """Cosines of unseen digits with the threshold of the seen ones, and both ROC curves."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.6), layout="constrained")
    edges = np.linspace(-0.7, 1, 52)
    for scores, colour, name in ((pairs.same, SAME, "same"), (pairs.other, OTHER, "other")):
        weights = np.full(len(scores), 1 / len(scores))
        left.hist(scores, edges, weights=weights, color=colour, alpha=0.75, label=words[name])
    left.axvline(limit, color="black", linewidth=1, label=words["threshold"])
    left.set(xlabel=words["cosine"], ylabel=words["pairs"], title=words["unseen"])
    for name, colour in (("seen", "#5a8f3c"), ("unseen", "#8b6fb0")):
        curve = curves[name]
        right.plot(curve.false_accept, 1 - curve.false_reject, color=colour, label=words[name])
        point = rates(curve, limit)
        right.plot([point["false_accept"]], [1 - point["false_reject"]], "o", color=colour)
    right.plot([], [], "o", color="black", label=words["threshold"])
    right.set(xscale="log", xlim=(2e-4, 1), ylim=(0, 1.02))
    right.set(xlabel=words["false_accept"], ylabel=words["true_accept"], title="ROC")
    for axis in (left, right):
        axis.legend(fontsize=9)
    return figure


def draw_metrics(points: Values, labels: Ints, words: Words) -> Figure:
    """Photographs in a plane, and what each metric takes for equally near to one of them."""
    figure, axes = plt.subplots(1, 5, figsize=(11, 3.3), layout=ConstrainedLayoutEngine(h_pad=0.1))
    middle = points[labels == 7].mean(0)
    query = points[int(np.argmin(np.linalg.norm(points - middle, axis=1)))][None]
    low, high = points.min(0) - 0.15, points.max(0) + 0.15
    across, up = np.meshgrid(np.linspace(low[0], high[0], 120), np.linspace(low[1], high[1], 120))
    plane = np.stack([across.ravel(), up.ravel()], axis=1)
    colours = {7: SAME, 8: OTHER, 9: "#5a8f3c"}
    names = ("cosine", "euclidean", "minkowski p=1", "minkowski p=3", "mahalanobis")
    for axis, name in zip(axes, names, strict=True):
        metric = METRICS[name](points, labels)
        near = metric(query, points)[0]
        levels = np.unique(np.quantile(near, [0.15, 0.35, 0.6]))
        axis.contour(
            across, up, metric(query, plane)[0].reshape(across.shape), levels,
            colors="black", linewidths=0.8, linestyles="solid",
        )  # fmt: skip
        for digit, colour in colours.items():
            own = points[labels == digit]
            axis.plot(
                own[:, 0], own[:, 1], ".", color=colour, markersize=2.5, alpha=0.7,
                label=str(digit),
            )  # fmt: skip
        axis.plot(*query[0], "*", color="black", markersize=9, label=words["asked"])
        axis.plot([0], [0], "+", color="#c01818", markersize=9, label=words["origin"])
        axis.set(xticks=[], yticks=[], aspect="equal")
        axis.set_title(words[name], fontsize=11)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9
    )
    return figure


def plane_of(side: Side) -> Values:
    """The two widest directions of embeddings as the network gives them, (n, 2), origin kept."""
    raw = side.raw.astype(np.float64)
    _, _, axes = np.linalg.svd(raw, full_matrices=False)
    return np.asarray(raw @ axes[:2].T / np.linalg.norm(raw, axis=1).mean())


def main() -> None:
    options("learn.thresholds", __doc__).parse_args()
    torch.set_num_threads(1)
    digits = read_digits()
    found: list[dict[str, Any]] = []
    for seed in SEEDS:
        net, parts = sides(digits, seed)
        pairs = {name: cosines(side) for name, side in parts.items()}
        curves = {name: roc(each) for name, each in pairs.items()}
        limit = at_rate(curves["seen"])
        seen = digits.train_labels < KNOWN
        found.append(
            {
                "threshold": limit,
                "seen": rates(curves["seen"], limit) | {"eer": equal_error(curves["seen"])},
                "unseen": rates(curves["unseen"], limit) | {"eer": equal_error(curves["unseen"])},
                "metrics": metric_errors(
                    parts["unseen"], vectors_of(net, digits.train[seen]), digits.train_labels[seen]
                ),
            }
        )
        if seed == SEED:
            first = pairs["unseen"], curves, limit
            plane, labels = plane_of(parts["unseen"]), parts["unseen"].labels
    draw("verification", WORDS, lambda words: draw_verification(*first, words))
    draw("metrics", WORDS, lambda words: draw_metrics(plane, labels, words))
    keep_figures(
        "thresholds",
        {"rate": RATE, "pairs": EACH, "seeds": len(SEEDS), "first": found[0], "mean": _mean(found)},
    )


def _mean(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The same figures as means over the seeds."""
    return {
        key: _mean([each[key] for each in found])
        if isinstance(value, dict)
        else float(np.mean([each[key] for each in found]))
        for key, value in found[0].items()
    }


if __name__ == "__main__":
    main()
