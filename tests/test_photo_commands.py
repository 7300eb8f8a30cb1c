"""Commands that ask an identifier about photographs: damaged ones, folders, pairs, enrolment."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flukeprint.cli import app
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.embedding.engine_timings import EngineTrials
from flukeprint.identifier.identifier import Identifier
from tests.identifier.earlier import without_digests
from tests.processes import call
from tests.refusals import refused
from tests.says import Says
from tests.serving.served import make_identifier, photo


@pytest.fixture(scope="module")
def identifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_identifier(tmp_path_factory.mktemp("commands"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with four photographs, one of them below another folder, and a damaged one."""
    folder = tmp_path / "five"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name, identity in (("a.jpg", 1), ("c.JPG", 2), ("deep/d.jpg", 3), ("deep/er/a.jpg", 4)):
        (folder / name).write_bytes(photo(identity, 5))
    (folder / ".hidden" / "h.jpg").write_bytes(photo(5, 5))
    (folder / "b.jpg").write_bytes(photo(1, 6)[:200])
    (folder / "notes.txt").write_text("no photograph")
    return folder


def alone(identifier: Path, path: Path) -> Any:
    known = Identifier.load(identifier)
    (verdict,) = known.judge([path])
    return verdict


def test_a_damaged_photograph_takes_nothing_from_the_others(
    identifier: Path, photos: Path, says: Says
) -> None:
    names = ["a.jpg", "b.jpg", "c.JPG", "deep/d.jpg", "deep/er/a.jpg"]
    out, error = says("identify", identifier, *(photos / name for name in names), "--json")
    rows = json.loads(out)
    assert [row["photo"] for row in rows] == [str(photos / name) for name in names]
    assert [("error" in row) for row in rows] == [False, True, False, False, False]
    assert str(photos / "b.jpg") in rows[1]["error"]
    assert "damaged or truncated" in rows[1]["error"]
    assert (rows[1]["verdict"], rows[1]["answers"]) == (None, [])
    assert error == f"1 of 5 photographs could not be read: {photos / 'b.jpg'}"
    for row in (rows[0], rows[4]):  # two of one name
        verdict = alone(identifier, Path(row["photo"]))
        assert [a["score"] for a in row["answers"]] == pytest.approx(
            verdict.ranking.scores[0].tolist(), abs=1e-5
        )
    # A folder means all photographs below it, and one that is named beside it is not asked twice.
    assert says("identify", identifier, photos, photos / "a.jpg", "--json") == (out, error)


def test_people_read_the_decision_first_and_the_error_in_its_place(
    identifier: Path, photos: Path, says: Says
) -> None:
    out, error = says("identify", identifier, photos)
    lines = out.splitlines()
    heads = [line for line in lines if not line.startswith("  ")]
    assert error is not None
    assert len(heads) == 5
    assert heads[1].startswith(f"photograph {photos / 'b.jpg'}: damaged")
    assert lines[1].split() == ["probability", "score", "animal"]
    verdict = alone(identifier, photos / "a.jpg")
    assert verdict.probabilities is not None
    label = verdict.answers[0] or "new_whale"
    assert heads[0].startswith(f"{photos / 'a.jpg'}: ")
    assert label in heads[0]
    assert lines[2].split() == [
        "1", heads[0].split()[-1], f"{verdict.ranking.scores[0, 0]:.3f}", label,
    ]  # fmt: skip


def test_the_exit_code_tells_of_a_damaged_one(identifier: Path, photos: Path) -> None:
    done = call("flukeprint", "identify", identifier, photos)
    assert done.returncode == 2
    assert done.stdout.count("animal") >= 4
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        f"error: 1 of 5 photographs could not be read: {photos / 'b.jpg'}"
    ]
    (photos / "b.jpg").unlink()
    assert call("flukeprint", "identify", identifier, photos).returncode == 0


def test_an_encounter_leaves_out_what_cannot_be_read(
    identifier: Path, photos: Path, says: Says
) -> None:
    out, error = says("identify", identifier, photos, "--encounter", "--json")
    whole, broken = json.loads(out)
    assert error is not None
    assert "1 of 5" in error
    assert str(photos / "b.jpg") not in whole["photo"]
    assert broken["photo"] == str(photos / "b.jpg")
    assert "error" in broken
    readable = whole["photo"].split(", ")
    assert len(readable) == 4
    again, none = says("identify", identifier, *readable, "--encounter", "--json")
    assert none is None
    assert json.loads(again) == [whole]
    only, error = says("identify", identifier, photos / "b.jpg", "--encounter", "--json")
    assert [row["verdict"] for row in json.loads(only)] == [None]
    assert error is not None


def test_each_animal_of_a_photograph_is_answered_by_its_box(
    identifier: Path, tmp_path: Path, says: Says
) -> None:
    pair = np.concatenate([draw_shape(1, 5, 64), draw_shape(2, 5, 64)], axis=1)
    path = tmp_path / "pair.png"
    Image.fromarray(pair).save(path)
    boxes = ["0,0,0.5,1", "0.5,0,0.5,1"]
    asked = ["--box", boxes[0], "--box", boxes[1]]
    rows = json.loads(says("identify", identifier, path, *asked, "--json")[0])
    assert [(row["photo"], row["box"]) for row in rows] == [(str(path), box) for box in boxes]
    known = Identifier.load(identifier)
    for row, half in zip(rows, (pair[:, :64], pair[:, 64:]), strict=True):
        (verdict,) = known.judge([half])
        assert [a["score"] for a in row["answers"]] == pytest.approx(
            verdict.ranking.scores[0].tolist(), abs=1e-5
        )
    assert f"{path}, box {boxes[1]}: " in str(says("identify", identifier, path, *asked)[0])
    for more, said in (
        (["--box", "0,0,2,1"], "--box 0,0,2,1: the box is not inside the photograph"),
        (["--box", boxes[0], "--encounter"], "--box goes with one photograph"),
        (["--box", boxes[0], path.with_name("other.png")], "--box goes with one photograph"),
    ):
        assert said in str(says("identify", identifier, path, *more)[1])


def test_a_folder_without_photographs_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    command = ["identify", str(tmp_path / "no identifier"), str(tmp_path / "empty")]
    refused(lambda: app(command, standalone_mode=False), "empty", "no photographs")


def test_a_pair_is_verified_in_words_and_as_json(
    identifier: Path, photos: Path, says: Says
) -> None:
    first, second = photos / "a.jpg", photos / "c.JPG"
    known = Identifier.load(identifier)
    verifier = known.card.verifier
    assert verifier is not None
    for rate in (0.1, 0.01, 0.0):
        score, point = known.verify(known.examine([first, second]), rate)
        out, error = says(
            "verify", identifier, first, second, "--json", "--false-accept", str(rate)
        )
        assert error is None
        assert json.loads(out) == {
            "photos": [str(first), str(second)],
            "same": score >= point.threshold,
            "score": pytest.approx(score, abs=1e-6),
            "threshold": point.threshold,
            "false_accept_rate": point.false_accept,
            "false_reject_rate": point.false_reject,
            "pairs": verifier.pairs_other,
        }
        words, _ = says("verify", identifier, first, second, "--false-accept", str(rate))
        same = score >= point.threshold
        assert words.startswith("the same animal: " if same else "different animals: ")
        assert f"score {score:.3f}" in words
        assert f"{point.threshold:.3f}" in words
        assert f"{point.false_accept:.2%} of {verifier.pairs_other:,} pairs" in words
        assert ("was asked for" in words) == (point.false_accept > rate)
    words, _ = says("verify", identifier, first, first)
    assert words.startswith("the same animal: score 1.000")


def test_a_pair_with_a_damaged_photograph_is_refused(
    identifier: Path, photos: Path, tmp_path: Path
) -> None:
    def verify(folder: Path, *pair: str) -> Callable[[], object]:
        paths = [str(photos / name) for name in pair]
        return lambda: app(["verify", str(folder), *paths], standalone_mode=False)

    refused(verify(identifier, "a.jpg", "b.jpg"), str(photos / "b.jpg"))
    refused(verify(identifier, "none.jpg", "a.jpg"), str(photos / "none.jpg"), "no such file")
    bare = without_digests(shutil.copytree(identifier, tmp_path / "bare"))
    card = json.loads((bare / "identifier.json").read_text())
    (bare / "identifier.json").write_text(json.dumps({**card, "verifier": None}))
    # The threshold is missed first, before any photograph is opened.
    refused(verify(bare, "a.jpg", "b.jpg"), "cannot tell pairs apart")


def test_enrolling_says_whether_the_animal_is_new(
    identifier: Path, photos: Path, tmp_path: Path, says: Says
) -> None:
    mine = shutil.copytree(identifier, tmp_path / "mine")
    animals = len(Identifier.load(mine).identities)
    out, error = says("enroll", mine, photos / "a.jpg", photos / "c.JPG", "--identity", " w_300 ")
    assert error is None
    assert out == f"w_300: new, 2 photographs; {animals + 1} animals in {mine}\n"
    out, error = says("enroll", mine, photos / "deep", "--identity", "w_300")
    assert out == (
        f"w_300: known before, 4 photographs now, 2 of them new; {animals + 1} animals in {mine}\n"
    )
    # One name, other contents; then the same contents under a name that the gallery has as well.
    twin = tmp_path / "a.jpg"
    shutil.copy(photos / "a.jpg", twin)
    _, error = says("enroll", mine, twin, "--identity", "w_301")
    assert error == f"{twin} is in the gallery already, as a.jpg of w_300"
    fresh = tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.jpg"
    for path in fresh:
        path.parent.mkdir()
        path.write_bytes(photo(50, 9))
    _, error = says("enroll", mine, *fresh, "--identity", "w_301")
    assert error == f"{fresh[1]} is the same photo as {fresh[0]}"
    _, error = says("enroll", mine, photos, "--identity", "w_301")
    assert error is not None
    assert str(photos / "b.jpg") in error
    assert len(Identifier.load(mine).identities) == animals + 1


ALONE = """
import sys
from flukeprint.cli import app
app(sys.argv[1:], standalone_mode=False)
print("torch" in sys.modules, file=sys.stderr)
"""


def test_the_answer_comes_before_an_engine_is_chosen(
    identifier: Path, photos: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Choosing may take a minute: who asks need not wait for it."""
    monkeypatch.setattr(Identifier, "keep_engine", lambda known, report: print("now it is chosen"))
    one, other = photos / "a.jpg", photos / "c.JPG"
    for command in (["identify", identifier, one], ["verify", identifier, one, other]):
        out, error = says(*command)
        assert error is None
        *answer, last = out.splitlines()
        assert answer
        assert last == "now it is chosen"


def test_where_an_engine_is_kept_torch_is_not_imported(identifier: Path, tmp_path: Path) -> None:
    """Every command in a process of its own; the second finds what the first has kept."""
    photo_file = tmp_path / "a.jpg"
    photo_file.write_bytes(photo(1, 5))
    environment = {**os.environ, "FLUKEPRINT_CACHE": str(tmp_path / "cache")}

    def answered(*more: str | Path) -> tuple[Any, str]:
        command = [sys.executable, "-c", ALONE, "identify", identifier, photo_file, "--json"]
        done = subprocess.run(
            [*command, *more], env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout), done.stderr

    known = Identifier.load(identifier)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLUKEPRINT_CACHE", environment["FLUKEPRINT_CACHE"])
        patch.setattr(EngineTrials, "rate", lambda trials, option: len(option.engine))  # OpenVINO
        known.keep_engine()
        assert not known.lacks_engine
    kept, said = answered()
    assert said.splitlines()[-1] == "False"
    assert "engine" not in said
    (verdict,) = known.judge([photo_file])  # by the engine that was kept
    assert [row["score"] for row in kept[0]["answers"]] == verdict.ranking.scores[0].tolist()
    facts = next((tmp_path / "cache" / "engines").rglob("engine.json"))
    facts.write_text(facts.read_text().replace("fp32", "bf16"))  # then it is not used, but said
    plain, said = answered()
    assert said.splitlines()[-1] == "True"
    assert "was changed or damaged" in said
    for one, other in zip(plain[0]["answers"], kept[0]["answers"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
