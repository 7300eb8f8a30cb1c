"""Pseudo-labels: from a tiny run to a table, and from a table to photographs to learn from."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flukeprint.cli import app
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import PSEUDO_LABEL_COLUMNS, Run
from flukeprint.submission import pseudo_label as pseudo_labelling
from flukeprint.submission.pseudo_label import pseudo_label
from flukeprint.training.check import split_of
from flukeprint.training.datamodule import FoldData
from flukeprint.training.pseudo_labels import read_pseudo, train_photos
from flukeprint.training.train import train
from tests.refusals import refused
from tests.tiny import TinyConfig


@pytest.fixture
def tiny(tiny_config: TinyConfig, tmp_path: Path) -> TinyConfig:
    return tiny_config.apart(tmp_path)


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    """A copy of the finished run."""
    shutil.copytree(tiny_run.path, tmp_path / "runs" / "tiny" / tiny_run.name)
    return Run(tmp_path / "runs" / "tiny" / tiny_run.name)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def written(path: Path, *rows: tuple[object, ...]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([PSEUDO_LABEL_COLUMNS, *rows])
    return path


def with_table(tiny: TinyConfig, table: Path, *overrides: str) -> Config:
    return tiny(f"data.pseudo_labels={table}", *overrides)


def test_sure_photos_get_the_name_of_the_nearest_of_the_fold(tiny: TinyConfig, run: Run) -> None:
    test = Embeddings.load(run.path / "test.npz")
    sure = np.random.default_rng(0).random(len(test))
    found = rows_of(pseudo_label(run, 0.4, sure))

    catalog = read_labelled(tiny().data)
    gallery = split_of(tiny(), catalog).gallery
    known = Embeddings.load(run.path / "embeddings.npz").take(gallery)
    cosine = test.vectors.astype(np.float64) @ known.vectors.T.astype(np.float64)
    threshold = Identifier.load(run.identifier).card.threshold
    expected = {}
    for row, image in enumerate(test.images):
        nearest = int(cosine[row].argmax())
        if sure[row] >= 0.4 and (threshold is None or cosine[row, nearest] >= threshold):
            expected[image] = (known.identities[nearest], f"{sure[row]:.6f}", str(run.path))
    assert {r["Image"]: (r["Id"], r["confidence"], r["run"]) for r in found} == expected
    assert 0 < len(found) < len(test)
    order = [float(r["confidence"]) for r in found]
    assert order == sorted(order, reverse=True)


def test_what_is_not_sure_is_no_label(run: Run) -> None:
    q = len(Embeddings.load(run.path / "test.npz"))
    with pytest.raises(FlukeprintError, match=r"with confidence 0\.9; .*; lower --confidence"):
        pseudo_label(run, 0.9, np.full(q, 0.5))
    with pytest.raises(ValueError, match="probabilities for"):
        pseudo_label(run, 0.5, np.full(q - 1, 0.5))


def test_a_run_without_test_embeddings_is_refused(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "copy")
    (tmp_path / "copy" / "test.npz").unlink()
    with pytest.raises(FlukeprintError, match=r"test\.npz is missing; identify .* infer\.py"):
        pseudo_label(Run(tmp_path / "copy"))


def test_a_run_without_calibration_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Identifier.load(run.identifier).card.calibration is None  # its fold is small
    monkeypatch.setattr(pseudo_labelling, "check_readable", None)  # known without photographs
    with pytest.raises(FlukeprintError, match="has no calibration"):
        pseudo_label(run)


def test_only_new_individuals_are_no_matter_of_confidence(run: Run) -> None:
    """With confidence 0 there is nothing to lower."""
    identifier = Identifier.load(run.identifier)
    identifier.with_threshold(2.0).save(run.identifier)  # no cosine is as large
    q = len(Embeddings.load(run.path / "test.npz"))
    said = refused(lambda: pseudo_label(run, 0.0, np.full(q, 0.5)), f"of {q} test photographs each")
    assert "first answered new_whale" in str(said)
    assert "lower --confidence" not in str(said)


def test_the_door(tiny: TinyConfig, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudo_labelling, "check_calibrated", lambda *_: None)
    monkeypatch.setattr(Identifier, "probabilities", lambda _, ranking: np.full(len(ranking), 0.7))
    asked = ["pseudo-label", "--config", str(tiny.path), "--run", run.name]
    said = CliRunner().invoke(app, [*asked, "--confidence", "0.65"], catch_exceptions=False)
    table = run.path / "pseudo_labels-0.65.csv"
    assert said.exit_code == 0
    assert f"{len(rows_of(table))} test photographs: {table}" in said.output
    assert f"data.pseudo_labels={table}" in said.output


def fold(tiny: TinyConfig) -> tuple[Catalog, Catalog, list[str], str]:
    """Labelled photos, test photos, individuals of the fold and one that is not of it."""
    catalog = read_labelled(tiny().data)
    split = split_of(tiny(), catalog)
    inside = sorted(catalog.take(split.gallery).counts())
    (outside, *_) = sorted(set(catalog.counts()) - set(inside))
    return catalog, read_test(tiny().data), inside, outside


def test_pseudo_labels_are_learnt_from_and_nothing_else(
    tiny: TinyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog, test, inside, outside = fold(tiny)
    table = written(
        tmp_path / "table.csv",
        (test.images[3], inside[1], 0.9, "away"),
        (test.images[1], inside[0], 0.6, "away"),
        (test.images[2], inside[0], 0.59, "away"),
        (test.images[5], outside, 0.99, "away"),
    )
    config = with_table(tiny, table)
    split = split_of(config, catalog)
    plain, more = FoldData(tiny(), catalog, split), FoldData(config, catalog, split)
    n = len(plain.train_catalog)
    assert more.train_catalog.images == (*plain.train_catalog.images, *test.images[3:0:-2])
    assert more.train_catalog.paths[n:] == (test.paths[3], test.paths[1])
    assert more.train_catalog.identities[n:] == (inside[1], inside[0])
    assert more.classes == plain.classes
    assert more.labels.tolist() == [*plain.labels.tolist(), 1, 0]
    assert more.class_counts.sum() == plain.class_counts.sum() + 2
    assert more.validation_rows.tolist() == plain.validation_rows.tolist()
    assert more.catalog is catalog
    assert (
        "2 test photographs added to the training photographs (1 left out"
        in capsys.readouterr().err
    )
    run = train(with_table(tiny, table, "name=more"))
    assert set(Identifier.load(run.identifier).gallery.images) <= set(catalog.images)

    with pytest.raises(
        FlukeprintError, match="the pseudo-labels, the teachers or the triplets are not"
    ):
        more.load_state_dict(plain.state_dict())
    more.load_state_dict(FoldData(config, catalog, split).state_dict())


def test_a_copy_of_a_query_is_not_learnt_from(tiny: TinyConfig, tmp_path: Path) -> None:
    catalog, test, inside, _ = fold(tiny)
    split = split_of(tiny(), catalog)
    assert catalog.paths is not None
    assert test.paths is not None
    shutil.copytree(tiny().data.root, tmp_path / "shapes")
    config = tiny(f"data.root={tmp_path}/shapes")
    catalog = read_labelled(config.data)
    assert catalog.paths is not None
    query = catalog.paths[int(split.queries[0])]
    shutil.copy(query, tmp_path / "shapes" / "test" / test.images[0])
    rows = [(test.images[i], inside[0], 0.9, "away") for i in range(2)]
    table = written(tmp_path / "table.csv", *rows)
    config = tiny(f"data.root={tmp_path}/shapes", f"data.pseudo_labels={table}")
    photos = train_photos(config, catalog, split)
    assert photos.images[len(split.train) :] == (test.images[1],)


def test_a_table_of_another_fold_is_refused(tiny: TinyConfig, run: Run, tmp_path: Path) -> None:
    catalog, test, inside, _ = fold(tiny)
    table = written(tmp_path / "table.csv", (test.images[0], inside[0], 0.9, run.path))
    train_photos(with_table(tiny, table), catalog, split_of(tiny(), catalog))
    config = with_table(tiny, table, "split.fold=1")
    with pytest.raises(FlukeprintError, match=r"another fold: its split\.fold is 0, not 1"):
        train_photos(config, catalog, split_of(config, catalog))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("nowhere.jpg", "{inside}", 0.9, "r"), "no test photographs: nowhere.jpg"),
        (("{test}", "nobody", 0.9, "r"), "individuals without a labelled photo: nobody"),
        (("{test}", "{inside}", "much", "r"), "confidence is no number from 0 to 1 in line 2"),
        (("{test}", "{inside}", 1.1, "r"), "confidence is no number from 0 to 1 in line 2"),
        (("{test}", "{inside}", 0.5994, "r"), r"pseudo_confidence=0\.6, the surest is 0\.599"),
        (("{test}", "{inside}", 0.9, ""), "column run is empty in line 2"),
    ],
)
def test_bad_rows_are_one_clear_line(
    tiny: TinyConfig, tmp_path: Path, row: tuple[object, ...], words: str
) -> None:
    catalog, test, inside, _ = fold(tiny)
    cells = [str(cell).format(test=test.images[0], inside=inside[0]) for cell in row]
    config = with_table(tiny, written(tmp_path / "table.csv", tuple(cells)))
    with pytest.raises(FlukeprintError, match=words) as error:
        read_pseudo(config.data, catalog)
    assert "\n" not in str(error.value)
    with pytest.raises(FlukeprintError, match="is missing; write it with `flukeprint pseudo"):
        read_pseudo(with_table(tiny, tmp_path / "none.csv").data, catalog)
