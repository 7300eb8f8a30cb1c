"""An identifier on disk: several writers, killed ones, changed bytes."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint import drafts
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.errors import FlukeprintError
from flukeprint.files import locked_for_writing
from flukeprint.identifier import files
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.integrity import CHUNK, check_files, digest_files
from tests.identifier.drawn_identifiers import build, config, shapes
from tests.identifier.earlier import without_digests
from tests.refusals import refused

forked = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    build(config(folder), shapes(6, 3), threshold=0.5).save(folder / "kept")
    return folder / "kept"


@pytest.fixture
def kept(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "kept")
    return tmp_path / "kept"


def stranger(number: int) -> np.ndarray:
    return draw_shape(40 + number, 7, 64)


def names(folder: Path) -> list[str | None]:
    return list(Identifier.load(folder).gallery.identities)


# ---------------------------------------------------------------- several writers


def test_what_two_have_enrolled_at_once_is_all_there(kept: Path) -> None:
    first, second = Identifier.load(kept), Identifier.load(kept)
    first = first.enroll("w_one", [stranger(0)]).save(kept)
    joined = second.enroll("w_two", [stranger(1)]).save(kept)
    assert names(kept)[18:] == ["w_one", "w_two"]
    assert joined.gallery.identities == Identifier.load(kept).gallery.identities
    assert [n[0] for n in joined.identify([stranger(0), stranger(1)]).identities] == [
        "w_one", "w_two",
    ]  # fmt: skip
    # The first one, which has not seen the second's, goes on.
    first.enroll("w_three", [stranger(2)]).save(kept)
    assert names(kept)[18:] == ["w_one", "w_two", "w_three"]
    assert len(set(Identifier.load(kept).gallery.images)) == 21


def test_what_is_saved_twice_is_there_once(kept: Path) -> None:
    grown = Identifier.load(kept).enroll("w_one", [stranger(0)])
    grown.save(kept)
    Identifier.load(kept).enroll("w_two", [stranger(1)]).save(kept)
    grown.save(kept)
    grown.enroll("w_three", [stranger(2)]).save(kept)
    assert names(kept)[18:] == ["w_one", "w_two", "w_three"]


def test_an_older_state_does_not_undo_a_newer_one(kept: Path) -> None:
    old = Identifier.load(kept)
    Identifier.load(kept).enroll("w_one", [stranger(0)]).save(kept)
    old.save(kept)
    assert names(kept)[18:] == ["w_one"]


def test_one_photograph_for_two_animals_is_refused_when_it_is_saved(kept: Path) -> None:
    first, second = Identifier.load(kept), Identifier.load(kept)
    first.enroll("w_one", [stranger(0)]).save(kept)
    late = second.enroll("w_two", [stranger(0)])
    refused(lambda: late.save(kept), "in the gallery already", "w_one")
    assert names(kept)[18:] == ["w_one"]


def test_settings_and_photographs_changed_at_once_are_joined(kept: Path) -> None:
    first, second, third = (Identifier.load(kept) for _ in range(3))
    first.enroll("w_one", [stranger(0)]).save(kept)
    second.with_threshold(0.7).save(kept)
    there = Identifier.load(kept)
    assert (there.card.threshold, len(there.gallery)) == (0.7, 19)
    refused(lambda: third.with_threshold(0.1).save(kept), "load it again")
    third.enroll("w_two", [stranger(1)]).save(kept)
    assert Identifier.load(kept).card.threshold == 0.7


def test_one_that_was_replaced_is_not_joined(kept: Path, tmp_path: Path) -> None:
    mine = Identifier.load(kept).enroll("w_one", [stranger(0)])
    build(config(tmp_path), shapes(5, 2)).save(kept)
    refused(lambda: mine.save(kept), "load it again", str(kept))
    assert len(Identifier.load(kept).gallery) == 10


def _enroll_some(folder: Path, who: int, count: int) -> None:
    for number in range(count):
        place = 10 * who + number
        Identifier.load(folder).enroll(f"w_{place}", [stranger(place)]).save(folder)
    os._exit(0)


def test_processes_that_enroll_at_once_lose_nothing(kept: Path) -> None:
    running = [forked.Process(target=_enroll_some, args=(kept, who, 4)) for who in range(3)]
    for process in running:
        process.start()
    while any(process.is_alive() for process in running):
        assert len(Identifier.load(kept).gallery) >= 18  # always readable
    assert [process.exitcode for process in running] == [0, 0, 0]
    assert sorted(map(str, names(kept)[18:])) == sorted(
        f"w_{10 * who + number}" for who in range(3) for number in range(4)
    )
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


def test_a_writer_waits_for_another_and_says_so(kept: Path) -> None:
    waits: list[str] = []
    with locked_for_writing(kept):
        refused(
            lambda: locked_for_writing(kept, waits.append, patience=0.1).__enter__(),
            "still writing", str(kept),
        )  # fmt: skip
    assert len(waits) == 1
    with locked_for_writing(kept, waits.append):
        pass
    assert len(waits) == 1


def _hold(folder: Path, held: "multiprocessing.synchronize.Event") -> None:
    with locked_for_writing(folder):
        held.set()
        time.sleep(60)


def test_a_killed_process_leaves_no_lock(kept: Path) -> None:
    held = forked.Event()
    process = forked.Process(target=_hold, args=(kept, held))
    process.start()
    assert held.wait(30)
    process.kill()
    process.join()
    with locked_for_writing(kept, patience=5):
        pass


def test_a_lock_of_a_replaced_folder_keeps_nobody_out(kept: Path) -> None:
    """What waits for a writer that replaces the folder must then have the new folder's lock."""
    held, going = forked.Event(), forked.Event()

    def replace_it() -> None:
        with locked_for_writing(kept):
            held.set()
            going.wait(30)
            fresh = kept.with_name("fresh")
            shutil.copytree(kept, fresh)
            drafts.replace_folder(fresh, kept)
        os._exit(0)

    process = forked.Process(target=replace_it)
    process.start()
    assert held.wait(30)
    with locked_for_writing(kept, lambda _: going.set(), patience=30):
        other = forked.Process(target=_try_lock, args=(kept,))
        other.start()
        other.join()
        assert other.exitcode == 3
    process.join()


def _try_lock(folder: Path) -> None:
    try:
        with locked_for_writing(folder, patience=0.1):
            os._exit(0)
    except FlukeprintError:
        os._exit(3)


# ---------------------------------------------------------------- killed writers


MOMENTS = ["write_network", "write_gallery", "write_digests", "replace", "after"]


def _killed_save(folder: Path, moment: str) -> None:
    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    from flukeprint import files as atomic
    from flukeprint.identifier import state as module

    grown = Identifier.load(folder).enroll("w_one", [stranger(0)])
    if moment == "replace":
        atomic.replace_folder = die  # type: ignore[assignment]
    elif moment == "after":  # the new folder is in its place, the old one not yet removed
        drafts.shutil.rmtree = die  # type: ignore[attr-defined]
    else:
        real = getattr(module, moment)

        def half(*given: object) -> object:
            real(*given)
            return die()

        setattr(module, moment, half)
    grown.save(folder)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_writer_leaves_the_old_or_the_new_state(kept: Path, moment: str) -> None:
    process = forked.Process(target=_killed_save, args=(kept, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(kept.parent.iterdir())) == 2  # its draft is left over
    expected = ["w_one"] if moment == "after" else []
    assert names(kept)[18:] == expected
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]
    Identifier.load(kept).enroll("w_two", [stranger(1)]).save(kept)
    assert names(kept)[18:] == [*expected, "w_two"]


def test_a_draft_that_is_being_written_stays(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    with drafts.draft_of(target) as mine, drafts.draft_of(tmp_path / "f", folder=True) as folder:
        drafts.clear_drafts(tmp_path)
        assert mine.exists()
        assert folder.is_dir()
    left = tmp_path / ".table.csv.abcdefgh.partial"
    left.write_text("half")
    own = [tmp_path / name for name in (".table.csv.swp", ".partial", ".hidden", "a.partial")]
    for file in own:
        file.write_text("the user's")
    drafts.clear_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(own)


def test_without_an_exchange_a_folder_is_replaced_in_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "_exchange", lambda: None)
    draft, target = tmp_path / ".t.abcdefgh.partial", tmp_path / "t"
    for folder, text in ((draft, "new"), (target, "old")):
        folder.mkdir()
        (folder / "a").write_text(text)
    drafts.replace_folder(draft, target)
    assert [(p.name, (p / "a").read_text()) for p in tmp_path.iterdir()] == [("t", "new")]
    # Killed between the two steps: the folder is put back.
    target.rename(tmp_path / ".t.abcdefgh.old")
    drafts.clear_drafts(tmp_path)
    assert (target / "a").read_text() == "new"


# ---------------------------------------------------------------- changed bytes


def overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def all_files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*")
        if path.is_file() and path.name != "lock" and path.stat().st_size
    )  # fmt: skip


@pytest.mark.parametrize("what", ["changed", "cut", "removed"])
def test_a_change_of_any_file_is_refused_by_name(kept: Path, what: str) -> None:
    found = all_files(kept)
    assert {"gallery/vectors.f32", "gallery/labels.i32", "network.safetensors"} <= set(found)
    for name in found:
        file = kept / name
        data = file.read_bytes()
        if what == "changed":
            overwrite(file, len(data) // 2, bytes([data[len(data) // 2] ^ 1]))
        elif what == "cut":
            file.write_bytes(data[:-2])
        else:
            file.unlink()
        error = refused(lambda: Identifier.load(kept))
        expected = name if what == "changed" else name.split("/")[0]
        assert str(kept / expected) in str(error) or "is no identifier" in str(error)
        file.write_bytes(data)
    assert len(Identifier.load(kept).gallery) == 18


@pytest.mark.parametrize("number", [30.0, float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_changed_number_of_the_gallery_is_refused(
    kept: Path, number: float, earlier: bool
) -> None:
    if earlier:
        without_digests(kept)
    overwrite(kept / "gallery" / "vectors.f32", 4 * 37, np.float32(number).tobytes())
    refused(lambda: Identifier.load(kept), str(kept / "gallery"), "changed or damaged")


def test_an_edited_setting_is_refused_and_a_saved_one_is_not(kept: Path) -> None:
    file = kept / "identifier.json"
    fields = json.loads(file.read_text())
    file.write_text(json.dumps({**fields, "threshold": 0.1}))
    refused(lambda: Identifier.load(kept), str(file), "changed or damaged")
    file.write_text(json.dumps(fields, indent=None))  # the same in another form
    Identifier.load(kept).with_threshold(0.1).save(kept)
    assert Identifier.load(kept).card.threshold == 0.1


def test_damage_of_what_is_appended_to_is_not_taken_in(kept: Path) -> None:
    known = Identifier.load(kept)
    overwrite(kept / "gallery" / "vectors.f32", 400, b"\xff\xff\xff\xff")
    refused(
        lambda: known.enroll("w_one", [stranger(0)]).save(kept), "vectors.f32", "changed or damaged"
    )


def test_bytes_of_a_killed_writer_beyond_the_gallery_do_no_harm(kept: Path) -> None:
    for name in ("vectors.f32", "images.txt", "labels.i32", "identities.txt"):
        with (kept / "gallery" / name).open("ab") as file:
            file.write(b"half a row")
    Identifier.load(kept).enroll("w_one", [stranger(0)]).save(kept)
    assert names(kept)[18:] == ["w_one"]


def test_an_identifier_without_digests_opens_and_gets_them(kept: Path) -> None:
    without_digests(kept)
    Identifier.load(kept).enroll("w_one", [stranger(0)]).save(kept)
    assert (kept / "digests.json").is_file()
    overwrite(kept / "gallery" / "vectors.f32", 400, b"\xff\xff\xff\xff")
    refused(lambda: Identifier.load(kept), "vectors.f32")


def test_of_a_file_that_grew_only_what_is_new_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flukeprint.identifier import integrity

    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    data = np.random.default_rng(0).bytes(2 * CHUNK + 1000)
    (old / "a").write_bytes(data)
    known = digest_files(old, {}, tmp_path, {})
    os.link(old / "a", new / "a")
    with (new / "a").open("ab") as file:
        file.write(b"more" * 500)
    read: list[int] = []
    real = integrity._digest_chunk

    def counting(path: Path, chunk: int, size: int) -> str:
        read.append(chunk)
        return real(path, chunk, size)

    monkeypatch.setattr(integrity, "_digest_chunk", counting)
    grown = digest_files(new, {}, old, known)
    assert read == [2, 2]  # the last chunk, as it was and as it is
    assert grown == digest_files(new, {}, tmp_path, {})
    check_files(new, grown, ())
    check_files(old, known, ["a"])  # longer than it says


# ---------------------------------------------------------------- nothing shared changes


@pytest.mark.parametrize("backend", ["faiss_flat", "hnsw", "ivf_pq"])
def test_two_that_grow_from_one_do_not_see_each_other(tmp_path: Path, backend: str) -> None:
    pytest.importorskip("faiss")
    known = build(config(tmp_path, f"gallery.backend={backend}"), shapes(20, 3))
    assert known.index is not None
    one, two = known.enroll("w_one", [stranger(0)]), known.enroll("w_two", [stranger(1)])
    assert len(known.index) == 60
    queries = [stranger(0), stranger(1)]
    assert one.identify(queries).identities[0][0] == "w_one"
    assert two.identify(queries).identities[1][0] == "w_two"
    assert "w_two" not in one.identify(queries, top=21).identities[1]
    kept = tmp_path / "kept"
    loaded = known.save(kept)
    loaded.enroll("w_one", [stranger(0)]).save(kept)
    both = loaded.enroll("w_two", [stranger(1)]).save(kept)
    for each in (both, Identifier.load(kept)):
        assert [n[0] for n in each.identify(queries).identities] == ["w_one", "w_two"]


def test_an_index_far_behind_is_written_anew(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    kept = tmp_path / "kept"
    known = build(config(tmp_path, "gallery.backend=hnsw"), shapes(20, 3)).save(kept)
    grown = known.enroll("w_new", [stranger(n) for n in range(6)]).save(kept)
    assert known.index is not None
    assert grown.index is not None
    assert (len(known.index), len(grown.index), grown.indexed) == (60, 66, 66)
    again = Identifier.load(kept)
    assert again.indexed == 66
    assert again.identify([stranger(3)]).identities[0][0] == "w_new"


def test_a_new_index_keeps_what_was_enrolled_meanwhile(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    from flukeprint.config.ranking import GalleryConfig
    from flukeprint.identifier.build import with_index

    kept = tmp_path / "kept"
    build(config(tmp_path), shapes(20, 3)).save(kept)
    plain = Identifier.load(kept, with_index=False)
    Identifier.load(kept).enroll("w_new", [stranger(0)]).save(kept)
    with_index(plain, GalleryConfig(backend="hnsw")).save(kept)
    there = Identifier.load(kept)
    assert there.card.backend == "hnsw"
    assert there.identify([stranger(0)]).identities[0][0] == "w_new"


def test_an_index_of_more_than_the_gallery_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    known = build(config(tmp_path, "gallery.backend=hnsw"), shapes(20, 3))
    known.save(tmp_path / "kept")
    few = known.gallery.take(np.arange(50))
    refused(lambda: files.read_index(tmp_path / "kept", "hnsw", len(few)), "build it again")
    assert replace(known, gallery=few, indexed=50).identify([stranger(0)])
