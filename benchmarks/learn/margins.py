"""Margins: digits on a circle, an animal of two flanks, and digits with two photographs each.

`python -m benchmarks.learn.margins` trains the small network to two dimensions with softmax and
with cosine heads, with and without a margin; gives "animals" of two digits two centres each; and
compares margins where half of the digits have two photographs.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from benchmarks.harness.arguments import options
from benchmarks.learn.lesson import (
    SEEDS,
    Digits,
    dense,
    fit,
    grouped,
    losses_of,
    raw_of,
    read_digits,
    shuffled,
    vectors_of,
)
from benchmarks.learn.output import Words, draw, keep_figures
from flukeprint.data.embeddings import Floats, Ints, unit_rows

HEADS: dict[str, dict[str, Any]] = {
    "softmax": {"name": "softmax"},
    "cosine": {"name": "cosface", "params": {"margin": 0.0, "scale": 30.0}},
    "cosface": {"name": "cosface", "params": {"margin": 0.2, "scale": 30.0}},
    "arcface": {"name": "arcface", "params": {"margin": 0.3, "scale": 30.0}},
}
TAIL: dict[str, dict[str, Any]] = {
    "softmax": {"name": "softmax"},
    "narrow": {"name": "arcface", "params": {"margin": 0.1, "scale": 20.96}},
    "wide": {"name": "arcface", "params": {"margin": 0.5, "scale": 20.96}},
    "dynamic": {"name": "dynamic_arcface", "params": {"sub_centers": 1}},
}
RARE, COMMON, DRAWS = 2, 100, 10  # photographs of a rare and of a common digit; catalogues drawn
PHOTOS = (1, 2, 5, 10, 50, 100)  # of which the dynamic margin is told
WORDS: dict[str, Words] = {
    "en": {
        "softmax": "softmax, as it is", "cosine": "cosines, no margin",
        "cosface": "CosFace, margin 0.2", "arcface": "ArcFace, margin 0.3",
    },
    "es": {
        "softmax": "softmax, tal cual", "cosine": "cosenos, sin margen",
        "cosface": "CosFace, margen 0.2", "arcface": "ArcFace, margen 0.3",
    },
}  # fmt: skip


def on_circle(digits: Digits, head: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train to two dimensions: the angle of held-out digits from the mean of their class.

    The mean is that of the training digits; `right` is the share nearest to the own one.
    """
    net = dense(64, 2, seed=seed)
    loss = losses_of([dict(head)], digits.train_labels, 2)
    order = grouped(digits.train_labels, 60, seed=seed)
    fit(net, loss, digits.train, digits.train_labels, order, lr=2e-3, head_lr_factor=5.0)
    vectors, train = vectors_of(net, digits.held), vectors_of(net, digits.train)
    means = unit_rows([train[digits.train_labels == c].mean(0) for c in range(10)])
    cosines = vectors @ means.T
    own = np.degrees(
        np.arccos(np.clip(cosines[np.arange(len(vectors)), digits.held_labels], -1, 1))
    )
    directions = np.sort(np.degrees(np.arctan2(means[:, 1], means[:, 0])))
    return {
        "right": float((cosines.argmax(1) == digits.held_labels).mean()),
        "angle": float(np.median(own)),
        "least_gap": float(np.diff(np.append(directions, directions[0] + 360)).min()),
        "raw": raw_of(net, digits.held), "means": means,
    }  # fmt: skip


def two_flanks(digits: Digits, seed: int) -> dict[str, Any]:
    """Train with an "animal" of each two digits, its flanks, and two centres an animal.

    The network is told the animal alone.  `flanks_found`: animals of which at least 90 % of the
    held-out photographs are nearest to the centre of their flank.
    """
    animals, flanks = digits.train_labels // 2, digits.held_labels % 2
    net = dense(64, 32, seed=seed)
    head = {"name": "subcenter_arcface", "params": {"margin": 0.3, "sub_centers": 2}}
    loss = losses_of([head], animals, 32)
    fit(net, loss, digits.train, animals, grouped(animals, 20, seed=seed), head_lr_factor=10.0)
    centers = loss.centers()
    assert centers is not None
    vectors, held = vectors_of(net, digits.held), digits.held_labels // 2
    similar = np.einsum("nd,ckd->nck", vectors, centers.numpy())
    nearest = similar[np.arange(len(held)), held].argmax(1)
    matching = [float((nearest[held == a] == flanks[held == a]).mean()) for a in range(5)]
    used = [len(np.unique(nearest[held == a])) for a in range(5)]
    return {
        "right": float((similar.max(2).argmax(1) == held).mean()),
        "flanks_found": sum(max(share, 1 - share) >= 0.9 for share in matching),
        "one_centre_idle": sum(number == 1 for number in used),
    }


def long_tail(digits: Digits, head: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """Shares of rare and of common held-out digits whose nearest photograph shows the same.

    Half of the digits have RARE photographs, the others COMMON; which, is drawn by the seed.
    """
    rng = np.random.default_rng(seed)
    rare = rng.permutation(10)[:5]
    rows = np.concatenate(
        [
            rng.choice(
                np.flatnonzero(digits.train_labels == c), RARE if c in rare else COMMON,
                replace=False,
            )
            for c in range(10)
        ]
    )  # fmt: skip
    pixels, labels = digits.train[rows], digits.train_labels[rows]
    net = dense(64, 32, seed=seed)
    loss = losses_of([dict(head)], labels, 32)
    fit(net, loss, pixels, labels, shuffled(labels, 30, seed=seed), head_lr_factor=10.0)
    gallery, queries = vectors_of(net, pixels), vectors_of(net, digits.held)
    right = labels[(queries @ gallery.T).argmax(1)] == digits.held_labels
    few = np.isin(digits.held_labels, rare)
    return float(right[few].mean()), float(right[~few].mean())


def margins_by_photos() -> dict[str, float]:
    """The margins in radians that the dynamic head gives classes of PHOTOS photographs."""
    labels = np.repeat(np.arange(len(PHOTOS)), PHOTOS)
    head = losses_of([{"name": "dynamic_arcface"}], labels, 32).terms[0]
    return {str(n): float(m) for n, m in zip(PHOTOS, head.margins.tolist(), strict=True)}


def draw_circles(runs: Mapping[str, dict[str, Any]], labels: Ints, words: Words) -> Figure:
    """One panel a head: softmax as the network gives it, the others by their angle alone."""
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.2), layout="constrained")
    for axis, (name, run) in zip(axes, runs.items(), strict=True):
        raw: Floats = run["raw"]
        if name != "softmax":
            # Only the angle counts: a little noise on the radius, so that points do not hide.
            raw = unit_rows(raw) * np.random.default_rng(0).uniform(0.86, 1, (len(raw), 1))
        _cloud(axis, np.asarray(raw, np.float32), labels, run["means"], middle=name == "softmax")
        axis.set_title(words[name], fontsize=11)
    return figure


def _cloud(axis: Axes, points: Floats, labels: Ints, means: Floats, *, middle: bool) -> None:
    far = float(np.quantile(np.linalg.norm(points, axis=1), 0.99))
    colours = plt.get_cmap("tab10")
    for digit in range(10):
        own = points[labels == digit]
        axis.plot(own[:, 0], own[:, 1], ".", color=colours(digit), markersize=3.5)
        # Beside its dots, on a white edge: outside the circle, or in their middle.
        x, y = own.mean(0) if middle else means[digit] * far * 1.18
        axis.text(
            x, y, str(digit), color=colours(digit), ha="center", va="center", fontweight="bold",
            fontsize=11, path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
    if middle:
        axis.plot([0], [0], "+", color="black", markersize=10)  # the origin
    edge = (1.1 if middle else 1.35) * far
    axis.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
    axis.axis("off")


def main() -> None:
    options("learn.margins", __doc__).parse_args()
    torch.set_num_threads(1)
    digits = read_digits()
    circles = {
        name: [on_circle(digits, head, seed) for seed in SEEDS] for name, head in HEADS.items()
    }
    first = {name: runs[0] for name, runs in circles.items()}
    draw("margins", WORDS, lambda words: draw_circles(first, digits.held_labels, words))
    flanks = [two_flanks(digits, seed) for seed in SEEDS]
    tails = {
        name: np.array([long_tail(digits, head, seed) for seed in range(DRAWS)])
        for name, head in TAIL.items()
    }
    gain = tails["dynamic"][:, 0] - tails["wide"][:, 0]
    keep_figures(
        "margins",
        {
            "seeds": len(SEEDS),
            "circle": {
                name: {
                    key: float(np.mean([run[key] for run in runs]))
                    for key in ("right", "angle", "least_gap")
                }
                for name, runs in circles.items()
            },
            "two_flanks": {
                "animals": 5 * len(SEEDS),
                "right": float(np.mean([run["right"] for run in flanks])),
                "flanks_found": sum(run["flanks_found"] for run in flanks),
                "one_centre_idle": sum(run["one_centre_idle"] for run in flanks),
            },
            "margin_by_photographs": margins_by_photos(),
            "long_tail": {
                "rare": RARE, "common": COMMON, "draws": DRAWS,
                **{
                    name: {"rare": float(values[:, 0].mean()), "common": float(values[:, 1].mean())}
                    for name, values in tails.items()
                },
                "dynamic_over_wide": {
                    "mean": float(gain.mean()), "better": int((gain > 0).sum()),
                    "lowest": float(gain.min()), "highest": float(gain.max()),
                },
            },
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
