"""What embeddings are made of: unit rows, stamps of networks, and arrays that grow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.embeddings import (
    PRECISIONS,
    Embeddings,
    GrowingArray,
    Precision,
    check_stamp,
    unit_rows,
)
from flukeprint.errors import FlukeprintError


def embedded(n: int, stamp: str = "net", precision: Precision = "fp32") -> Embeddings:
    names = tuple(f"{row}.jpg" for row in range(n))
    return Embeddings(unit_rows(np.eye(4)[:n]), names, names, None, stamp, precision)


numbers = st.just(0.0) | st.floats(1e-100, 1e100) | st.floats(-1e100, -1e-100)


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1))
def test_rows_have_length_one_or_are_refused(rows: list[list[float]]) -> None:
    if any(not np.linalg.norm(row) for row in rows):
        with pytest.raises(ValueError, match="rows of zeros"):
            unit_rows(rows)
        return
    units = unit_rows(rows)
    assert units.dtype == np.float32
    for row, unit in zip(rows, units, strict=True):
        assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(unit, np.array(row) / np.linalg.norm(row), atol=1e-6)


def test_stamps_of_one_network_are_accepted_in_any_form() -> None:
    one, other = embedded(2), embedded(3)
    for first in (one, "net"):
        for second in (other, "net"):
            check_stamp(first, second)


def test_the_message_names_both_networks_and_what_they_embedded() -> None:
    with pytest.raises(FlukeprintError) as caught:
        check_stamp(embedded(2), "other", first="the gallery", second="the queries")
    assert str(caught.value) == (
        "embeddings of two networks do not compare: net made those of the gallery, "
        "other those of the queries; embed both with one network"
    )
    with pytest.raises(FlukeprintError, match=r"of the gallery, x those of the other"):
        check_stamp("net", embedded(1, "x"))


def test_joined_embeddings_have_the_coarsest_precision() -> None:
    for precision in PRECISIONS:
        exact, coarse = embedded(2), embedded(1, precision=precision)
        assert Embeddings.concatenate([exact, coarse]).precision == precision
        assert exact.followed_by(coarse).precision == precision
        assert coarse.followed_by(exact).precision == precision


def test_trusted_embeddings_are_not_read_but_counted() -> None:
    names = ("a", "b")
    wild = np.full((2, 3), np.nan, np.float32)
    trusted = Embeddings.trusted(wild, names, names, None, "net", "fp16")
    assert trusted.vectors is wild
    assert (trusted.images, trusted.precision, len(trusted)) == (names, "fp16", 2)
    with pytest.raises(ValueError, match="for 2 photos"):
        Embeddings.trusted(wild[:1], names, names, None, "net", "fp32")


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(0, 3))
def test_a_growing_array_is_a_list_of_rows(counts: list[int], start: int) -> None:
    first = np.arange(2 * start).reshape(start, 2)
    before = first.copy()
    array = GrowingArray(first)
    rows = first.tolist()
    for step, count in enumerate(counts):
        earlier, expected = array.all, list(rows)
        more = np.full((count, 2), step)
        array.extend(more)
        rows += more.tolist()
        assert array.all.tolist() == rows
        assert earlier.tolist() == expected  # what was handed out before stays as it was
        assert len(array) == len(rows)
    assert array.nbytes >= array.all.nbytes
    array.clear()
    assert len(array) == 0
    array.extend(np.ones((1, 2), int))
    assert array.all.tolist() == [[1, 1]]
    np.testing.assert_array_equal(first, before)


def test_rows_are_rarely_copied() -> None:
    array = GrowingArray(np.zeros((1, 8), np.float32))
    places = set()
    for _ in range(1000):
        array.extend(np.zeros((1, 8), np.float32))
        places.add(array.nbytes)
    assert len(places) <= 11  # doubled each time
