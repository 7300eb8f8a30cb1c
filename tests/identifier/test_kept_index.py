"""An index built again beside a catalogue: killed at any moment, removed rows, growth after it."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flukeprint import cli
from flukeprint.config.ranking import GalleryConfig
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.errors import FlukeprintError
from flukeprint.identifier import build as built
from flukeprint.identifier import files
from flukeprint.identifier.build import build_index_again, with_index
from flukeprint.identifier.card import FILE, read_card
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.database import FILE as RECORDS
from flukeprint.records.edits import remove_photographs, rename
from flukeprint.records.journal import Note, undo
from tests.identifier.drawn_identifiers import build, config, shapes
from tests.refusals import refused

NOTE = Note("ana")
EXACT = GalleryConfig(backend="exact")
HNSW = GalleryConfig(backend="hnsw")


def stranger(number: int) -> np.ndarray:
    return draw_shape(40 + number, 7, 64)


def enroll(folder: Path, name: str, *numbers: int) -> None:
    photos = [NewPhotograph(stranger(n), f"stranger {n}", f"stranger_{n}", name) for n in numbers]
    Keeper.open(folder).enroll(photos, NOTE, force=True)  # a network that never learned


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 photographs and one that was enrolled, with three of them removed."""
    folder = tmp_path_factory.mktemp("begun")
    build(config(folder), shapes(20, 3), threshold=0.5).save(folder / "kept")
    enroll(folder / "kept", "w_new", 0)
    database = Keeper.open(folder / "kept").database
    remove_photographs(database, ["p000.jpg", "p031.jpg", "p059.jpg"], NOTE)
    return folder / "kept"


@pytest.fixture
def kept(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "kept"))


def tops(known: Identifier) -> list[tuple[str | None, ...]]:
    queries = [*shapes(20, 4).pixels[::7], stranger(0), stranger(1)]
    return [tuple(names) for names in known.identify(queries, top=5).identities]


def indexes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("index"))


def check_sound(folder: Path, expected: list[tuple[str | None, ...]]) -> Identifier:
    """It opens, all digests are right, nothing lies about, and the answers are those."""
    card, known = read_card(folder), Identifier.load(folder)
    assert tops(known) == expected
    held = {path.name for path in folder.iterdir()}
    digests = {name for name in held if name.startswith("digests")}
    assert digests == {card.digests_file}
    assert indexes(folder) == ([] if card.backend == "exact" else [card.index])
    return known


@pytest.mark.parametrize("settings", [HNSW, GalleryConfig(backend="qdrant")], ids=str)
def test_an_index_is_built_in_place(kept: Path, settings: GalleryConfig) -> None:
    pytest.importorskip("faiss" if settings.backend == "hnsw" else "qdrant_client")
    before, records = Identifier.load(kept), (kept / RECORDS).stat().st_ino
    expected = tops(before)
    known = build_index_again(kept, settings)
    assert known.index is not None
    assert known.card.backend == settings.backend
    # All 61 rows of the files are in it, and three of them are not found.
    assert (len(known.index), known.indexed) == (58, 58)
    assert len(files.read_index(kept, settings.backend, 61, read_card(kept).index)[0]) == 61
    assert (kept / RECORDS).stat().st_ino == records
    check_sound(kept, expected)
    again = build_index_again(kept, settings)
    assert again.index is not None
    check_sound(kept, expected)
    assert build_index_again(kept, EXACT).index is None
    check_sound(kept, expected)


def test_an_index_on_a_server_holds_all_rows_under_their_numbers(kept: Path) -> None:
    pytest.importorskip("qdrant_client")
    from tests.search.qdrant_server import Server

    expected = tops(Identifier.load(kept))
    server = Server()
    try:
        settings = GalleryConfig(backend="qdrant", url=server.url)
        known = build_index_again(kept, settings)
        assert known.index is not None
        assert known.index.shared
        check_sound(kept, expected)
        enroll(kept, "w_late", 1)
        later = Identifier.load(kept)
        assert (later.indexed, len(later.gallery)) == (58, 59)
        assert later.identify([stranger(1)]).identities[0][0] == "w_late"
        rebuilt = build_index_again(kept, settings)
        assert (rebuilt.indexed, len(rebuilt.gallery)) == (59, 59)
        # One that was loaded before goes on: the numbers are the same.
        assert tops(later) == tops(rebuilt) == tops(Identifier.load(kept))
        undo(Keeper.open(kept).database, NOTE)
        assert Identifier.load(kept).identify([stranger(1)]).identities[0][0] != "w_late"
    finally:
        server.shutdown()
        server.server_close()


def test_the_command_builds_it_in_place(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faiss")
    expected = tops(Identifier.load(kept))
    monkeypatch.setattr(sys, "argv", ["flukeprint", "index", str(kept), "gallery.backend=hnsw"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "gallery: hnsw" in said
    assert f"58 photographs in {kept}" in said
    assert check_sound(kept, expected).index is not None


def test_what_is_removed_and_comes_back_keeps_its_row(kept: Path) -> None:
    pytest.importorskip("faiss")
    build_index_again(kept, HNSW)
    gone = [*shapes(20, 3).pixels[[0, 31, 59]]]
    assert not {"p000.jpg", "p031.jpg", "p059.jpg"} & set(Identifier.load(kept).gallery.images)
    database = Keeper.open(kept).database
    undo(database, NOTE)
    known = Identifier.load(kept)
    assert len(known.gallery) == known.indexed == 61
    verdicts = known.judge(gone)
    best = [known.gallery.images[one.nearest[0][0].row] for one in verdicts]
    assert best == ["p000.jpg", "p031.jpg", "p059.jpg"]
    remove_photographs(database, ["p031.jpg"], NOTE)
    rename(database, "w_0", "Bella", NOTE, new_label="new_whale")
    known = Identifier.load(kept)
    assert len(known.gallery) == 60
    assert known.judge(gone)[0].ranking.identities[0][0] == "Bella"


def test_what_is_enrolled_after_it_is_searched_beside_it(kept: Path) -> None:
    pytest.importorskip("faiss")
    build_index_again(kept, HNSW)
    enroll(kept, "w_late", 1, 2)
    known = Identifier.load(kept)
    assert (len(known.gallery), known.indexed) == (60, 58)
    assert [names[0] for names in known.identify([stranger(0), stranger(2)]).identities] == [
        "w_new", "w_late",
    ]  # fmt: skip
    assert build_index_again(kept, HNSW).indexed == 60


@pytest.mark.parametrize(
    "moment",
    ["folder_written_whole", "digests_text", "written_whole", "card", "_clear_indexes", "rmtree"],
)
@pytest.mark.parametrize("earlier", ["exact", "hnsw"])
def test_killed_at_any_moment_it_answers_and_is_built_again(
    kept: Path, monkeypatch: pytest.MonkeyPatch, moment: str, earlier: str
) -> None:
    pytest.importorskip("faiss")
    if earlier == "hnsw":
        build_index_again(kept, HNSW)
    expected = tops(Identifier.load(kept))

    class Killed(BaseException):
        pass

    def kill(*given: object, **named: object) -> None:
        raise Killed

    def kill_second(call: Callable[..., object]) -> Callable[..., object]:
        """One that is killed when it is called for the second time."""
        calls = []

        def counted(*given: object, **named: object) -> object:
            calls.append(given)
            return kill() if len(calls) == 2 else call(*given, **named)

        return counted

    def kill_at_index(call: Callable[..., object]) -> Callable[..., object]:
        return lambda path, **named: (
            kill() if Path(path).name.startswith("index") else call(path, **named)
        )

    with monkeypatch.context() as patched:
        if moment == "card":  # after the digests, before the card
            patched.setattr(files, "written_whole", kill_second(files.written_whole))
        elif moment == "_clear_indexes":  # after the card
            patched.setattr(files, "_clear_indexes", kill_second(files._clear_indexes))
        elif moment == "rmtree":
            patched.setattr(files.shutil, "rmtree", kill_at_index(shutil.rmtree))
        else:
            patched.setattr(files, moment, kill)
        try:
            build_index_again(kept, HNSW)
        except Killed:
            pass
        else:
            assert (moment, earlier) == ("rmtree", "exact"), "there was no index to remove"
    assert tops(Identifier.load(kept)) == expected
    enroll(kept, "w_late", 5)
    build_index_again(kept, HNSW)
    check_sound(kept, tops(Identifier.load(kept)))
    assert Identifier.load(kept).identify([stranger(5)]).identities[0][0] == "w_late"


def test_a_reader_whose_index_is_taken_away_tries_again(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    build_index_again(kept, HNSW)
    reading = files.find_backend("hnsw").load
    rebuilt = []

    def load(folder: Path) -> object:
        if not rebuilt:
            rebuilt.append(folder)
            monkeypatch.undo()
            build_index_again(kept, HNSW)
        return reading(folder)

    expected = tops(Identifier.load(kept))
    row = files.find_backend("hnsw")
    monkeypatch.setattr(files, "find_backend", lambda name: type(row)(row.build, load))
    assert tops(Identifier.load(kept)) == expected
    assert not rebuilt[0].exists()


def test_a_keeper_takes_a_new_index_over(kept: Path) -> None:
    pytest.importorskip("faiss")
    keeper = Keeper.open(kept)
    before = keeper.identifier
    assert before.index is None
    assert keeper.identifier is before
    build_index_again(kept, HNSW)
    after = keeper.identifier
    assert after.index is not None
    assert after.net is before.net
    enroll(kept, "w_late", 3)  # the index has not changed with that
    later = keeper.identifier
    assert later is not after
    assert later.index is not None
    assert later.index.inner is after.index.inner  # type: ignore[attr-defined]
    assert later.indexed == 58


def test_a_changed_index_is_found_out(kept: Path) -> None:
    pytest.importorskip("faiss")
    build_index_again(kept, HNSW)
    file = next((kept / read_card(kept).index).glob("*.faiss"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(lambda: Identifier.load(kept), file.name, "changed or damaged")


def test_a_card_names_no_folder_outside(kept: Path) -> None:
    card = read_card(kept).model_copy(update={"index": "../index-00000000"})
    (kept / FILE).write_text(card.text())
    refused(lambda: Identifier.load(kept), "index")


def test_a_full_disk_changes_nothing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    expected = tops(Identifier.load(kept))

    def full(*given: object) -> str:
        raise FlukeprintError("cannot write: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "digests_text", full)
        refused(lambda: build_index_again(kept, HNSW), "No space left")
    check = Identifier.load(kept)
    assert check.index is None
    assert tops(check) == expected


def test_saved_elsewhere_it_is_an_identifier_by_itself(kept: Path, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    known = build_index_again(kept, HNSW)
    refused(lambda: known.save(kept), "keeps a catalogue")
    known.save(tmp_path / "other")
    other = Identifier.load(tmp_path / "other")
    assert (other.kept, other.indexed, other.card.index) == (None, 58, "index")
    assert tops(other) == tops(known)
    assert other.gallery.images == known.gallery.images


def test_without_a_catalogue_the_folder_is_replaced_as_before(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    build(config(tmp_path), shapes(20, 3)).save(tmp_path / "kept")
    known = build_index_again(tmp_path / "kept", HNSW)
    assert known.card.index == "index"
    assert indexes(tmp_path / "kept") == ["index"]
    assert tops(known) == tops(with_index(known, EXACT))


def test_an_unfit_index_is_refused_before_anything_is_written(kept: Path) -> None:
    def all_scores(card: object) -> bool:
        return True

    before = sorted(path.name for path in kept.iterdir())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(built, "looks_at_all", all_scores)
        refused(lambda: build_index_again(kept, HNSW), "gallery.backend=hnsw")
    assert sorted(path.name for path in kept.iterdir()) == before
