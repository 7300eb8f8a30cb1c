"""Embeddings validate themselves, and their files are whole or refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.search.index import IdentityMatches, Matches
from tests.search.crowded import embedded


def drawn(n, d=6, names=4, seed=0):
    """Small whole coordinates, so that equal photos and equal scores occur."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (n, d))
    vectors[~vectors.any(axis=1), 0] = 1
    return embedded(vectors, [f"w{i}" for i in rng.integers(0, names, n)])


def test_embeddings_validate_themselves():
    good = embedded([[3, 4]], ["a"])
    assert good.vectors.tolist() == [[np.float32(0.6), np.float32(0.8)]]
    for vectors in ([[1.0, 1.0]], [[np.nan, 0.0]], [[0.0, 0.0]]):
        with pytest.raises(ValueError, match=r"length 1; these have not: x\.jpg"):
            Embeddings(np.array(vectors, dtype=np.float32), ("x.jpg",), ("a",), None, "net")
    with pytest.raises(ValueError, match="float32"):
        Embeddings(np.eye(2), ("x", "y"), ("a", "b"), None, "net")
    with pytest.raises(ValueError, match="identities has 1 entries for 2"):
        Embeddings(np.eye(2, dtype=np.float32), ("x", "y"), ("a",), None, "net")
    with pytest.raises(ValueError, match=r"rows of zeros.*1"):
        unit_rows([[1, 0], [0, 0]])
    with pytest.raises(ValueError, match="descend"):
        Matches(np.array([[0.1, 0.2]], dtype=np.float32), np.array([[0, 1]]))
    score, row = np.ones((1, 1), dtype=np.float32), np.zeros((1, 1), dtype=np.int64)
    with pytest.raises(ValueError, match="differ"):
        IdentityMatches(score, np.zeros((1, 2), dtype=np.int64), row, ("a",))


def test_what_follows_leaves_those_before_as_they_were():
    rng = np.random.default_rng(0)

    def some(count: int, letter: str, views: tuple[str, ...] | None = None) -> Embeddings:
        names = tuple(f"{letter}{row}" for row in range(count))
        return Embeddings(unit_rows(rng.normal(size=(count, 4))), names, names, views, "net")

    first = some(3, "a", ("left", "right", "left"))
    was = first.vectors.copy()
    grown, parts = first, [first]
    for letter in "bcdef":
        parts.append(some(2, letter))
        longer = grown.followed_by(parts[-1])
        whole = Embeddings.concatenate(parts)
        assert (longer.images, longer.identities) == (whole.images, whole.identities)
        assert longer.views == whole.views
        np.testing.assert_array_equal(longer.vectors, whole.vectors)
        np.testing.assert_array_equal(grown.vectors, whole.vectors[: len(grown)])
        grown = longer
    np.testing.assert_array_equal(first.vectors, was)

    # A second line from the same beginning does not write over the first.
    kept = grown.vectors.copy()
    other = parts[-1]
    beside = first.followed_by(other)
    np.testing.assert_array_equal(grown.vectors, kept)
    np.testing.assert_array_equal(beside.vectors, np.concatenate([was, other.vectors]))
    with pytest.raises(FlukeprintError, match="two networks"):
        first.followed_by(replace(other, stamp="another"))


def test_taking_and_concatenating():
    one = embedded(np.eye(3), ["a", None, "b"], views=("left", None, "right"))
    assert one.take([2, 0]).images == ("2.jpg", "0.jpg")
    assert one.take(np.array([True, False, True])).identities == ("a", "b")
    both = Embeddings.concatenate([one, embedded(np.eye(3)[:1], ["c"])])
    assert both.identities == ("a", None, "b", "c")
    assert both.views == ("left", None, "right", None)
    assert np.array_equal(both.vectors, np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])
    with pytest.raises(FlukeprintError, match="two networks"):
        Embeddings.concatenate([one, embedded(np.eye(3), stamp="other")])


@pytest.mark.parametrize("views", [None, ("left", None)])
def test_what_is_saved_is_loaded(tmp_path: Path, views):
    one = Embeddings(np.eye(2, dtype=np.float32), ("ñandú 1.jpg", "b"), ("ä", None), views, "s")
    one.save(tmp_path / "new" / "gallery.npz")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["gallery.npz"]
    again = Embeddings.load(tmp_path / "new" / "gallery.npz")
    assert np.array_equal(one.vectors, again.vectors)
    for name in ("images", "identities", "views", "stamp"):
        assert getattr(one, name) == getattr(again, name)


def test_a_bad_file_is_one_clear_line(tmp_path: Path):
    path = tmp_path / "gallery.npz"
    with pytest.raises(FlukeprintError, match="no embeddings at"):
        Embeddings.load(path)
    drawn(500).save(path)
    whole = path.read_bytes()
    array = tmp_path / "array"
    np.savez(array, vectors=np.eye(2))
    pickled = tmp_path / "pickled"
    np.savez(pickled, vectors=np.eye(2), facts=np.array([{}], dtype=object))
    bad = [b"", b"text", whole[:-100], whole[: len(whole) // 2]]
    bad += [array.with_suffix(".npz").read_bytes(), pickled.with_suffix(".npz").read_bytes()]
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(FlukeprintError, match="holds no whole embeddings") as error:
            Embeddings.load(path)
        assert "\n" not in str(error.value)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch):
    path = tmp_path / "gallery.npz"
    drawn(3).save(path)
    before = path.read_bytes()

    def full(*_args, **_arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FlukeprintError, match="No space left"):
        drawn(4).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
