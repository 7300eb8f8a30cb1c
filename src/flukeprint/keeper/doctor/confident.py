"""Confident learning: which labels are wrong, from probabilities of held-out photographs.

Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels (2021),
written anew from the paper: the authors' package is under the AGPL.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Ints, Values

_SHARPNESS = np.geomspace(0.3, 300, 40)  # tried, in spreads of the scores
_NOISE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class HeldOut:
    """The likeliest individuals of n photographs, none of which was in the gallery.

    given: (n,) label of each.  labels, scores: (n, t) the best ranked, descending; -1 and minus
    infinity where there are fewer.
    rows: (n, t) the photograph of each that is most similar.
    judged: (n,) whether the individual given has other photographs to be compared with.
    individuals: how many there are.
    """

    given: Ints
    labels: Ints
    scores: Values
    rows: Ints
    judged: npt.NDArray[np.bool_]
    individuals: int

    def own(self) -> tuple[Values, Values]:
        """Score (n,) of the individual given, as of `score_of`, and the best of the others."""
        mine = self.labels == self.given[:, None]
        return self.score_of(self.given), np.where(mine, -np.inf, self.scores).max(axis=1)

    def score_of(self, labels: Ints) -> Values:
        """Score (n,) that each photograph gives the individual of `labels` (n,).

        One that is not among the best ranked has at most the score of the last of them.
        """
        mine = self.labels == labels[:, None]
        last = np.where(np.isfinite(self.scores), self.scores, np.inf).min(axis=1)
        score = np.where(mine, self.scores, -np.inf).max(axis=1)
        return np.asarray(np.where(mine.any(axis=1), score, last))

    def rivals(self) -> tuple[Ints, Ints]:
        """The best of the other individuals (n,), and its photograph."""
        at = np.where(self.labels == self.given[:, None], -np.inf, self.scores).argmax(axis=1)
        each = np.arange(len(at))
        return self.labels[each, at], self.rows[each, at]


@dataclass(frozen=True)
class ConfidentErrors:
    """What confident learning says of n labels.

    likely: (n,) label that a photograph counts as with confidence, -1 for none.
    wrong: (n,) whether that is another than the one given.
    joint: (m, 3) given label, likely label and number of photographs, where there are some.
    """

    likely: Ints
    wrong: npt.NDArray[np.bool_]
    joint: Ints

    @property
    def doubted(self) -> int:
        """Number of labels off the diagonal of the joint."""
        return int(self.wrong.sum())


def label_probabilities(held_out: HeldOut) -> Values:
    """Probabilities (n, t) of the best ranked individuals: a softmax of their scores.

    Its sharpness is the likeliest, if a share of the labels, estimated with it, is drawn at random.
    """
    seen = held_out.scores[held_out.judged]
    spread = float(np.std(seen[np.isfinite(seen)])) if np.isfinite(seen).any() else 1.0
    given = (held_out.labels == held_out.given[:, None])[held_out.judged]
    best, chosen = -np.inf, 1.0
    for sharpness in _SHARPNESS / max(spread, 1e-9):
        own = np.where(given, _softmax(seen, sharpness), 0).sum(axis=1)
        for noise in _NOISE:
            fit = float(np.log((1 - noise) * own + noise / held_out.individuals).sum())
            if fit > best:
                best, chosen = fit, float(sharpness)
    return _softmax(held_out.scores, chosen)


def confident_errors(held_out: HeldOut) -> ConfidentErrors:
    """Count the confident joint of given and likely labels.

    A photograph counts as the likeliest of the individuals whose probability reaches the mean that
    photographs of that individual have.
    """
    probabilities = label_probabilities(held_out)
    given, judged = held_out.given, held_out.judged
    mine = np.where(held_out.labels == given[:, None], probabilities, 0).sum(axis=1)
    total = np.bincount(given[judged], mine[judged], minlength=held_out.individuals)
    number = np.bincount(given[judged], minlength=held_out.individuals)
    every = mine[judged].mean() if judged.any() else 1.0
    threshold = np.where(number > 0, total / np.maximum(number, 1), every)
    reached = (held_out.labels >= 0) & (probabilities >= threshold[held_out.labels])
    confident = np.where(reached, probabilities, -1)
    at = confident.argmax(axis=1)
    likely = np.where(judged & reached.any(axis=1), held_out.labels[np.arange(len(given)), at], -1)
    counts = likely >= 0
    pairs, number_of = np.unique(
        np.stack([given, likely], axis=1)[counts], axis=0, return_counts=True
    )
    joint = np.column_stack([pairs, number_of]).astype(np.int64)
    return ConfidentErrors(likely, counts & (likely != given), joint)


def _softmax(scores: Values, sharpness: float) -> Values:
    top = scores.max(axis=1, keepdims=True) if scores.size else scores
    powers = np.exp(sharpness * (scores - top))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
