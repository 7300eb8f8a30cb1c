"""The catalogue: joining and selecting photographs, and columns that do not fit."""

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


def test_photos_are_selected_in_any_order_with_all_that_is_known() -> None:
    pixels = np.arange(3, dtype=np.uint8).reshape(3, 1, 1)
    catalog = Catalog(("a", "b", "c"), None, ("x", None, "x"), ("left", None, "up"), pixels=pixels)
    picked = catalog.take([2, 0])
    assert (picked.images, picked.identities, picked.views) == (
        ("c", "a"),
        ("x", "x"),
        ("up", "left"),
    )
    assert picked.pixels is not None
    assert picked.pixels.ravel().tolist() == [2, 0]
    assert catalog.take(catalog.known).images == ("a", "c")
    assert len(catalog.take([])) == 0


def test_identities_are_counted_and_numbered() -> None:
    catalog = Catalog(("a", "b", "c", "d"), tuple(map(Path, "abcd")), ("y", None, "x", "y"))
    assert catalog.counts() == {"y": 2, "x": 1}
    assert catalog.vocabulary() == ("x", "y")
    assert catalog.known.tolist() == [True, False, True, True]


def test_columns_of_other_lengths_are_refused() -> None:
    for wrong in ({"identities": ("x",)}, {"views": ("left",)}, {"paths": (Path("a"),)}):
        with pytest.raises(ValueError, match="has 1 entries for 2 photos"):
            Catalog(("a", "b"), **{"paths": (Path("a"), Path("b")), **wrong})
    with pytest.raises(ValueError, match="either paths or pixels"):
        Catalog(("a",))
