"""Pair heads: six ways to judge a pair, and one that gives (a, b) and (b, a) two answers.

`python -m benchmarks.learn.heads` trains the small network with each on the same batches of digits
and judges the same pairs of a held-out and a training digit; three seeds.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks.harness.arguments import options
from benchmarks.learn.lesson import (
    SEED,
    SEEDS,
    Digits,
    dense,
    fit,
    grouped,
    judge,
    losses_of,
    raw_of,
    read_digits,
)
from benchmarks.learn.output import OTHER, SAME, THIRD, Words, draw, keep_figures
from flukeprint.data.embeddings import Floats, Ints, Values, unit_rows
from flukeprint.evaluation.verification import sample_pairs
from flukeprint.models.losses import SummedLoss
from flukeprint.models.pair_costs import PairHead
from flukeprint.models.pair_losses import PairLoss

DIM, EPOCHS, EACH = 32, 20, 2000
HEADS: dict[str, dict[str, Any]] = {
    "contrastive": {"name": "contrastive", "params": {"neg_margin": 1.0, "squared": True}},
    "margin": {"name": "margin"},
    "regression": {"name": "pair_regression"},
    "hinge": {"name": "hinge"},
    "difference": {"name": "difference_head"},
    "concatenation": {"name": "concatenation_head"},
}
WORDS: dict[str, Words] = {
    "en": {
        "contrastive": "distance:\ncontrastive", "margin": "distance:\nmargin",
        "regression": "cosine:\nregression", "hinge": "cosine:\nhinge",
        "difference": "classifier\nof |a - b|", "concatenation": "classifier\nof [a, b]",
        "right": "pairs judged rightly", "one": "probability of (a, b)",
        "other": "probability of (b, a)", "same": "same digit", "different": "different digits",
        "asymmetry": "classifier of [a, b], both ways round",
    },
    "es": {
        "contrastive": "distancia:\ncontrastiva", "margin": "distancia:\nmargen",
        "regression": "coseno:\nregresión", "hinge": "coseno:\nbisagra",
        "difference": "clasificador\nde |a - b|", "concatenation": "clasificador\nde [a, b]",
        "right": "pares bien juzgados", "one": "probabilidad de (a, b)",
        "other": "probabilidad de (b, a)", "same": "mismo dígito",
        "different": "dígitos distintos", "asymmetry": "clasificador de [a, b], en los dos órdenes",
    },
}  # fmt: skip


def scores(loss: SummedLoss, first: Floats, second: Floats) -> Values:
    """How alike embeddings (n, dim) and (n, dim) are: the head's probability, or their cosine."""
    term = loss.terms[0]
    assert isinstance(term, PairLoss)
    if isinstance(term.loss, PairHead):
        with torch.no_grad():
            logits = term.loss.logits(torch.from_numpy(first), torch.from_numpy(second))
        return torch.sigmoid(logits).double().numpy()
    return np.einsum("nd,nd->n", unit_rows(first), unit_rows(second)).astype(np.float64)


def best_threshold(same: Values, other: Values) -> float:
    """The score from which pairs are best taken for the same, either kind weighing half."""
    steps = np.sort(np.concatenate([same, other]))
    accepted = 1 - np.searchsorted(np.sort(same), steps) / len(same)
    wrong = 1 - np.searchsorted(np.sort(other), steps) / len(other)
    return float(steps[int(np.argmax(accepted - wrong))])


def trained(digits: Digits, term: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train; fit the threshold on pairs of training digits, and judge pairs with held-out ones."""
    net: nn.Module = dense(64, DIM, seed=seed)
    loss = losses_of([term], digits.train_labels, DIM)
    fit(
        net,
        loss,
        digits.train,
        digits.train_labels,
        grouped(digits.train_labels, EPOCHS, seed=seed),
    )
    train, held = raw_of(net, digits.train), raw_of(net, digits.held)

    def judged(queries: Floats, labels: Ints, *, turned: bool = False) -> tuple[Values, Values]:
        names, known = ([str(label) for label in part] for part in (labels, digits.train_labels))
        pairs = sample_pairs(names, known, most_other=EACH, most_same=EACH, seed=SEED)
        found = []
        for rows in pairs:
            sides = queries[rows[:, 0]], train[rows[:, 1]]
            found.append(scores(loss, *(sides[::-1] if turned else sides)))
        return found[0], found[1]

    threshold = best_threshold(*judged(train, digits.train_labels))
    same, other = judged(held, digits.held_labels)
    turned = np.concatenate(judged(held, digits.held_labels, turned=True))
    both = np.concatenate([same, other])
    return {
        "accuracy": float(((same >= threshold).mean() + (other < threshold).mean()) / 2),
        "threshold": threshold,
        "turned_otherwise": float(((both >= threshold) != (turned >= threshold)).mean()),
        "turned_by": float(np.abs(both - turned).mean()),
        "right": judge(net, digits)[0],
        "both": both, "turned": turned,
    }  # fmt: skip


def draw_heads(runs: dict[str, list[dict[str, Any]]], words: Words) -> Figure:
    """Left the pairs judged rightly by each head, a dot a seed; right the two orders of a pair."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 3.8), layout="constrained", width_ratios=(2, 1)
    )
    for place, (name, seeds) in enumerate(runs.items()):
        values = [run["accuracy"] for run in seeds]
        colour = THIRD if "head" in HEADS[name]["name"] else SAME
        left.plot([place] * len(values), values, "o", color=colour, alpha=0.7)
    left.set_xticks(range(len(runs)), [words[name] for name in runs], fontsize=9)
    left.set(title=words["right"], xlim=(-0.5, len(runs) - 0.5))
    left.grid(axis="y", alpha=0.3)
    first = runs["concatenation"][0]
    half = len(first["both"]) // 2
    for part, colour, name in (
        (slice(half, None), OTHER, "different"), (slice(half), SAME, "same")
    ):  # fmt: skip
        right.plot(
            first["both"][part], first["turned"][part], ".", color=colour, markersize=3,
            alpha=0.6, label=words[name],
        )  # fmt: skip
    right.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    right.set(xlabel=words["one"], ylabel=words["other"], aspect="equal")
    right.set_title(words["asymmetry"], fontsize=10)
    right.legend(fontsize=8.5, markerscale=3, loc="lower right")
    return figure


def main() -> None:
    options("learn.heads", __doc__).parse_args()
    torch.set_num_threads(1)
    digits = read_digits()
    runs = {name: [trained(digits, term, seed) for seed in SEEDS] for name, term in HEADS.items()}
    draw("heads", WORDS, lambda words: draw_heads(runs, words))
    keep_figures(
        "heads",
        {"pairs": 2 * EACH, "seeds": len(SEEDS)} | {name: summary(r) for name, r in runs.items()},
    )


def summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the seeds, and the lowest and highest accuracy."""
    keys = ("accuracy", "threshold", "turned_otherwise", "turned_by", "right")
    found = {key: float(np.mean([run[key] for run in runs])) for key in keys}
    accuracy = [run["accuracy"] for run in runs]
    return found | {"lowest": min(accuracy), "highest": max(accuracy)}


if __name__ == "__main__":
    main()
