"""Copies and groups where one picture shows several animals in boxes of their own."""

from pathlib import Path

import numpy as np

from flukeprint.data.catalog import Box, Catalog
from flukeprint.data.copies import copies_of
from flukeprint.data.groups import photo_groups

LEFT, RIGHT = (0.0, 0.0, 5.0, 10.0), (5.0, 0.0, 10.0, 10.0)


def catalog_of(
    *rows: tuple[str, str | None, Box | None], bursts: tuple[str | None, ...] | None = None
) -> Catalog:
    """Rows of (picture, identity, box); pictures of one letter have the same bytes."""
    names = tuple(f"{row}{picture}" for row, (picture, _, _) in enumerate(rows))
    pixels = np.array([[[ord(picture[0])]] for picture, _, _ in rows], dtype=np.uint8)
    return Catalog(
        images=names,
        identities=tuple(name for _, name, _ in rows),
        boxes=tuple(box for _, _, box in rows),
        bursts=bursts,
        pixels=pixels,
    )


def copies(catalog: Catalog, hashes: list[int] | None = None):  # type: ignore[no-untyped-def]
    digests = [image[1:] for image in catalog.images]
    return copies_of(catalog, digests, hashes or [0] * len(catalog))


def test_two_boxes_of_a_picture_are_no_copies() -> None:
    two = catalog_of(("a", "w_1", LEFT), ("a", "w_2", RIGHT), ("a", "w_3", None))
    assert copies(two) == copies_of(two, ["1", "2", "3"], [0, 0, 0])
    assert copies(two).exact == ()


def test_one_box_under_two_names_is_a_conflict() -> None:
    same = (0.2, 0.4, 4.9, 9.5)  # the same pixels as LEFT
    one = catalog_of(("a", "w_1", LEFT), ("a", "w_2", RIGHT), ("a", "w_3", same))
    assert copies(one).exact == copies(one).exact_torn == (("0a", "2a"),)
    agreed = catalog_of(("a", "w_1", LEFT), ("a", "w_1", LEFT))
    assert copies(agreed).exact == (("0a", "1a"),)
    assert copies(agreed).exact_torn == ()
    nobody = catalog_of(("a", "w_1", LEFT), ("a", None, LEFT))
    assert copies(nobody).exact_torn == (("0a", "1a"),)


def test_near_copies_of_a_picture_with_two_animals() -> None:
    rows = (("a", "w_1", LEFT), ("a", "w_2", RIGHT), ("b", "w_2", None))
    found = copies(catalog_of(*rows), [1023, 1023, 1023])
    assert found.near == (("0a", "1a", "2b"),)
    assert found.near_torn == ()
    assert copies(catalog_of(*rows[:2]), [1023, 1023]).near == ()
    other = catalog_of(*rows[:2], ("b", "w_3", None))
    assert copies(other, [1023, 1023, 1023]).near_torn == (("0a", "1a", "2b"),)


def test_boxes_of_a_picture_stay_together_but_may_be_two_animals() -> None:
    catalog = catalog_of(
        ("a", "w_1", LEFT), ("a", "w_2", RIGHT), ("b", "w_2", None), ("a", "w_3", LEFT),
        ("c", "w_4", None), bursts=(None, "1", "1", None, "1"),
    )  # fmt: skip
    together, alike = photo_groups(catalog)
    assert together.tolist() == [0, 0, 0, 0, 1]
    assert alike.tolist() == [0, 1, 1, 0, 2]


def test_a_file_of_two_boxes_is_read_once(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.jpg"
    path.write_bytes(b"picture")
    opened = []
    read = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a: opened.append(self) or read(self, *a))
    pair = Catalog(("a_1", "a_2"), (path, path), ("w_1", "w_2"), boxes=(LEFT, RIGHT))
    together, alike = photo_groups(pair)
    assert (together.tolist(), alike.tolist()) == ([0, 0], [0, 1])
    assert opened == [path]
