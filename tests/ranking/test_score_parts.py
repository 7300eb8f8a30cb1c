"""The fused score: a probability by hand, never lower for more of a part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flukeprint.ranking.score_parts import Fusion, ScoreParts

WEIGHTS = st.floats(0, 1e4)


def parts(embedding: float, head: float, keypoints: float) -> ScoreParts:
    return ScoreParts(*(np.array([[x]], np.float32) for x in (embedding, head, keypoints)))


def test_it_is_the_logistic_of_weighted_parts() -> None:
    fusion = Fusion(embedding=2.0, head=3.0, keypoints=0.5, offset=-1.0)
    power = 2 * 0.25 + 3 * -0.5 + 0.5 * np.log(1 + 10 * 4.0) - 1
    got = fusion(parts(0.25, -0.5, 4.0))
    assert got.dtype == np.float32
    assert got[0, 0] == pytest.approx(1 / (1 + np.exp(-power)), rel=1e-6)
    # A part that is not there counts for nothing.
    alone = fusion(ScoreParts(np.array([[0.25]], np.float32)))
    assert alone[0, 0] == pytest.approx(1 / (1 + np.exp(0.5)), rel=1e-6)


@given(
    st.tuples(WEIGHTS, WEIGHTS, WEIGHTS), st.floats(-1e4, 1e4),
    st.tuples(st.floats(-2, 2), st.floats(-1, 1), st.floats(0, 1e3)),
    st.tuples(st.floats(0, 2), st.floats(0, 1), st.floats(0, 1e3)),
)  # fmt: skip
def test_it_lies_from_0_to_1_and_more_of_a_part_is_never_worse(
    weights: tuple[float, float, float], offset: float,
    less: tuple[float, float, float], more: tuple[float, float, float],
) -> None:  # fmt: skip
    fusion = Fusion(embedding=weights[0], head=weights[1], keypoints=weights[2], offset=offset)
    low = float(fusion(parts(*less))[0, 0])
    assert 0 <= low <= 1
    for place in range(3):
        raised = list(less)
        raised[place] += more[place]
        assert float(fusion(parts(*raised))[0, 0]) >= low


def test_photographs_of_an_identity_are_ordered_by_the_parts_that_they_have() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 7)).astype(np.float32)
    strengths = rng.exponential(size=(2, 7)).astype(np.float32)
    fusion = Fusion(embedding=2.0, keypoints=3.0, head=9.0)
    want = 2.0 * scores + 3.0 * np.log(1 + 10 * strengths)
    np.testing.assert_allclose(fusion.of_photographs(scores, strengths), want, rtol=1e-5)
    np.testing.assert_allclose(fusion.of_photographs(scores, None), 2 * scores, rtol=1e-6)
    head_alone = Fusion(embedding=0.0, head=1.0)
    assert head_alone.of_photographs(scores, strengths) is scores


@pytest.mark.parametrize("wrong", [{"head": -1}, {"offset": np.inf}, {"keypoints": np.nan}])
def test_negative_and_endless_weights_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Fusion(**wrong)


def test_blocks_are_joined() -> None:
    both = ScoreParts.joined([parts(1, 2, 3), parts(4, 5, 6)])
    assert both.embedding.tolist() == [[1], [4]]
    assert both.head is not None
    assert both.keypoints is not None
    assert both.head.tolist() == [[2], [5]]
    assert both.keypoints.tolist() == [[3], [6]]
    plain = ScoreParts(np.ones((2, 3), np.float32))
    joined = ScoreParts.joined([plain, plain])
    assert (joined.head, joined.keypoints, joined.embedding.shape) == (None, None, (4, 3))


def test_it_is_told_in_one_line() -> None:
    fusion = Fusion(embedding=2.0, keypoints=0.5, measured={"embedding": 0.5, "keypoints": 0.75})
    assert fusion.text() == (
        "fused: embedding x 2.00 + keypoints x 0.50; MAP@5 on the fold: embedding 0.500, "
        "keypoints 0.750"
    )
