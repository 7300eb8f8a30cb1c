"""The command review: pages of folders and of submissions, and what it refuses."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flukeprint.config.schema import Config
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.identifier.runs import Run
from flukeprint.identifier.showcase import Showcase
from flukeprint.keeper.review.write import write_review
from tests.refusals import refused
from tests.says import Says
from tests.serving.served import photo
from tests.tiny import TinyConfig


def queue_of(page: Path) -> dict[str, Any]:
    """What a page asks."""
    found = re.search(r'id="queue">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photographs, one of them deeper, and a damaged one."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(photo(number, 5))
    (folder / "deep" / "0.jpg").write_bytes(photo(7, 5))
    (folder / "broken.jpg").write_bytes(photo(1, 6)[:200])
    return folder


def submission(config: Config) -> Path:
    """The one that the tiny run wrote."""
    (found,) = config.submissions.glob("*.csv")
    return found


def test_a_folder_is_asked_the_unsure_first(
    tiny_run: Run, folder: Path, tmp_path: Path, says: Says
) -> None:
    page = tmp_path / "queue.html"
    out, error = says("review", folder, "--identifier", tiny_run.identifier, "-o", page)
    assert error is None
    assert out.startswith("7 photographs, 1 of them unreadable, ")
    assert str(page) in out
    queue = queue_of(page)
    known = Identifier.load(tiny_run.identifier)
    assert (queue["stamp"], queue["event"]) == (known.card.stamp, 0)
    *entries, broken = queue["entries"]
    names = ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "deep/0.jpg"]
    assert sorted(entry["photo"] for entry in entries) == names
    assert broken["photo"] == "broken.jpg"
    assert "damaged" in broken["error"]
    assert broken["candidates"] == []
    assert broken["digest"] == bytes_digest((folder / "broken.jpg").read_bytes())
    sure = []
    for entry in entries:
        path = Path(entry["path"])
        assert entry["digest"] == bytes_digest(path.read_bytes())
        (verdict,) = known.judge([path])
        assert [one["identity"] for one in entry["candidates"]] == list(verdict.answers)
        chances = verdict.probabilities or (None,) * 5
        for one, chance, near in zip(entry["candidates"], chances, verdict.nearest, strict=True):
            assert one["probability"] == (
                None if chance is None else pytest.approx(chance, abs=1e-4)
            )
            assert [photo["name"] for photo in one["photos"]] == [
                known.gallery.images[photo.row] for photo in near
            ]
            assert all(photo["picture"] is not None for photo in one["photos"])
            assert (one["matched"] is None) == (not near)
        scores = verdict.ranking.scores[0]
        sure.append((chances[0] is not None, chances[0] or float(scores[0] - scores[1])))
    assert sure == sorted(sure)


def test_only_the_most_unsure_are_asked(
    tiny_run: Run, folder: Path, tmp_path: Path, says: Says
) -> None:
    asked = ("review", folder, "--identifier", tiny_run.identifier)
    says(*asked, "-o", tmp_path / "all.html")
    _, error = says(*asked, "-o", tmp_path / "two.html", "--most", "2", "--photos", "1")
    assert error is None
    every, two = queue_of(tmp_path / "all.html"), queue_of(tmp_path / "two.html")
    names = [entry["photo"] for entry in two["entries"]]
    assert names == [entry["photo"] for entry in every["entries"][:2]]
    assert {
        len(one["photos"]) for entry in two["entries"] for one in entry["candidates"]
    } <= {0, 1}  # fmt: skip
    assert len(two["pictures"]) < len(every["pictures"])


def test_a_submission_is_asked_with_its_answers(
    tiny_run: Run, tiny_config: TinyConfig, tmp_path: Path, says: Says
) -> None:
    config = tiny_config()
    page = tmp_path / "queue.html"
    out, error = says(
        "review", submission(config), "--identifier", tiny_run.identifier, "-o", page,
        "-c", tiny_config.path,
    )  # fmt: skip
    assert error is None
    assert out.startswith("30 photographs, ")
    with submission(config).open(newline="") as file:
        rows = {row["Image"]: row["Id"].split() for row in csv.DictReader(file)}
    test = read_test(config.data)
    assert test.paths is not None
    paths = dict(zip(test.images, test.paths, strict=True))
    entries = queue_of(page)["entries"]
    assert {entry["photo"] for entry in entries} == set(rows)
    for entry in entries:
        assert entry["path"] == str(paths[entry["photo"]].absolute())
        found = [one["identity"] or config.data.new_label for one in entry["candidates"]]
        assert found == rows[entry["photo"]]
        assert all(one["photos"] for one in entry["candidates"] if one["identity"] is not None)


def test_an_answer_of_another_model_comes_first_and_has_no_probability(
    tiny_run: Run, tiny_config: TinyConfig, tmp_path: Path, says: Says
) -> None:
    """That nobody can say how sure it is makes it the one to look at."""
    config = tiny_config()
    known = Identifier.load(tiny_run.identifier)
    test = read_test(config.data).take([0, 1, 2])
    verdicts = known.judge(test)
    other = next(name for name in known.identities if name not in verdicts[1].answers)
    rows = [[name or config.data.new_label for name in one.answers] for one in verdicts]
    rows[1] = [other, *rows[1][:4]]
    table = tmp_path / "mine.csv"
    lines = (f"{image},{' '.join(row)}\n" for image, row in zip(test.images, rows, strict=True))
    table.write_text("Image,Id\n" + "".join(lines))
    page = tmp_path / "queue.html"
    _, error = says(
        "review", table, "--identifier", tiny_run.identifier, "-o", page, "-c", tiny_config.path
    )
    assert error is None
    first = queue_of(page)["entries"][0]
    assert first["photo"] == test.images[1]
    candidate = first["candidates"][0]
    assert (candidate["identity"], candidate["probability"]) == (other, None)
    own = {
        image
        for image, name in zip(known.gallery.images, known.gallery.identities, strict=True)
        if name == other
    }
    similar = [photo["similarity"] for photo in candidate["photos"]]
    assert {photo["name"] for photo in candidate["photos"]} <= own
    assert len(similar) == min(3, len(own))
    assert similar == sorted(similar, reverse=True)


@pytest.mark.parametrize(
    ("table", "with_config", "told"),
    [
        ("Image,Id\nFIRST,nobody_at_all\n", True, ("1 animal that neither", "nobody_at_all")),
        ("Image,Id\nnone.jpg,new_whale\n", True, ("1 photograph that tiny does not", "none.jpg")),
        ("Image,Id,More\nFIRST,new_whale,1\n", True, ("has two columns",)),
        ("Image,Id\nFIRST,new_whale\nFIRST,new_whale\n", True, ("repeats rows",)),
        ("Image,Id\nFIRST,new_whale\n", False, ("is a submission", "--config")),
    ],
)
def test_a_submission_that_does_not_fit_is_refused(
    table: str, with_config: bool, told: tuple[str, ...], tiny_run: Run, tiny_config: TinyConfig,
    tmp_path: Path, says: Says,
) -> None:  # fmt: skip
    file = tmp_path / "mine.csv"
    file.write_text(table.replace("FIRST", read_test(tiny_config().data).images[0]))
    more = ("-c", tiny_config.path) if with_config else ()
    page = tmp_path / "queue.html"
    _, error = says("review", file, "--identifier", tiny_run.identifier, "-o", page, *more)
    assert error is not None
    assert "\n" not in error
    for words in told:
        assert words in error
    assert not page.exists()


def test_a_page_that_cannot_be_written_is_refused(
    tiny_run: Run, folder: Path, tmp_path: Path, says: Says
) -> None:
    asked = ("review", folder, "--identifier", tiny_run.identifier, "-o")
    _, error = says(*asked, tmp_path)
    assert error is not None
    assert "is a folder" in error
    (tmp_path / "file").write_text("")
    _, error = says(*asked, tmp_path / "file" / "queue.html")
    assert error is not None
    assert "cannot make" in error


def test_animals_without_thumbnails_are_shown_from_the_configuration(
    tiny_run: Run, tiny_config: TinyConfig, tmp_path: Path, says: Says
) -> None:
    known = Identifier.load(tiny_run.identifier)
    bare = replace(known, showcase=Showcase.bare(known.gallery), origin=None)
    bare.save(tmp_path / "bare")
    config = tiny_config()
    table = submission(config)
    page = tmp_path / "queue.html"
    more = ("-c", tiny_config.path, "--most", "2")
    _, error = says("review", table, "--identifier", tmp_path / "bare", "-o", page, *more)
    assert error is None
    for entry in queue_of(page)["entries"]:
        for one in entry["candidates"]:
            assert all(photo["picture"] is not None for photo in one["photos"])
    # Without a configuration there are none, and the names are still asked.
    photos = [str(path) for path in (read_test(config.data).paths or ())[:2]]
    _, error = says("review", *photos, "--identifier", tmp_path / "bare", "-o", page)
    assert error is None
    shown = [p for e in queue_of(page)["entries"] for c in e["candidates"] for p in c["photos"]]
    assert shown
    assert all(photo["picture"] is None for photo in shown)


def test_a_submission_of_boxes_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    config = tiny_run.config()
    images = (*read_labelled(config.data).images, *read_test(config.data).images)
    table = tmp_path / "boxes.csv"
    table.write_text("Image,x0,y0,x1,y1\n" + "".join(f"{name},2,2,30,30\n" for name in images))
    data = config.data.model_copy(update={"boxes": str(table)})
    boxed = config.model_copy(update={"data": data})
    known = Identifier.load(tiny_run.identifier)
    refused(
        lambda: write_review(known, [submission(config)], tmp_path / "q.html", config=boxed),
        "answers boxes of photographs",
    )
    assert not (tmp_path / "q.html").exists()
