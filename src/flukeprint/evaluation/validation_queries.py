"""Save a fold's rankings with their right answers, to choose another threshold without a GPU.

A run keeps them as JSON; `validate_rankings` measures any `infer.threshold` on them, without
network or photographs.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.ranking.ranking import Ranking

QUERIES_FILE = "asked.json"  # in a run's folder


@dataclass(frozen=True)
class ValidationQueries:
    """The q queries of a fold, ranked without a threshold, with their right answers.

    answers: (q) the right answers, None for an individual absent from the gallery.
    individuals: (q) the true identity, also of absent individuals; None where unknown.
    """

    ranking: Ranking
    answers: tuple[str | None, ...]
    individuals: tuple[str | None, ...]

    def __post_init__(self) -> None:
        if not len(self.ranking) == len(self.answers) == len(self.individuals):
            raise ValueError("one answer and one individual for each query")

    def save(self, path: Path) -> None:
        """Write JSON that `load` reads back with equal numbers; a failure leaves no file."""
        r = self.ranking
        fields = {
            "images": r.images,
            "identities": r.identities,
            "scores": [[None if math.isnan(s) else s for s in line] for line in r.scores.tolist()],
            "rows": r.rows.tolist(),
            "best_known": r.best_known.tolist(),
            "answers": self.answers,
            "individuals": self.individuals,
        }
        with written_whole(path) as partial:
            partial.write_text(json.dumps(fields) + "\n")

    @classmethod
    def load(cls, path: Path) -> "ValidationQueries":
        """Read what `save` wrote.

        Raises:
            FlukeprintError: the file is missing or damaged.
        """
        try:
            fields = json.loads(path.read_text())
            scores = np.array(fields["scores"], dtype=np.float32)  # null becomes NaN
            ranking = Ranking(
                images=tuple(fields["images"]),
                identities=tuple(tuple(names) for names in fields["identities"]),
                scores=scores.reshape(len(fields["images"]), -1),
                rows=np.array(fields["rows"], dtype=np.int64).reshape(scores.shape),
                best_known=np.array(fields["best_known"], dtype=np.float32),
            )
            return cls(ranking, tuple(fields["answers"]), tuple(fields["individuals"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise FlukeprintError(f"{path} cannot be read: {reason}; train again") from None
