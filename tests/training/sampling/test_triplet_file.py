"""The file of triplets: read as rows of the training photographs, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.training.check import check
from flukeprint.training.sampling.triplet_file import read_triplets
from flukeprint.training.train import train
from tests.refusals import refused
from tests.tiny import TinyConfig
from tests.training.learner import fold_data

PHOTOS = Catalog(
    tuple(f"{i}.jpg" for i in range(6)), tuple(Path(f"{i}.jpg") for i in range(6)),
    ("a", "a", "b", "b", None, None),
)  # fmt: skip
LABELS = np.array([0, 0, 1, 1, -1, -1])
HEAD = "anchor,positive,negative\n"


def read(folder: Path, text: str):
    file = folder / "triplets.csv"
    file.write_text(text)
    return read_triplets(file, PHOTOS, LABELS)


def test_names_become_rows(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + "0.jpg,1.jpg,2.jpg\n3.jpg, 2.jpg ,4.jpg\n")
    assert found.rows.tolist() == [[0, 1, 2], [3, 2, 4]]
    more = read(
        tmp_path, "violation,negative,positive,anchor\n0.5,2.jpg,1.jpg,0.jpg\n1,4.jpg,2.jpg,3.jpg\n"
    )
    assert more.rows.tolist() == found.rows.tolist()
    assert more.digest == found.digest  # further columns are not looked at
    assert read(tmp_path, HEAD + "0.jpg,1.jpg,2.jpg\n").digest != found.digest
    assert read_triplets(None, PHOTOS, LABELS).digest == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("triplets.csv",)),
        (HEAD, ("column names but no rows",)),
        ("anchor,negative\n0.jpg,2.jpg\n", ("no column positive",)),
        (HEAD + "0.jpg,,2.jpg\n", ("column positive is empty in line 2",)),
        (HEAD + "0.jpg,1.jpg,9.jpg\n", ("9.jpg", "not training photographs of this fold")),
        (HEAD + "0.jpg,0.jpg,2.jpg\n", ("one photograph twice", "line 2")),
        (HEAD + "0.jpg,1.jpg,2.jpg\n0.jpg,1.jpg,1.jpg\n", ("one photograph twice", "line 3")),
        (HEAD + "0.jpg,2.jpg,3.jpg\n", ("not of one class", "line 2")),
        (HEAD + "4.jpg,5.jpg,3.jpg\n", ("not of one class", "line 2")),  # new ones are no pair
        (HEAD + "0.jpg,4.jpg,3.jpg\n", ("not of one class",)),
        (HEAD + "2.jpg,3.jpg,0.jpg\n2.jpg,3.jpg,0.jpg\n", ("there already", "line 3")),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    refused(lambda: read(tmp_path, text), "triplets.csv", *words)


def test_a_negative_of_the_anchors_class_is_refused(tmp_path: Path) -> None:
    catalog = Catalog(PHOTOS.images, PHOTOS.paths, ("a", "a", "a", "b", None, None))
    (tmp_path / "t.csv").write_text(HEAD + "0.jpg,1.jpg,2.jpg\n")
    refused(
        lambda: read_triplets(tmp_path / "t.csv", catalog, np.array([0, 0, 0, 1, -1, -1])),
        "are of one class", "line 2",
    )  # fmt: skip
    refused(lambda: read_triplets(tmp_path / "no.csv", catalog, LABELS), "flukeprint triplets")


@pytest.fixture
def tiny(tiny_config: TinyConfig, tmp_path: Path) -> TinyConfig:
    return tiny_config.apart(tmp_path)


def of_fold(tiny: TinyConfig, count: int, *overrides: str) -> Path:
    """Write triplets of the training photographs of tiny's fold."""
    data = fold_data(tiny(*overrides))
    names, labels = data.train_catalog.images, data.labels
    rows = []
    for a in range(len(labels)):
        positives = np.flatnonzero((labels == labels[a]) & (np.arange(len(labels)) != a))
        if labels[a] >= 0 and len(positives) and len(rows) < count:
            n = int(np.flatnonzero(labels != labels[a])[a % 3])
            rows.append(f"{names[a]},{names[positives[0]]},{names[n]}")
    assert len(rows) == count
    file = tiny.folder / "triplets.csv"
    file.write_text(HEAD + "\n".join(rows) + "\n")
    return file


def test_a_training_draws_them_and_resumes_with_the_same_ones_only(tiny: TinyConfig) -> None:
    file = of_fold(tiny, 6)
    common = (
        "losses=[{name: triplet}]", "sampler.name=positive_available", f"sampler.triplets={file}",
        "train.epochs=1", "train.report=false",
    )  # fmt: skip
    assert train(tiny(*common)).finished
    data = fold_data(tiny(*common))
    assert data.triplets_drawn(1)[0] > 0
    state = data.state_dict()
    data.load_state_dict(state)
    of_fold(tiny, 5)
    other = fold_data(tiny(*common))
    refused(lambda: other.load_state_dict(state), "triplets", "start a new run")
    without = fold_data(tiny(*(key for key in common if "triplets=" not in key)))
    assert "triplets" not in without.state_dict()  # as in checkpoints of earlier versions
    refused(lambda: without.load_state_dict(state), "triplets")


def test_queries_of_the_fold_are_refused_before_anything_is_written(tiny: TinyConfig) -> None:
    data = fold_data(tiny())
    query = data.catalog.images[data.split.queries[0]]
    file = of_fold(tiny, 3)
    anchor, positive, _ = file.read_text().splitlines()[1].split(",")
    file.write_text(f"{HEAD}{anchor},{positive},{query}\n")
    config = tiny("sampler.name=positive_available", f"sampler.triplets={file}")
    refused(lambda: train(config), query, "not training photographs of this fold")
    assert not (tiny.folder / "runs").exists()


def test_triplets_that_no_batch_has_room_for_are_refused(tiny: TinyConfig) -> None:
    file = of_fold(tiny, 1)
    size = len(fold_data(tiny()).labels)
    config = tiny(
        "sampler.name=positive_available", f"sampler.triplets={file}",
        f"sampler.batch_size={4 * size}", "sampler.triplets_share=0.01",
    )  # fmt: skip
    refused(lambda: check(config), "no batch can show a triplet", "sampler.batch_size")
    with pytest.raises(FlukeprintError, match="shuffled"):
        check(tiny(f"sampler.triplets={file}", "sampler.name=shuffled"))
