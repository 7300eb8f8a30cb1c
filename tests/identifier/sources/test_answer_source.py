"""Whole sources answered in their own form: as `identify` answers, resumable, damage named."""

import csv
import json
import os
import re
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flukeprint.data.exchange import answers as answers_module
from flukeprint.data.exchange.coco.reading import read_coco
from flukeprint.data.exchange.forms import read_observed
from flukeprint.data.exchange.megadetector import read_megadetector
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.files import only_run
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.sources import answer_source as module
from flukeprint.identifier.sources.answer_source import answer_source
from flukeprint.identifier.sources.journal import journal_of
from flukeprint.identifier.verdict import Verdict
from tests.data.exchange.camtrap.packages import deployment, medium, observation, write_package
from tests.processes import call, start
from tests.refusals import refused
from tests.says import Says
from tests.serving.served import make_identifier

SIDE = 64
BOXES = [(0.25, 0.125, 0.5, 0.625), (0.0, 0.5, 0.5, 0.5)]  # x, y, width, height


@pytest.fixture(scope="module")
def identifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that answers some photographs with known individuals and others with new ones."""
    folder = make_identifier(tmp_path_factory.mktemp("like"))
    known = Identifier.load(folder)
    of = known.with_threshold(None).judge([pixels(number) for number in range(7)])
    inside = [one.ranking.scores[0, 0] for one in of if not one.outside]
    known.with_threshold(float(np.median(inside))).save(folder)
    return folder


def pixels(number: int) -> Any:
    whole = draw_shape(number % 40, number, 2 * SIDE)
    assert min(whole.shape[:2]) >= SIDE  # so that boxes are of whole pixels
    return np.ascontiguousarray(whole[:SIDE, :SIDE])


def draw(folder: Path, names: list[str]) -> Path:
    """Photographs without loss; one whose name has `bad` in it is cut short."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(number)).save(path, "PNG")
        if "bad" in name:
            path.write_bytes(path.read_bytes()[:90])
    return folder


def cut(number: int, box: tuple[float, float, float, float]) -> Any:
    """The crop of a box, made here."""
    x, y, width, height = (round(side * SIDE) for side in box)
    return pixels(number)[y : y + height, x : x + width].copy()


def agrees(verdict: Verdict, identity: str | None, probability: float | None) -> None:
    """What was written is what the identifier says of the photograph alone."""
    assert identity == (verdict.answers[0] if verdict.kind == "known" else None)
    share = None if verdict.probabilities is None else verdict.probabilities[0]
    if identity is not None:
        assert share is not None
        assert probability == pytest.approx(share, abs=6e-5)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


NAMES = ["a.png", "deep/é b.png", "deep/bad.png", "c.png", "d.png", "e.png", "f.png"]


def test_a_folder_becomes_a_table(identifier: Path, tmp_path: Path, says: Says) -> None:
    folder = draw(tmp_path / "photos", NAMES)
    (folder / "notes.txt").write_text("no photograph")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.png").write_bytes(b"")
    out, error = says("identify", identifier, "--like", folder)
    target = tmp_path / "photos-identified.csv"
    rows = table(target)
    assert [row["image"] for row in rows] == sorted(NAMES)
    known = Identifier.load(identifier)
    verdicts = []
    for row in rows:
        if "bad" in row["image"]:
            assert "damaged or truncated" in row["error"]
            assert not any(row[name] for name in row if name not in ("image", "error"))
            continue
        (verdict,) = known.judge([folder / row["image"]])
        verdicts.append(verdict)
        assert (row["verdict"], row["error"]) == (verdict.kind, "")
        agrees(verdict, row["identity"] or None, float(row["probability"] or "nan"))
        names = [known.card.new_label if name is None else name for name in verdict.answers]
        outside = verdict.kind == "outside"
        told = [row[name] for name in ("second", "third", "fourth", "fifth")]
        assert told == (names[:4] if outside else names[1:5])
    kinds = [one.kind for one in verdicts]
    assert {"known", "new"} <= set(kinds)
    assert out.splitlines()[-2:] == [
        f"7 photographs, 0 boxes: {kinds.count('known')} known, {kinds.count('new')} new, "
        f"{kinds.count('outside')} outside, 1 failed",
        f"written: {target}",
    ]
    assert error == "1 of 7 photographs could not be read: deep/bad.png"
    assert {path.name for path in tmp_path.iterdir()} == {"photos", target.name}


def test_the_exit_code_tells_of_damage_after_all_is_written(
    identifier: Path, tmp_path: Path
) -> None:
    folder = draw(tmp_path / "photos", NAMES)
    done = call("flukeprint", "identify", identifier, "--like", folder, "-o", tmp_path / "o.csv")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    (one,) = (line for line in lines if str(folder / "deep/bad.png") in line)
    assert "damaged" in one
    assert lines[-1].startswith("error: 1 of 7 photographs could not be read")
    assert len(table(tmp_path / "o.csv")) == 7


def test_megadetector_boxes_are_answered_by_their_crops(identifier: Path, tmp_path: Path) -> None:
    folder = draw(tmp_path / "photos", NAMES[:4])
    detections = [{"category": "1", "conf": 0.9, "bbox": list(box)} for box in BOXES]
    person = {"category": "2", "conf": 0.9, "bbox": [0, 0, 1, 1]}
    images: list[dict[str, Any]] = [
        {"file": name, "detections": [*detections, person], "datetime": "2026:01:02 03:04:05"}
        for name in NAMES[:4]
    ]
    images.append({"file": "gone.png", "failure": "Failure image access", "detections": None})
    source = tmp_path / "md.json"
    tree = {"images": images, "detection_categories": {"1": "animal", "2": "person"}, "info": {}}
    source.write_text(json.dumps(tree))
    found = answer_source(identifier, source, root=folder)
    assert found.target == tmp_path / "md-identified.json"
    assert (found.files, found.boxes, len(found.answers.failed)) == (4, 8, 2)
    after = json.loads(found.target.read_text())
    assert after["images"][-1] == images[-1]
    assert after["images"][2] == images[2]  # the damaged one
    known = Identifier.load(identifier)
    stamp = rf"flukeprint \S+, identifier {module.identifier_stamp(known)}"
    for number in (0, 1, 3):
        assert after["images"][number]["detections"][2] == person
        for box, one in zip(BOXES, after["images"][number]["detections"], strict=False):
            (verdict,) = known.judge([cut(number, box)])
            mark = one["flukeprint"]
            assert mark["verdict"] == verdict.kind
            assert re.fullmatch(stamp, mark["by"])
            agrees(verdict, mark["identity"], mark["probability"])
    read = read_megadetector(found.target, root=folder).photos
    assert [one.identity for one in read] == [
        one["flukeprint"]["identity"] if "flukeprint" in one else None
        for entry in after["images"][:-1]
        for one in entry["detections"][:2]
    ]


def test_coco_keeps_whom_a_person_named(identifier: Path, tmp_path: Path) -> None:
    draw(tmp_path, NAMES[:2])
    boxes = [[side * SIDE for side in box] for box in BOXES]
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": boxes[0], "individual": "Ana"},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": boxes[1], "individual": None},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": boxes[0], "individual": "old",
         "by_machine": True},
    ]  # fmt: skip
    images = [
        {"id": n, "file_name": name, "width": SIDE, "height": SIDE}
        for n, name in enumerate(NAMES[:2], 1)
    ]
    source = tmp_path / "coco.json"
    tree = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "x"}]}
    source.write_text(json.dumps(tree))
    known = Identifier.load(identifier)
    (second,), (third,) = known.judge([cut(0, BOXES[1])]), known.judge([cut(1, BOXES[0])])
    for again in (False, True):
        target = tmp_path / f"{again}.json"
        found = answer_source(identifier, source, target=target, again=again)
        assert found.given == (1 if again else 2)
        after = json.loads(target.read_text())["annotations"]
        assert after[0] == annotations[0]
        agrees(second, after[1]["individual"], after[1].get("probability"))
        if again:
            agrees(third, after[2]["individual"], after[2].get("probability"))
        else:
            assert after[2] == annotations[2]
        assert read_coco(target).photos[1].machine
    # Of a source whose animals all have names nothing is asked.
    annotations[1]["individual"] = "Bo"
    source.write_text(json.dumps(tree))
    refused(lambda: answer_source(identifier, source, target=tmp_path / "n.json"), "--again")


@pytest.mark.parametrize("zipped", [False, True])
def test_camtrap_dp(identifier: Path, tmp_path: Path, zipped: bool) -> None:
    names = ("bbox", "bboxX", "bboxY", "bboxWidth", "bboxHeight")[1:]
    boxes = [dict(zip(names, map(str, box), strict=True)) for box in BOXES]
    media = [medium(f"m{n}", filePath=name) for n, name in enumerate(NAMES[:4])]
    more = {"classificationMethod": "machine", "classifiedBy": "MD", "observationTags": ""}
    source = write_package(
        tmp_path / "package",
        {
            "deployments": [deployment()],
            "media": [*media, medium("m9", filePath="https://x.org/a.jpg")],
            "observations": [
                *(observation(f"o{n}", f"m{n}", **boxes[0], **more) for n in range(4)),
                observation("p", "m0", **boxes[1], **more)
                | {"individualID": "Ana"}
                | {"classificationMethod": "human"},
                observation("q", "m9", **boxes[1], **more),
            ],
        },
    )
    draw(source, NAMES[:4])
    root = None
    if zipped:
        root, folder, source = source, source, tmp_path / "package.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for file in ("datapackage.json", "deployments.csv", "media.csv", "observations.csv"):
                archive.write(folder / file, file)
    found = answer_source(identifier, source, root=root)
    assert found.target.name == f"package-identified{'.zip' if zipped else ''}"
    assert (found.given, found.absent, list(found.answers.failed)) == (1, 1, ["deep/bad.png"])
    known = Identifier.load(identifier)
    rows = {one.image: one for one in read_observed(found.target, root).photos}
    for number in (0, 1, 3):
        (verdict,) = known.judge([cut(number, BOXES[0])])
        row = rows[NAMES[number]]
        agrees(verdict, row.identity, row.probability)
        assert row.machine
    assert rows["deep/bad.png"].identity is None
    assert rows["a.png#2"].identity == "Ana"
    assert not rows["a.png#2"].machine


def test_a_form_without_an_answerer_is_written_by_its_writer(
    identifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path, NAMES[:3])
    images = [{"id": n, "file_name": name} for n, name in enumerate(NAMES[:3])]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "name": "old", "by_machine": True}
    tree = {"images": images, "annotations": [annotation], "categories": []}
    source, target = tmp_path / "coco.json", tmp_path / "out.json"
    source.write_text(json.dumps(tree))
    monkeypatch.setattr("flukeprint.data.exchange.answers.ANSWERERS", {})
    found = answer_source(identifier, source, target=target, again=True)
    rows = {one.image: one for one in read_coco(target).photos}
    known = Identifier.load(identifier)
    for name in NAMES[:2]:
        (verdict,) = known.judge([tmp_path / name])
        agrees(verdict, rows[name].identity, rows[name].probability)
        if verdict.kind == "known":
            assert (rows[name].by, rows[name].machine) == (found.answers.by, True)
    assert rows["deep/bad.png"].identity is None
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.delitem(vars(answers_module)["ANSWERERS"], "megadetector")
        md = tmp_path / "md.json"
        md.write_text(json.dumps({"images": [], "detection_categories": {"1": "animal"}}))
        refused(lambda: answer_source(identifier, md), "only read", "--to")


def test_a_table_is_answered_as_it_is_told(identifier: Path, tmp_path: Path, says: Says) -> None:
    draw(tmp_path, NAMES[:2])
    table = tmp_path / "mine.csv"
    table.write_text(f"Bild,Tag\n{NAMES[0]},03/04/2021\n{NAMES[1]},04/04/2021\n")
    like = ["identify", identifier, "--like", table]
    keywords = ["--column", "image=Bild", "--keywords", "{identity}"]
    for wrong, why in ((keywords, "--keywords means nothing"), ([], "Bild, Tag")):
        _, error = says(*like, *wrong)
        assert error is not None
        assert why in error
    told = ["--column", "image=Bild", "--column", "date=Tag", "--dates", "day-first"]
    said, error = says(*like, *told)
    assert error is None
    assert "2 photographs" in said
    rows = read_observed(tmp_path / "mine-identified.csv").photos
    assert [str(one.date) for one in rows] == ["2021-04-03", "2021-04-04"]
    known = Identifier.load(identifier)
    for row in rows:
        agrees(known.judge([tmp_path / row.image])[0], row.identity, row.probability)
    # A folder by a pattern is answered in a table beside it.
    said, error = says("identify", identifier, "--like", tmp_path, "--pattern", "{view}/*")
    assert error is None
    assert (tmp_path.parent / f"{tmp_path.name}-identified.csv").exists()


def many(folder: Path, number: int) -> Path:
    """Some dozens of photographs under many names, and a damaged one."""
    drawn = draw(folder / "drawn", [f"{n:02}.png" for n in range(40)])
    photos = folder / "photos"
    photos.mkdir()
    for n in range(number):
        os.link(drawn / f"{n % 40:02}.png", photos / f"{n:05}.png")
    (photos / "00300bad.png").write_bytes(b"no photograph")
    return photos


def test_a_killed_run_goes_on_and_gives_the_same(identifier: Path, tmp_path: Path) -> None:
    photos = many(tmp_path, 6 * module.CHUNK)
    whole, target = tmp_path / "whole.csv", tmp_path / "killed.csv"
    command = ("flukeprint", "identify", identifier, "--like", photos, "-o")
    journal = journal_of(target)
    errors = tmp_path / "errors"
    process = start(*command, target, output=(os.devnull, str(errors)))
    until = time.monotonic() + 200
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        assert process.is_alive(), errors.read_text()
        assert time.monotonic() < until
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)  # in the middle, for as long as a second one takes
    second = call(*command, target)
    assert second.returncode == 2
    assert "another process is answering" in second.stderr
    process.kill()
    process.join()
    assert not target.exists(), "it ended before it was killed"
    done = journal.read_bytes()
    assert done.endswith(b"\n") or b"\n" in done
    journal.write_bytes(done + b'{"chunk": 4, "ro')  # a line that was cut short
    ended = call(*command, target)
    assert ended.returncode == 2  # for the damaged one
    kept = done[: done.rfind(b"\n") + 1].count(b"\n") - 1
    assert f"{kept * module.CHUNK:,} of {6 * module.CHUNK + 1:,} are answered" in ended.stderr
    assert call(*command, whole).returncode == 2
    assert target.read_bytes() == whole.read_bytes()
    assert len(table(whole)) == 6 * module.CHUNK + 1
    assert not journal.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def stopped(monkeypatch: pytest.MonkeyPatch, identifier: Path, source: Path, target: Path) -> None:
    """Answer the first chunks of two photographs, and stop."""
    monkeypatch.setattr(module, "CHUNK", 2)
    real = module.Journal.add

    def add(self: Any, chunk: int, results: Any) -> None:
        if chunk == 2:
            raise KeyboardInterrupt
        real(self, chunk, results)

    with monkeypatch.context() as patch:
        patch.setattr(module.Journal, "add", add)
        with pytest.raises(KeyboardInterrupt):
            answer_source(identifier, source, target=target)
    assert not target.exists()


def test_a_stopped_run_keeps_its_moment(
    identifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path, NAMES)
    whole = {"category": "1", "conf": 0.9, "bbox": [0, 0, 1, 1]}
    tree = {
        "images": [{"file": name, "detections": [whole]} for name in NAMES],
        "detection_categories": {"1": "animal"},
        "info": {"format_version": "1.5"},
    }
    source, target = tmp_path / "md.json", tmp_path / "out.json"
    source.write_text(json.dumps(tree))
    stopped(monkeypatch, identifier, source, target)
    head, *chunks = journal_of(target).read_text().splitlines()
    assert len(chunks) == 2
    asked: list[str] = []
    real = Identifier.prepare
    monkeypatch.setattr(
        Identifier, "prepare", lambda self, *a: (asked.append(a[1]), real(self, *a))[1]
    )
    found = answer_source(identifier, source, target=target)
    assert sorted(asked) == sorted(NAMES[4:])
    times = {
        one["flukeprint"]["time"]
        for entry in json.loads(target.read_text())["images"]
        for one in entry["detections"]
        if "flukeprint" in one
    }
    assert times == {json.loads(head)["time"].replace("+00:00", "Z")}
    assert len(found.answers.of) == len(NAMES) - 1


def test_a_journal_of_something_else_is_refused(
    identifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = draw(tmp_path / "photos", NAMES), tmp_path / "out.csv"
    stopped(monkeypatch, identifier, source, target)
    journal = journal_of(target)
    before = journal.read_bytes()
    draw(source, ["g.png"])
    refused(lambda: answer_source(identifier, source, target=target), "another source", "--out")
    (source / "g.png").unlink()
    other = tmp_path / "other"
    Identifier.load(identifier).with_threshold(0.5).save(other)
    refused(lambda: answer_source(other, source, target=target), "another identifier", str(journal))
    refused(lambda: answer_source(identifier, source, target=target, again=True), "other settings")
    assert journal.read_bytes() == before
    journal.write_bytes(b"[1]\n")
    refused(lambda: answer_source(identifier, source, target=target), "no journal")
    journal.write_bytes(before)
    assert len(answer_source(identifier, source, target=target).answers.of) == len(NAMES) - 1


def test_refused_before_the_long_work(
    identifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Identifier, "load", lambda path: pytest.fail("it was loaded"))
    source = draw(tmp_path / "photos", NAMES)
    there = tmp_path / "there.csv"
    there.write_text("mine")
    refused(lambda: answer_source(identifier, source, target=there), "there already")
    inside = source / "out.csv"
    refused(lambda: answer_source(identifier, source, target=inside), "lies in")
    refused(lambda: answer_source(identifier, tmp_path / "none"), "is missing")
    refused(lambda: answer_source(identifier, there), "no format that is read")
    (tmp_path / "empty").mkdir()
    refused(lambda: answer_source(identifier, tmp_path / "empty"), "holds no photographs")
    tree = {
        "images": [{"file": "x.jpg", "detections": [
            {"category": "1", "conf": 0.9, "bbox": [0, 0, 1, 1]}
        ]}],
        "detection_categories": {"1": "animal"},
    }  # fmt: skip
    (tmp_path / "md.json").write_text(json.dumps(tree))
    refused(lambda: answer_source(identifier, tmp_path / "md.json"), "--root")
    target = tmp_path / "busy.csv"
    with only_run(target):
        refused(lambda: answer_source(identifier, source, target=target), "another process")
    assert there.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {
        "photos", "there.csv", "empty", "md.json"
    }  # fmt: skip


def test_a_full_disk_is_named_and_what_is_answered_is_kept(
    identifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = draw(tmp_path / "photos", NAMES), tmp_path / "out.csv"
    monkeypatch.setattr(module, "CHUNK", 2)
    real = os.fsync
    calls = []

    def full(handle: Any) -> None:
        calls.append(handle)
        if len(calls) > 2:
            raise OSError(28, os.strerror(28))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        refused(
            lambda: answer_source(identifier, source, target=target),
            "is full",
            "repeat the command",
        )
    assert not target.exists()
    assert len(answer_source(identifier, source, target=target).answers.of) == len(NAMES) - 1


def test_options_that_do_not_go_together(identifier: Path, tmp_path: Path, says: Says) -> None:
    photo = tmp_path / "a.png"
    for words in (
        [photo, "--like", tmp_path], ["--like", tmp_path, "--json"], ["--out", photo, photo],
        [photo, "--again"], [], [photo, "--dates", "day-first"],
    ):  # fmt: skip
        _, error = says("identify", identifier, *words)
        assert error is not None
        assert "--like" in error
