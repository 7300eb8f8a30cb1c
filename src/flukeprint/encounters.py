"""Several photographs of one encounter: a ranking of each enters, one ranking of all leaves."""

import numpy as np

from flukeprint.ranking import Ranking


def encounter(ranking: Ranking) -> Ranking:
    """One query instead of q: an identity's score is its mean over the photographs.

    ranking: of all identities for each photograph, made without a threshold.  The photo that
    speaks for an identity is that of the photograph with its best score (the first of equals).
    Equal means are ordered by that photo's row, as everywhere.  A mean keeps the range of a single
    photograph's scores, so thresholds and calibrations keep their meaning.

    Raises ValueError for rankings that lack an identity.
    """
    first = ranking.identities[0] if len(ranking) else ()
    names = sorted(name for name in first if name is not None)
    if not names or len(names) < len(first):
        raise ValueError("an encounter needs photographs ranked without a threshold")
    place: dict[str | None, int] = {name: column for column, name in enumerate(names)}
    q, n = len(ranking), len(names)
    scores = np.full((q, n), np.nan)
    rows = np.full((q, n), -1, dtype=np.int64)
    for query, found in enumerate(ranking.identities):
        columns = [place[name] for name in found if name in place]
        if not len(columns) == len(found) == n:
            raise ValueError("each photograph must be ranked against the same identities")
        scores[query, columns] = ranking.scores[query, :n]
        rows[query, columns] = ranking.rows[query, :n]
    mean = scores.mean(axis=0).astype(np.float32)
    speaking = rows[scores.argmax(axis=0), np.arange(n)]
    order = np.lexsort((speaking, -mean))
    top = ranking.scores.shape[1]
    return Ranking(
        images=ranking.images[:1],
        identities=(tuple(names[i] for i in order),),
        scores=np.concatenate([mean[order], np.full(top - n, np.nan, np.float32)])[None],
        rows=np.concatenate([speaking[order], np.full(top - n, -1)])[None],
        best_known=mean[order][:1],
    )
