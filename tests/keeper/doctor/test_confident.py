"""Confident learning, beside a small example worked by hand and a plain recomputation."""

import numpy as np

from flukeprint.keeper.doctor.confident import HeldOut, confident_errors, label_probabilities


def drawn(n: int = 300, k: int = 6, wrong: int = 20, seed: int = 0) -> tuple[HeldOut, np.ndarray]:
    """Scores of all k individuals, the true one's higher; the labels of the first are wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    given = truth.copy()
    given[:wrong] = (truth[:wrong] + rng.integers(1, k, wrong)) % k
    scores = rng.normal(0, 0.1, (n, k))
    scores[np.arange(n), truth] += 0.5
    order = np.argsort(-scores, axis=1)
    return (
        HeldOut(
            given, order, np.take_along_axis(scores, order, 1), order + 100, np.ones(n, bool), k
        ),
        scores,
    )


def test_planted_labels_are_doubted_and_hardly_any_other():
    held_out, _ = drawn()
    found = confident_errors(held_out)
    assert found.wrong[:20].sum() >= 16
    assert found.wrong[20:].sum() <= 3
    assert found.doubted == found.wrong.sum()


def test_the_joint_is_that_of_the_paper():
    held_out, scores = drawn(120, 4, 15, seed=2)
    probabilities = label_probabilities(held_out)
    p = np.zeros_like(scores)
    np.put_along_axis(p, held_out.labels, probabilities, 1)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    k = 4
    threshold = [p[held_out.given == j, j].mean() for j in range(k)]
    joint = np.zeros((k, k), int)
    for row, given in enumerate(held_out.given):
        over = [j for j in range(k) if p[row, j] >= threshold[j]]
        if over:
            joint[given, max(over, key=lambda j: p[row, j])] += 1
    found = confident_errors(held_out)
    mine = np.zeros((k, k), int)
    mine[found.joint[:, 0], found.joint[:, 1]] = found.joint[:, 2]
    np.testing.assert_array_equal(mine, joint)
    assert found.doubted == joint.sum() - np.trace(joint)


def test_sharpness_is_the_likeliest():
    held_out, scores = drawn(400, 5, 0, seed=3)
    p = label_probabilities(held_out)
    own = np.where(held_out.labels == held_out.given[:, None], p, 0).sum(axis=1)

    def likelihood(sharpness: float) -> float:
        soft = np.exp(sharpness * scores)
        soft /= soft.sum(axis=1, keepdims=True)
        mine = soft[np.arange(len(scores)), held_out.given]
        return float(np.log(0.99 * mine + 0.01 / 5).sum())

    tried = [likelihood(s) for s in np.geomspace(1, 100, 60)]
    assert np.log(0.99 * own + 0.01 / 5).sum() > max(tried) - 3


def test_photographs_that_cannot_be_judged_are_not():
    held_out, _ = drawn()
    held_out.judged[:20] = False
    assert not confident_errors(held_out).wrong[:20].any()


def test_an_individual_far_down_the_ranking_has_at_most_the_last_score():
    held_out = HeldOut(
        np.array([7, 0]), np.array([[1, 2], [0, -1]]), np.array([[0.9, 0.4], [0.8, -np.inf]]),
        np.array([[10, 11], [12, -1]]), np.ones(2, bool), 8,
    )  # fmt: skip
    own, best = held_out.own()
    assert own.tolist() == [0.4, 0.8]
    assert best.tolist() == [0.9, -np.inf]
    assert held_out.rivals()[0].tolist()[0] == 1
