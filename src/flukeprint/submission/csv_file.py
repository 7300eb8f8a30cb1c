"""Write, check and score submissions: CSV files with the answers to each test photograph.

A row is a photo and its answers, best first, separated by blanks.  A label with blanks inside is
therefore written with `_` in their place (`written_label`), and refused if two labels would
become one (`unwritable`).  A new individual (None) is written as `new_label`.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from flukeprint.data.names import identity_name, unwritable, written_label
from flukeprint.data.tables import (
    Sample,
    check_filled,
    check_once,
    identities_of,
    read_header,
    read_sample,
    read_table,
)
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.evaluation.metrics import map_at_5
from flukeprint.files import written_whole

SUBMISSION_COLUMNS = ("Image", "Id")  # of Kaggle's whale competitions; used without a sample


def write_submission(
    images: Sequence[str],
    answers: Sequence[Sequence[str | None]],
    path: Path,
    *,
    new_label: str,
    sample: Path | None,
    top: int = 5,
    known: Iterable[str] = (),
) -> Path:
    """Write a submission with one row per photo, in the sample's order, atomically.

    Args:
        images: the photos, each once; (q,).
        answers: for each photo 1 to `top` distinct labels, best first; None is a new individual.
        new_label: label of a new individual.
        sample: the sample submission that gives column names, rows and their order; None keeps
            the order of `images`, with the columns `Image,Id`.
        top: most answers of a row (5 for whales, 1 for digits).
        known: all known labels, so that two written alike are refused even if neither is an
            answer here.

    Raises:
        FlukeprintError: photos missing, unknown to the sample or repeated; no, too many or
            repeated answers; an unusable label; the file cannot be written (nothing is left).
    """
    if len(images) != len(answers):
        raise ValueError(f"{len(images)} photos with {len(answers)} rows of answers")
    used = {label for row in answers for label in row if label is not None}
    form, written = plan_submission(
        images, new_label=new_label, sample=sample, known=used.union(known)
    )
    rows = {
        image: [new_label if label is None else written[label] for label in row]
        for image, row in zip(images, answers, strict=True)
    }
    _check_answers(rows, top, "the answers")
    with written_whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(map(_cell, form.columns)) + "\n")
        for image in form.images:
            file.write(f"{_cell(image)},{_cell(' '.join(rows[image]))}\n")
    return path


def plan_submission(
    images: Sequence[str], *, new_label: str, sample: Path | None, known: Iterable[str]
) -> tuple[Sample, dict[str, str]]:
    """Refuse photos and labels that no submission can hold, before anything is identified.

    Args: as of `write_submission`.

    Returns:
        Columns and rows of the submission, and label -> how it is written.

    Raises:
        FlukeprintError: photos missing, unknown to the sample or repeated; an unusable label.
    """
    form = Sample(SUBMISSION_COLUMNS, tuple(images)) if sample is None else read_sample(sample)
    _check_rows(images, form.images, "the answers", "the photos" if sample is None else str(sample))
    return form, _written(set(known), new_label)


def check_submission(
    path: Path,
    sample: Path | None,
    *,
    top: int = 5,
    known: Iterable[str] | None = None,
    new_label: str = "",
) -> int:
    """Check the CSV `path` before it is sent; returns the number of its rows.

    The order of rows is free.

    Args:
        sample: the sample submission, for columns and rows; None does not check them.
        known: labels of all known individuals; None does not check the answers.
        new_label: label of a new individual.

    Raises:
        FlukeprintError: as `write_submission` does, other column names, or unknown labels.
    """
    columns, rows = _read(path, top)
    if known is not None:
        _check_labels(rows, {written_label(label) for label in known} | {new_label}, path)
    if sample is None:
        return len(rows)
    form = read_sample(sample)
    if columns != form.columns:
        raise FlukeprintError(
            f"{path} has the columns {','.join(columns)}, {sample} wants {','.join(form.columns)}"
        )
    _check_rows(list(rows), form.images, str(path), str(sample))
    return len(rows)


def score(submission: Path, truth: Path) -> float:
    """MAP@5 of a submission against a CSV with the right answer of every photo.

    The truth has the submission's two columns, and may have more (such as a share).

    Raises FlukeprintError for missing, unknown or repeated rows and for rows without exactly
    one right answer.
    """
    columns, rows = _read(submission, top=5)
    table = read_table(truth, columns)
    check_filled(table, columns, truth)
    check_once(table, columns[0], columns[1], truth)
    _check_rows(list(rows), list(table[columns[0]]), str(submission), str(truth))
    predictions = [rows[image] for image in table[columns[0]]]
    return map_at_5(
        predictions, [written_label(identity_name(label)) for label in table[columns[1]]]
    )


def read_answers(truth: Path, *, new_label: str) -> dict[str, str | None]:
    """Read the right answers of a CSV `Image,Id`: photo -> identity, None for `new_label`.

    Raises FlukeprintError for missing columns, empty cells and photos in two rows.
    """
    table = read_table(truth, SUBMISSION_COLUMNS)
    check_filled(table, SUBMISSION_COLUMNS, truth)
    check_once(table, *SUBMISSION_COLUMNS, truth)
    return dict(zip(table["Image"], identities_of(table["Id"], new_label), strict=True))


def _read(path: Path, top: int) -> tuple[tuple[str, str], dict[str, list[str]]]:
    """Read a submission: its column names, and photo -> answers."""
    names = read_header(path)
    if len(names) != 2:
        raise FlukeprintError(f"{path}: a submission has two columns, found {listed(names)}")
    table = read_table(path, names)
    check_filled(table, names, path)
    check_once(table, names[0], None, path)
    rows = {
        image: identity_name(cell).split()
        for image, cell in zip(table[names[0]], table[names[1]], strict=True)
    }
    _check_answers(rows, top, str(path))
    return (names[0], names[1]), rows


def _check_rows(images: Sequence[str], wanted: Sequence[str], what: str, whose: str) -> None:
    """Refuse `images` that are not exactly the `wanted`, in whatever order."""
    seen: set[str] = set()
    twice = [image for image in images if image in seen or seen.add(image)]  # type: ignore[func-returns-value]
    if twice:
        raise FlukeprintError(f"{what}: photos with more than one row: {listed(twice)}")
    missing = [image for image in wanted if image not in seen]
    if missing:
        raise FlukeprintError(
            f"{what}: {len(missing)} of {len(wanted)} rows of {whose} are missing: "
            f"{listed(missing)}"
        )
    extra = sorted(seen.difference(wanted))
    if extra:
        raise FlukeprintError(f"{what}: rows that {whose} does not have: {listed(extra)}")


def _check_answers(rows: dict[str, list[str]], top: int, what: str) -> None:
    """Refuse rows without an answer, with more than `top`, or with one answer twice."""
    none = [image for image, row in rows.items() if not row]
    if none:
        raise FlukeprintError(f"{what}: photos without an answer: {listed(none)}")
    many = [image for image, row in rows.items() if len(row) > top]
    if many:
        raise FlukeprintError(
            f"{what}: photos with more than {counted(top, 'answer')}: {listed(many)}"
        )
    same = [image for image, row in rows.items() if len(set(row)) < len(row)]
    if same:
        raise FlukeprintError(f"{what}: photos with an answer given twice: {listed(same)}")


def _check_labels(rows: dict[str, list[str]], known: set[str], path: Path) -> None:
    """Refuse answers that no labelled photograph has."""
    unknown = {label: image for image, row in rows.items() for label in row if label not in known}
    if not unknown:
        return
    label, image = next(iter(unknown.items()))
    close = difflib.get_close_matches(label, known, n=1)
    raise FlukeprintError(
        f"{path}: {counted(len(unknown), 'label')} of no labelled photograph: "
        f"{listed(unknown, 5)}; the first stands for {image}"
        + (f"; did you mean {close[0]}?" if close else "")
    )


def _written(labels: set[str], new_label: str) -> dict[str, str]:
    """Map each label to its form in the file; refuses labels that no file can hold."""
    unfit = unwritable(labels, new_label)
    if unfit:
        raise FlukeprintError(unfit[0])
    return {label: written_label(label) for label in labels}


def _cell(text: str) -> str:
    """Format a CSV cell, in quotes only where they are needed (RFC 4180)."""
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
