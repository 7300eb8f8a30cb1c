"""The catalogue: joining two, by eye."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError


def test_catalogues_join_in_order_and_lack_nothing() -> None:
    one = Catalog(("a", "b"), (Path("a"), Path("b")), ("x", None), views=("left", None))
    other = Catalog(("c",), (Path("c"),), ("y",), boxes=((0, 0, 1, 2),))
    joined = Catalog.concatenate([one, Catalog(()), other])
    assert joined == Catalog(
        ("a", "b", "c"),
        (Path("a"), Path("b"), Path("c")),
        ("x", None, "y"),
        views=("left", None, None),
        boxes=(None, None, (0, 0, 1, 2)),
    )
    assert Catalog.concatenate([one]) == one
    assert len(Catalog.concatenate([])) == 0
    with pytest.raises(FlukeprintError, match="listed twice: a"):
        Catalog.concatenate([one, one.take([0])])


def test_catalogues_of_pixels_join() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    one = Catalog(("a", "b"), identities=("x", "y"), pixels=pixels[:2])
    joined = Catalog.concatenate([one, Catalog(("c",), pixels=pixels[2:])])
    assert joined.identities == ("x", "y", None)
    np.testing.assert_array_equal(joined.pixels, pixels)
    for other in (Catalog(("c",), (Path("c"),)), Catalog(("c",), pixels=pixels[:1, :1])):
        with pytest.raises(ValueError, match="do not join"):
            Catalog.concatenate([one, other])
