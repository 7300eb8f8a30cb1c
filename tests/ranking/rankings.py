"""Drawn rankings with their right answers."""

import numpy as np
from hypothesis import strategies as st

from flukeprint.ranking.ranking import Ranking, rank
from flukeprint.search.index import IdentityMatches

# Few distinct values, so that equal scores occur.
SCORES = st.sampled_from([-0.5, 0.0, 0.1, 0.25, 0.3, 0.300001, 0.7, 1.0])


def matched(scores, vocabulary=None):
    """Query i finds its identities in vocabulary order from i on; photo = 10 x identity."""
    scores = np.array(scores, dtype=np.float32)
    q, t = scores.shape
    names = tuple(vocabulary or (f"w{i}" for i in range(t)))
    labels = (np.arange(q)[:, None] + np.arange(t)) % len(names)
    return IdentityMatches(scores, labels, labels * 10, names)


def ranked(matches, threshold=None):
    return rank(matches, [f"{i}.jpg" for i in range(len(matches.scores))], threshold=threshold)


@st.composite
def rankings(draw):
    """A ranking without threshold, and answers: an identity found, one not found, or None."""
    q, t = draw(st.integers(1, 12)), draw(st.integers(1, 7))
    rows = [sorted(draw(st.lists(SCORES, min_size=t, max_size=t)), reverse=True) for _ in range(q)]
    ranking = ranked(matched(rows), threshold=None)
    names = [f"w{i}" for i in range(t)]
    answers = draw(st.lists(st.sampled_from([*names, None, None]), min_size=q, max_size=q))
    return ranking, answers


def plain_ranking(scores: np.ndarray) -> Ranking:
    """Query i answers w0, w1, ... with the descending scores of row i."""
    q, t = scores.shape
    padded = np.full((q, 5), np.nan, dtype=np.float32)
    padded[:, :t] = scores[:, :5]
    return Ranking(
        images=tuple(f"{i}.jpg" for i in range(q)),
        identities=(tuple(f"w{i}" for i in range(min(t, 5))),) * q,
        scores=padded,
        rows=np.where(np.isnan(padded), -1, 0),
        best_known=padded[:, 0].copy(),
    )


def drawn_answers(q: int, seed: int = 0) -> tuple[Ranking, list[str | None]]:
    """Queries of known and new animals: the surer, the higher and the further ahead."""
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.uniform(0, 0.8, (q, 6)), axis=1)
    kind = rng.choice(4, size=q, p=[0.45, 0.15, 0.1, 0.3])
    scores[:, 0] += np.where(kind == 0, 0.2 * rng.random(q), 0)
    answers: list[str | None] = [["w0", "w2", "elsewhere", None][k] for k in kind]
    return plain_ranking(scores), answers
