"""The file of hardest triplets: against distances by hand, and drawn by a fold of the run."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.embeddings import Embeddings
from flukeprint.identifier.reports.run_report import gather
from flukeprint.identifier.reports.triplet_export import export_triplets
from flukeprint.identifier.runs import Run
from flukeprint.training.datamodule import FoldData
from tests.processes import call
from tests.refusals import refused


@pytest.fixture
def copy(tiny_run: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(tiny_run.path, tmp_path / "run")))


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_rows_are_the_worst_of_each_anchor(copy: Run) -> None:
    file, found = export_triplets(copy, margin=2.0)  # of which no triplet falls short
    assert file == copy.path / "triplets.csv"
    rows = rows_of(file)
    assert len(rows) == len(found) > 0
    material = gather(copy)
    kept = Embeddings.load(copy.path / "embeddings.npz")
    place = {image: row for row, image in enumerate(kept.images)}
    allowed = {material.catalog.images[row] for row in material.split.train}
    queries = {material.catalog.images[row] for row in material.split.queries}
    for row in rows:
        anchor, positive, negative = row["anchor"], row["positive"], row["negative"]
        assert {anchor, positive, negative} <= allowed
        assert not {anchor, positive, negative} & queries
        vectors = kept.vectors[[place[one] for one in (anchor, positive, negative)]].astype(float)
        near = float(np.linalg.norm(vectors[0] - vectors[1]))
        far = float(np.linalg.norm(vectors[0] - vectors[2]))
        assert float(row["positive_distance"]) == pytest.approx(near, abs=1e-5)
        assert float(row["negative_distance"]) == pytest.approx(far, abs=1e-5)
        assert float(row["violation"]) == pytest.approx(near - far + 2, abs=1e-5)
    violations = [float(row["violation"]) for row in rows]
    assert violations == sorted(violations, reverse=True)
    assert len({row["anchor"] for row in rows}) == len(rows)


def test_a_training_of_the_fold_takes_the_file(copy: Run, tmp_path: Path) -> None:
    file, _ = export_triplets(copy, tmp_path / "few.csv", most=3, margin=2.0)
    assert len(rows_of(file)) == 3
    material = gather(copy)
    sampler = material.config.sampler.model_copy(
        update={"name": "positive_available", "triplets": file}
    )
    config = material.config.model_copy(update={"sampler": sampler})
    data = FoldData(config, material.catalog, material.split)
    names = [[data.train_catalog.images[row] for row in three] for three in data.triplets.rows]
    columns = ("anchor", "positive", "negative")
    assert names == [[row[column] for column in columns] for row in rows_of(file)]


def test_what_cannot_be_exported_is_refused(copy: Run, tmp_path: Path) -> None:
    refused(lambda: export_triplets(copy, tmp_path), "is a folder", "name a file")
    refused(lambda: export_triplets(copy, margin=-2.5), "no triplet", "margin -2.5", "--margin")
    assert not (copy.path / "triplets.csv").exists()
    refused(lambda: export_triplets(Run(tmp_path)), "is no run")


def test_the_command_says_what_to_do_next(copy: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    done = call(
        "flukeprint", "triplets", copy.path, "--out", file, "--most", "2", "--margin", "1.5"
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, following = done.stdout.splitlines()
    assert first.startswith("2 triplets of ")
    assert following == f"next: train with sampler.triplets={file}"
    assert len(rows_of(file)) == 2
