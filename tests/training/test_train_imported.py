"""Training on what other programs wrote: a COCO file, and a workbook with its own headers."""

from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.exchange.forms import write_observed
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.readers.read import read_labelled
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import find_run
from flukeprint.submission.infer import infer
from tests.processes import call
from tests.tiny import TinyConfig

NO_SAMPLE = "data.sample_submission=null"


def drawn_photos(config: DataConfig) -> tuple[Catalog, list[ObservedPhoto]]:
    """The drawn photographs, a part of each as the animal's box."""
    catalog = read_labelled(config)
    assert catalog.paths is not None
    photos = [
        ObservedPhoto(image, path.absolute(), identity=identity, box=(0.1, 0.0, 0.9, 1.0))
        for image, path, identity in zip(
            catalog.images, catalog.paths, catalog.identities, strict=True
        )
    ]
    return catalog, photos


def write_table(photos: Sequence[ObservedPhoto], path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Datei", "Wer", "Links", "Oben", "Rechts", "Unten"])
    for photo in photos:
        assert photo.box is not None
        sheet.append([str(photo.path), photo.identity, *photo.box])
    book.save(path)


@pytest.mark.parametrize("form", ["coco", "xlsx"])
def test_a_run_is_trained_from_it(tiny: TinyConfig, tmp_path: Path, form: str) -> None:
    usual = tiny().data
    catalog, photos = drawn_photos(usual)
    source = tmp_path / "source"
    source.mkdir()
    overrides = ["data.reader=imported", f"data.root={source}", NO_SAMPLE, "train.epochs=1"]
    if form == "coco":
        write_observed(Observed("drawn", "", tuple(photos)), source / "t.json", "coco")
        overrides += ["data.labels=t.json"]
    else:
        write_table(photos, source / "t.xlsx")
        overrides += [
            "data.labels=t.xlsx", "data.box_unit=share",
            "data.columns={image: Datei, identity: Wer, x0: Links, y0: Oben, x1: Rechts, "
            "y1: Unten}",
        ]  # fmt: skip
    (source / "test").symlink_to((usual.root / "test").absolute())
    config = tiny(*overrides)
    found = read_labelled(config.data)
    named = [row for row, identity in enumerate(catalog.identities) if identity is not None]
    assert found.identities == tuple(catalog.identities[row] for row in named)
    assert found.boxes is not None
    assert None not in found.boxes
    done = call("python", "train.py", "--config", tiny.path, *overrides)
    assert done.returncode == 0, done.stderr
    run = find_run(config)
    assert run.finished
    assert Identifier.load(run.identifier).identities == found.vocabulary()
    answers = infer(config, run)
    assert answers is not None
    rows = answers.submission.read_text().splitlines()
    assert len(rows) == 1 + usual.synthetic.test_photos
