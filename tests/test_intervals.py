"""Wilson's interval against its definition: where the normal test just accepts the share."""

import numpy as np
import pytest

from flukeprint.intervals import wilson


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("n", [1, 10, 1000])
def test_ends_are_as_far_as_the_normal_test_allows(share: float, n: int) -> None:
    low, high = wilson(share, n)
    assert 0 <= low <= share <= high <= 1
    for end in (float(low), float(high)):
        if 0 < end < 1:
            assert abs(share - end) == pytest.approx(1.96 * np.sqrt(end * (1 - end) / n), abs=1e-9)


def test_arrays_give_an_interval_of_each_share() -> None:
    shares, counts = np.array([0.2, 0.9]), np.array([5, 50])
    lows, highs = wilson(shares, counts)
    for place, (share, n) in enumerate(zip(shares, counts, strict=True)):
        assert (lows[place], highs[place]) == wilson(share, n)


def test_more_draws_give_a_narrower_interval() -> None:
    lows, highs = wilson(np.full(3, 0.3), np.array([10, 100, 1000]))
    assert (np.diff(highs - lows) < 0).all()
