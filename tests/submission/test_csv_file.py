"""Submissions written, checked and scored; every refusal leaves no file."""

import errno
import io
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.tables import read_sample
from flukeprint.errors import FlukeprintError
from flukeprint.submission.csv_file import (
    check_submission,
    read_answers,
    score,
    write_submission,
    written_label,
)
from tests.refusals import refused


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write(tmp_path / "sample_submission.csv", "Image,Id", "b.jpg,x y", "a.jpg,x y")


def test_rows_columns_and_order_come_from_the_sample(tmp_path: Path, sample: Path) -> None:
    path = write_submission(
        ["a.jpg", "b.jpg"],
        [["w_1", None, "w_2"], [None]],
        tmp_path / "out" / "s.csv",
        new_label="new_whale",
        sample=sample,
    )
    assert path.read_text() == "Image,Id\nb.jpg,new_whale\na.jpg,w_1 new_whale w_2\n"
    assert check_submission(path, sample) == 2
    assert [file.name for file in path.parent.iterdir()] == ["s.csv"]


def test_without_a_sample_the_given_order_is_kept(tmp_path: Path) -> None:
    path = write_submission(
        ["b", "a"], [["w_1"], ["w_2"]], tmp_path / "s.csv", new_label="new_whale", sample=None
    )
    assert path.read_text() == "Image,Id\nb,w_1\na,w_2\n"


def test_digits_have_one_answer_and_other_columns(tmp_path: Path) -> None:
    sample = write(tmp_path / "sample.csv", "ImageId,Label", "1,0", "2,0")
    path = tmp_path / "s.csv"
    write_submission(["1", "2"], [["7"], ["2"]], path, new_label="new", sample=sample, top=1)
    assert path.read_text() == "ImageId,Label\n1,7\n2,2\n"
    assert check_submission(path, sample, top=1) == 2
    path.unlink()
    refused(
        lambda: write_submission(
            ["1", "2"], [["7", "1"], ["2"]], path, new_label="new", sample=sample, top=1
        ),
        "more than 1 answer",
        "1",
    )
    assert not path.exists()


@pytest.mark.parametrize(
    ("images", "answers", "words"),
    [
        (["a.jpg"], [["w_1"]], ["1 of 2 rows", "missing: b.jpg"]),
        (["a.jpg", "b.jpg", "c.jpg"], [["w_1"]] * 3, ["does not have: c.jpg"]),
        (["a.jpg", "b.jpg", "a.jpg"], [["w_1"]] * 3, ["more than one row: a.jpg"]),
        (["a.jpg", "b.jpg"], [["w_1"], []], ["without an answer: b.jpg"]),
        (["a.jpg", "b.jpg"], [["w_1"], ["w_1", "w_1"]], ["given twice: b.jpg"]),
        (["a.jpg", "b.jpg"], [["w_1"], [None, None]], ["given twice: b.jpg"]),
        (["a.jpg", "b.jpg"], [list("123456"), ["1"]], ["more than 5 answers: a.jpg"]),
        (["a.jpg", "b.jpg"], [["w 1"], ["w_1"]], ["'w 1' and 'w_1'", "written w_1"]),
        (["a.jpg", "b.jpg"], [["new_whale"], ["w_1"]], ["written new_whale"]),
        (["a.jpg", "b.jpg"], [[" "], ["w_1"]], ["without a name"]),
    ],
)
def test_bad_answers_leave_no_file(
    tmp_path: Path,
    sample: Path,
    images: list[str],
    answers: list[list[str | None]],
    words: list[str],
) -> None:
    path = tmp_path / "out.csv"
    refused(
        lambda: write_submission(images, answers, path, new_label="new_whale", sample=sample),
        *words,
    )
    assert not path.exists()


def test_blanks_inside_a_label_become_one_underscore(tmp_path: Path) -> None:
    path = write_submission(
        ["a"], [["acanthogonatus sp", "x"]], tmp_path / "s.csv", new_label="new", sample=None
    )
    assert path.read_text() == "Image,Id\na,acanthogonatus_sp x\n"
    refused(
        lambda: write_submission(
            ["a"],
            [["acanthogonatus sp"]],
            path,
            new_label="new",
            sample=None,
            known=["acanthogonatus_sp"],
        ),
        "both be written acanthogonatus_sp",
    )
    refused(
        lambda: write_submission(["a"], [["x"]], path, new_label="a b", sample=None), "new_label"
    )


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "s.csv", "the last good submission")
    before = sorted(tmp_path.iterdir())

    class FullDisk(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open

    def opened(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return FullDisk() if mode == "w" else real(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    refused(
        lambda: write_submission(
            ["a.jpg", "b.jpg"], [["w_1"], ["w_2"]], path, new_label="new", sample=sample
        ),
        "s.csv",
        "No space left on device",
    )
    monkeypatch.undo()
    assert sorted(tmp_path.iterdir()) == before
    assert path.read_text() == "the last good submission\n"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["Image,Id", "a.jpg,w_1"], ["missing: b.jpg"]),
        (["Image,Id", "a.jpg,w_1", "b.jpg,w_1", "a.jpg,w_1"], ["repeats rows: a.jpg"]),
        (["Image,Id", "a.jpg,w_1", "b.jpg,w_1", "c.jpg,w_1"], ["does not have: c.jpg"]),
        (["Image,Label", "a.jpg,w_1", "b.jpg,w_1"], ["columns Image,Label", "wants Image,Id"]),
        (["Image,Id", "a.jpg,w_1", "b.jpg,"], ["column Id is empty in line 3"]),
        (["Image,Id", "a.jpg,w_1 w_1", "b.jpg,w_1"], ["given twice: a.jpg"]),
        (["Image,Id", "a.jpg,1 2 3 4 5 6", "b.jpg,w_1"], ["more than 5"]),
        (["Image,Id,x", "a.jpg,1,2"], ["two columns"]),
    ],
)
def test_bad_submissions_are_found(
    tmp_path: Path, sample: Path, lines: list[str], words: list[str]
) -> None:
    path = write(tmp_path / "s.csv", *lines)
    refused(lambda: check_submission(path, sample), "s.csv", *words)


def test_score_by_hand(tmp_path: Path) -> None:
    truth = write(
        tmp_path / "t.csv", "Usage,Image,Id", "p,a,w_1", "p,b,new_whale", "q,c,w 9", "q,d,w_4"
    )
    path = write(
        tmp_path / "s.csv",
        "Image,Id",
        "d,w_1 w_2 w_3 w_5 w_6",
        "c,w_1 w_2 w_9",
        "b,w_1 new_whale",
        "a,w_1",
    )
    assert score(path, truth) == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)


def test_score_refuses_missing_repeated_and_unknown_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "Image,Id", "a,w_1", "b,w_2")
    truth = tmp_path / "t.csv"
    refused(lambda: score(path, truth), "t.csv is missing")
    refused(lambda: score(tmp_path / "no.csv", path), "no.csv is missing")
    write(truth, "Image,Id", "a,w_1", "b,w_2", "c,w_3")
    refused(lambda: score(path, truth), "s.csv", "missing: c")
    write(truth, "Image,Id", "a,w_1")
    refused(lambda: score(path, truth), "s.csv", "does not have: b")
    write(truth, "Image,Id", "a,w_1", "b,w_2", "b,w_3")
    refused(lambda: score(path, truth), "t.csv", "two values of Id: b (w_2, w_3)")
    write(truth, "Image,Label", "a,w_1", "b,w_2")
    refused(lambda: score(path, truth), "t.csv has no column Id")


def test_answers_are_read_with_none_for_new_individuals(tmp_path: Path) -> None:
    truth = write(tmp_path / "t.csv", "Image,Id", "a,w_1", "b,new_whale")
    assert read_answers(truth, new_label="new_whale") == {"a": "w_1", "b": None}
    write(truth, "Image,Id", "a,w_1", "a,w_1")
    refused(lambda: read_answers(truth, new_label="new_whale"), "t.csv repeats rows: a")


labels = st.text("abcXYZ019_- \t,\"'é", min_size=1).filter(lambda text: text.strip() != "")
answers = st.lists(st.one_of(st.none(), labels), min_size=1, max_size=5, unique_by=str)


@given(st.lists(answers, min_size=1, max_size=6))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str | None]]
) -> None:
    """pandas reads the file as meant, or the labels were refused for a reason."""
    path = tmp_path_factory.mktemp("s") / "s.csv"
    images = [f'photo "{i}", 1.jpg' for i in range(len(rows))]
    used = {label for row in rows for label in row if label is not None}
    try:
        write_submission(images, rows, path, new_label="new_whale", sample=None)
    except FlukeprintError:
        assert len({written_label(label) for label in used}) < len(used)
        assert not path.exists()
        return
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(table["Image"]) == images
    assert [cell.split(" ") for cell in table["Id"]] == [
        ["new_whale" if label is None else written_label(label) for label in row] for row in rows
    ]


def test_a_zipped_submission_is_read(tmp_path: Path, sample: Path) -> None:
    images = read_sample(sample).images
    rows = "".join(f"{image},new_whale\n" for image in images)
    plain = tmp_path / "mine.csv"
    plain.write_text(f"{','.join(read_sample(sample).columns)}\n{rows}")
    with zipfile.ZipFile(tmp_path / "mine.csv.zip", "w") as archive:
        archive.write(plain, "mine.csv")
    assert check_submission(tmp_path / "mine.csv.zip", sample) == len(images)
    assert score(tmp_path / "mine.csv.zip", plain) == 1
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.write(plain, "mine.csv")
        archive.write(plain, "other.csv")
    refused(lambda: score(tmp_path / "two.zip", plain), "two.zip is a ZIP file", "unpack it")
