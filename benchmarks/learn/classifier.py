"""A classifier: what it learns from one photograph, and what it says of animals it was not given.

`python -m benchmarks.learn.classifier` trains the small network with softmax on 1 to 80 photographs
of each digit, and on the digits 0 to 6 alone, which it then asks about 7, 8 and 9; five draws each.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks.harness.arguments import options
from benchmarks.learn.lesson import (
    Digits,
    dense,
    fit,
    losses_of,
    one_photograph,
    read_digits,
    shuffled,
    vectors_of,
)
from benchmarks.learn.output import OTHER, SAME, THIRD, Words, draw, keep_figures
from flukeprint.data.embeddings import Floats, Ints, unit_rows
from flukeprint.models.losses import SummedLoss

DIM, KNOWN, DRAWS, STEPS, SURE = 32, 7, 5, 900, 0.9
PHOTOS = (1, 2, 5, 20, 80)  # photographs of each digit
WORDS: dict[str, Words] = {
    "en": {
        "photographs": "photographs of each digit", "right": "right answers",
        "classifier": "classifier", "pixels": "nearest photograph, by pixels",
        "own": "classifier, on its own photographs",
        "sure": "probability of the first answer", "digits": "share of photographs",
        "seen": "0 to 6: its classes", "unseen": "7, 8, 9: none of its classes",
    },
    "es": {
        "photographs": "fotos de cada dígito", "right": "aciertos",
        "classifier": "clasificador", "pixels": "la foto más cercana, por píxeles",
        "own": "clasificador, con sus propias fotos",
        "sure": "probabilidad de la primera respuesta", "digits": "proporción de fotos",
        "seen": "0 a 6: sus clases", "unseen": "7, 8, 9: ninguna de sus clases",
    },
}  # fmt: skip


def classifier(pixels: Floats, labels: Ints, seed: int) -> tuple[nn.Module, SummedLoss]:
    """Train with softmax for about STEPS steps."""
    net = dense(64, DIM, seed=seed)
    loss = losses_of([{"name": "softmax"}], labels, DIM)
    steps = max(1, len(labels) // 40)
    fit(net, loss, pixels, labels, shuffled(labels, max(1, STEPS // steps), seed=seed))
    return net, loss


@torch.no_grad()
def probabilities(net: nn.Module, loss: SummedLoss, pixels: Floats) -> Floats:
    """What the classifier gives each of its classes, (n, classes)."""
    logits = loss.terms[0].linear(net(torch.from_numpy(pixels)))
    found: Floats = torch.softmax(logits, 1).numpy()
    return found


def from_photographs(digits: Digits, photos: int, seed: int) -> dict[str, float]:
    """Train on that many photographs of each digit, which the seed draws."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(digits.train_labels == digit), photos, replace=False)
            for digit in range(10)
        ]
    )
    pixels, labels = digits.train[rows], digits.train_labels[rows]
    net, loss = classifier(pixels, labels, seed)
    nearest = (unit_rows(digits.held) @ unit_rows(pixels).T).argmax(1)
    own, held = (probabilities(net, loss, part).argmax(1) for part in (pixels, digits.held))
    return {
        "own": float((own == labels).mean()),
        "classifier": float((held == digits.held_labels).mean()),
        "pixels": float((labels[nearest] == digits.held_labels).mean()),
    }


def of_strangers(digits: Digits, seed: int) -> dict[str, Any]:
    """Train on the digits below KNOWN: how sure it is of them, and of digits that it never saw.

    `gallery`: the same network as an embedding, with one photograph of each of the ten digits in
    the gallery; the share of the strangers whose nearest photograph shows the same digit.
    """
    seen, held = digits.train_labels < KNOWN, digits.held_labels < KNOWN
    net, loss = classifier(digits.train[seen], digits.train_labels[seen], seed)
    known, strange = (probabilities(net, loss, digits.held[part]) for part in (held, ~held))
    return {
        "right": float((known.argmax(1) == digits.held_labels[held]).mean()),
        "sure_of_known": float((known.max(1) >= SURE).mean()),
        "sure_of_strangers": float((strange.max(1) >= SURE).mean()),
        "gallery": one_photograph(
            vectors_of(net, digits.train), digits.train_labels,
            vectors_of(net, digits.held[~held]), digits.held_labels[~held],
        ),
        "known": known.max(1), "strange": strange.max(1),
    }  # fmt: skip


def draw_both(
    curves: Mapping[int, Mapping[str, list[float]]], asked: Mapping[str, Any], words: Words
) -> Figure:
    """Left what is right by photographs of a digit, right how sure it is of strangers."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.6), layout="constrained")
    for key, colour, style in (
        ("own", "#9aa5ad", "--"), ("classifier", OTHER, "-"), ("pixels", SAME, "-")
    ):  # fmt: skip
        means = [np.mean(curves[photos][key]) for photos in PHOTOS]
        left.plot(PHOTOS, means, style, marker=".", color=colour, label=words[key])
    left.set(xscale="log", xlabel=words["photographs"], title=words["right"], ylim=(0, 1.04))
    left.set_xticks(PHOTOS, [str(photos) for photos in PHOTOS])
    left.minorticks_off()
    edges = np.linspace(0, 1, 21)
    for key, name, colour in (("known", "seen", THIRD), ("strange", "unseen", "#8b6fb0")):
        sure = asked[key]
        weights = np.full(len(sure), 1 / len(sure))
        right.hist(sure, edges, weights=weights, color=colour, alpha=0.75, label=words[name])
    right.set(xlabel=words["sure"], title=words["digits"])
    for axis in (left, right):
        axis.legend(fontsize=9)
    return figure


def main() -> None:
    options("learn.classifier", __doc__).parse_args()
    torch.set_num_threads(1)
    digits = read_digits()
    curves: dict[int, dict[str, list[float]]] = {}
    for photos in PHOTOS:
        runs = [from_photographs(digits, photos, seed) for seed in range(DRAWS)]
        curves[photos] = {key: [run[key] for run in runs] for key in runs[0]}
    strangers = [of_strangers(digits, seed) for seed in range(DRAWS)]
    draw("classifier", WORDS, lambda words: draw_both(curves, strangers[0], words))
    keep_figures(
        "classifier",
        {
            "draws": DRAWS, "sure": SURE,
            "photographs": {
                str(photos): {key: float(np.mean(values)) for key, values in found.items()}
                for photos, found in curves.items()
            },
            "strangers": {
                key: float(np.mean([run[key] for run in strangers]))
                for key in ("right", "sure_of_known", "sure_of_strangers", "gallery")
            },
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
