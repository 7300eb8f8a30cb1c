"""A gallery on disk against a plain list, killed at any point, and opened by two at once."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.search import gallery_store
from flukeprint.search.gallery import Gallery
from flukeprint.search.gallery_files import FACTS
from flukeprint.search.gallery_store import GalleryStore

D = 5


def drawn(n, start=0, views=None, stamp="net"):
    rng = np.random.default_rng(start)
    return Embeddings(
        vectors=unit_rows(rng.normal(size=(n, D))) if n else np.empty((0, D), np.float32),
        images=tuple(f"{start + i} \u00e9.jpg" for i in range(n)),
        identities=tuple(f"w {(start + i) % 4}" for i in range(n)),
        views=None if views is None else tuple(views[i % len(views)] for i in range(n)),
        stamp=stamp,
    )


def same(one: Embeddings, other: Embeddings) -> None:
    np.testing.assert_array_equal(one.vectors, other.vectors)
    nothing = (None,) * len(one)
    assert (one.images, one.identities) == (other.images, other.identities)
    assert (one.views or nothing) == (other.views or nothing)
    assert (one.stamp, one.precision) == (other.stamp, other.precision)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 6), st.sampled_from([None, ("a", None), ("b",)])),
        st.tuples(st.just("remove"), st.integers(0, 99), st.none()),
        st.tuples(st.just("reopen"), st.none(), st.none()),
        st.tuples(st.just("compact"), st.none(), st.none()),
    ),
    max_size=12,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_it_is_a_list_of_photographs(tmp_path: Path, steps) -> None:
    folder = tmp_path / "gallery"
    shutil.rmtree(folder, ignore_errors=True)
    first = drawn(3)
    store, rows = GalleryStore.create(folder, first), [first.take([i]) for i in range(3)]
    gone: set[int] = set()
    fresh = 100
    for what, number, views in steps:
        if what == "add":
            more = drawn(number, fresh, views)
            fresh += number
            assert store.append(more).tolist() == list(range(len(rows), len(rows) + number))
            rows += [more.take([i]) for i in range(number)]
        elif what == "remove":
            row = number % len(rows)
            if row in gone:
                with pytest.raises(KeyError):
                    store.remove([row])
            else:
                store.remove([row])
                gone.add(row)
        elif what == "compact":
            if len(rows) == len(gone):
                continue
            store = store.compact()
            rows, gone = [r for i, r in enumerate(rows) if i not in gone], set()
        else:
            store = GalleryStore.open(folder)
        left = [r for i, r in enumerate(rows) if i not in gone]
        assert len(store) == len(left)
        assert store.removed.tolist() == sorted(gone)
        if left:
            same(store.present, Embeddings.concatenate(left))


def test_vectors_are_looked_at_where_they_lie(tmp_path: Path) -> None:
    store = GalleryStore.create(tmp_path / "g", drawn(40))
    opened = GalleryStore.open(tmp_path / "g").embeddings
    assert isinstance(opened.vectors, np.memmap)
    assert not opened.vectors.flags.writeable
    # Who has looked keeps what was there, whatever comes behind.
    store.append(drawn(5, 100))
    same(opened, drawn(40))
    found = Gallery(opened).search(drawn(40), 1)
    assert found.rows[:, 0].tolist() == list(range(40))


@pytest.mark.parametrize("killed_after", range(6))
def test_killed_half_way_it_is_what_it_was(tmp_path: Path, monkeypatch, killed_after: int) -> None:
    store = GalleryStore.create(tmp_path / "g", drawn(4, views=("left",)))
    written = 0
    real = gallery_store.write_at

    def put(path: Path, start: int, data: bytes) -> None:
        nonlocal written
        if written == killed_after:
            real(path, start, data[: len(data) // 2])
            raise KeyboardInterrupt
        written += 1
        real(path, start, data)

    monkeypatch.setattr(gallery_store, "write_at", put)
    if killed_after < 5:
        with pytest.raises(KeyboardInterrupt):
            store.append(drawn(3, 50, views=("right",)))
        monkeypatch.undo()
        same(GalleryStore.open(tmp_path / "g").present, drawn(4, views=("left",)))
    else:
        store.append(drawn(3, 50, views=("right",)))
        monkeypatch.undo()
    again = GalleryStore.open(tmp_path / "g")
    again.append(drawn(2, 70))
    assert GalleryStore.open(tmp_path / "g").present.images[-2:] == drawn(2, 70).images
    # The writer that failed may try again, once it has looked.
    with pytest.raises(FlukeprintError, match="changed by another process"):
        store.append(drawn(1, 90))


def test_one_writes_at_a_time(tmp_path: Path) -> None:
    store = GalleryStore.create(tmp_path / "g", drawn(4))
    with FileLock(tmp_path / "g" / "lock"), pytest.raises(FlukeprintError, match="another process"):
        store.append(drawn(1, 9))
    store.append(drawn(1, 9))
    assert len(GalleryStore.open(tmp_path / "g")) == 5


def test_what_does_not_belong_is_refused(tmp_path: Path) -> None:
    store = GalleryStore.create(tmp_path / "g", drawn(4))
    for wrong, said in (
        (drawn(2), "in the gallery already: 0"),
        (drawn(2, 9, stamp="other"), "two networks"),
        (Embeddings(drawn(1, 9).vectors, ("a\nb",), ("w",), None, "net"), "one line"),
        (Embeddings(drawn(1, 9).vectors, ("a",), (None,), None, "net"), "without an identity"),
        (Embeddings(drawn(2, 9).vectors, ("a", "a"), ("w", "w"), None, "net"), "already: a"),
    ):
        with pytest.raises(FlukeprintError, match=said):
            store.append(wrong)
        same(GalleryStore.open(tmp_path / "g").present, drawn(4))
    with pytest.raises(FlukeprintError, match="already"):
        GalleryStore.create(tmp_path / "g", drawn(1))
    with pytest.raises(FlukeprintError, match="no gallery"):
        GalleryStore.open(tmp_path / "nowhere")
    for row in (-1, 4):
        with pytest.raises(KeyError):
            store.remove([row])


@pytest.mark.parametrize(
    "name", ["vectors.f32", "images.txt", "labels.i32", "identities.txt", FACTS]
)
def test_damage_is_one_clear_line(tmp_path: Path, name: str) -> None:
    GalleryStore.create(tmp_path / "g", drawn(40))
    file = tmp_path / "g" / name
    file.write_bytes(file.read_bytes()[:7])
    with pytest.raises(FlukeprintError, match="no whole gallery") as caught:
        GalleryStore.open(tmp_path / "g").present  # noqa: B018
    assert "\n" not in str(caught.value)


def test_a_later_format_is_not_guessed_at(tmp_path: Path) -> None:
    GalleryStore.create(tmp_path / "g", drawn(4))
    file = tmp_path / "g" / FACTS
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 9}))
    with pytest.raises(FlukeprintError, match="format 9"):
        GalleryStore.open(tmp_path / "g")


def test_enrolling_costs_what_is_enrolled(tmp_path: Path, monkeypatch) -> None:
    """Bytes that are written, whatever stands there already."""
    sizes = []
    real = gallery_store.write_at

    def put(path: Path, start: int, data: bytes) -> None:
        sizes[-1] += len(data)
        real(path, start, data)

    monkeypatch.setattr(gallery_store, "write_at", put)
    for n in (10, 1000):
        store = GalleryStore.create(tmp_path / str(n), drawn(n)) if not sizes.append(0) else None
        assert store is not None
        sizes.append(0)
        store.append(drawn(1, 5000))
    assert sizes[1] == sizes[3] < 100


def test_what_another_writes_is_not_lost_in_compacting(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    store = GalleryStore.create(folder, drawn(4))
    GalleryStore.open(folder).append(drawn(1, 9))
    with pytest.raises(FlukeprintError, match="load it again"):
        store.compact()
    with FileLock(folder / "lock"), pytest.raises(FlukeprintError, match="another process"):
        GalleryStore.open(folder).compact()
    assert len(GalleryStore.open(folder)) == 5


def test_a_reader_never_takes_compacted_rows_for_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    first = drawn(4)
    store = GalleryStore.create(folder, first)
    early, late = GalleryStore.open(folder), GalleryStore.open(folder)
    seen = early.embeddings
    store.remove([0])
    store.append(drawn(1, 9))
    store.compact()  # as long as it was, of other photographs
    same(seen, first)
    with pytest.raises(FlukeprintError, match=r"compacted.*load it again"):
        _ = late.embeddings
    assert tuple(GalleryStore.open(folder).embeddings.images) == (
        *first.images[1:],
        *drawn(1, 9).images,
    )


def test_nobody_knows_is_not_a_view_without_a_name(tmp_path: Path) -> None:
    store = GalleryStore.create(tmp_path / "g", drawn(4, views=("", None)))
    assert tuple(store.embeddings.views or ()) == ("", None, "", None)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    store = GalleryStore.create(tmp_path / "g", drawn(2))
    one = drawn(1, 5)
    odd = Embeddings(one.vectors, ("\ud800.jpg",), one.identities, None, "net")
    with pytest.raises(FlukeprintError, match="rename it"):
        store.append(odd)
    assert len(GalleryStore.open(tmp_path / "g")) == 2
