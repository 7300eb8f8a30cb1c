"""Combine the parts of an identity's score into one probability (`rank.fuse`).

    p = 1 / (1 + exp(-(offset + sum of weight * x)))

over the parts x of an identity: its score by embedding, the cosine to its class centre, and
log(1 + 10 s) of the strength s with which keypoints match.  The weights are not negative, so more
of a part is never worse.  `evaluation/fusion_fitting.py` fits them; parts that gain nothing there
have the weight 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import Field

from flukeprint.config.base import Section
from flukeprint.data.embeddings import Floats, Values

PARTS = ("embedding", "head", "keypoints")
_STRENGTH = 10.0  # how soon a stronger match of keypoints says little more


@dataclass(frozen=True)
class ScoreParts:
    """The parts of the scores of c identities for q queries, each (q, c) float32.

    embedding: by the ranking rules.  head: cosine to the class centre; keypoints: strengths >= 0;
    None where the rules have no such part.
    """

    embedding: Floats
    head: Floats | None = None
    keypoints: Floats | None = None

    def __iter__(self) -> Iterator[tuple[str, Values]]:
        """The names of the parts there are, with their numbers as they are weighted."""
        yield "embedding", self.embedding.astype(np.float64)
        if self.head is not None:
            yield "head", self.head.astype(np.float64)
        if self.keypoints is not None:
            yield "keypoints", damped(self.keypoints)

    @classmethod
    def joined(cls, blocks: "list[ScoreParts]") -> "ScoreParts":
        """Join blocks of queries one after the other."""
        heads = [block.head for block in blocks if block.head is not None]
        strengths = [block.keypoints for block in blocks if block.keypoints is not None]
        return cls(
            np.concatenate([block.embedding for block in blocks]),
            np.concatenate(heads) if heads else None,
            np.concatenate(strengths) if strengths else None,
        )


class PhotoScores(NamedTuple):
    """Scores of all n photographs of the gallery for one block of b queries.

    block: places of the queries.  raw, vectors: (b, d) their embeddings as the network made
    them, and whitened and expanded.  cosines: (b, n) of `vectors`; photos: (b, n) after the rules
    that look at neighbours and views.
    """

    block: slice
    raw: Floats
    vectors: Floats
    cosines: Floats
    photos: Floats


class PartScores(NamedTuple):
    """The parts of the scores of all c identities for one block of b queries.

    block, photos: as of `PhotoScores`.  strengths: (b, n) of matched keypoints, or None.
    """

    block: slice
    photos: Floats
    strengths: Floats | None
    parts: ScoreParts


def damped(strengths: Floats) -> Values:
    """log(1 + 10 s) of strengths of any shape."""
    return np.asarray(np.log1p(_STRENGTH * strengths.astype(np.float64)))


class Fusion(Section):
    """Weights of the parts of a score, fitted on queries of known answer.

    measured: MAP@5 on those queries of each part alone and of all together, the latter fitted on
    other individuals than it was measured on; for people.
    """

    embedding: float = Field(1.0, ge=0, allow_inf_nan=False)
    head: float = Field(0.0, ge=0, allow_inf_nan=False)
    keypoints: float = Field(0.0, ge=0, allow_inf_nan=False)
    offset: float = Field(0.0, allow_inf_nan=False)
    measured: dict[str, float] = Field(default_factory=dict)

    def __call__(self, parts: ScoreParts) -> Floats:
        """Probabilities (q, c) that each identity is the right one."""
        power = self.offset + sum(
            (self.weight(name) * values for name, values in parts if self.weight(name)),
            start=np.zeros(parts.embedding.shape),
        )
        return np.asarray(0.5 * (1 + np.tanh(power / 2)), dtype=np.float32)  # does not overflow

    def of_photographs(self, scores: Floats, strengths: Floats | None) -> Floats:
        """Order photographs (q, n) as the parts that they have do, to show an identity's best."""
        if not (self.embedding or (self.keypoints and strengths is not None)):
            return scores
        order = self.embedding * scores.astype(np.float64)
        if strengths is not None:
            order += self.keypoints * damped(strengths)
        return np.asarray(order, dtype=np.float32)

    def weight(self, part: str) -> float:
        """The weight of a part of `PARTS`."""
        return {"embedding": self.embedding, "head": self.head, "keypoints": self.keypoints}[part]

    def text(self) -> str:
        """One line for people: what was fitted, and what each part measured."""
        used = [f"{name} x {self.weight(name):.2f}" for name in PARTS if self.weight(name)]
        alone = [f"{name} {value:.3f}" for name, value in self.measured.items()]
        told = f"; MAP@5 on the fold: {', '.join(alone)}" if alone else ""
        return f"fused: {' + '.join(used)}{told}"
