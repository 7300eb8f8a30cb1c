"""Which photographs a fold's studies are made on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.splits import Split
from flukeprint.evaluation.studies.fold import Fold, fold_of_run, number_individuals
from tests.evaluation.studies.folds import drawn_fold
from tests.refusals import refused
from tests.tiny import TinyConfig


def test_individuals_are_numbered_and_the_nameless_are_their_own() -> None:
    assert number_individuals(["b", None, "a", "b", None]).tolist() == [0, 1, 2, 0, 3]
    assert number_individuals([]).tolist() == []


def test_known_and_unseen() -> None:
    fold = drawn_fold(animals=5, each=3, queries=1, unseen=2, unnamed=2)
    assert {fold.identities[row] for row in fold.known_queries()} == {"a000", "a001", "a002"}
    assert len(fold.known_queries()) == 3
    assert {fold.identities[row] for row in fold.unseen()} == {"a003", "a004"}
    assert len(fold.unseen()) == 6


def test_columns_are_checked() -> None:
    fold = drawn_fold(animals=3, unnamed=1)
    with pytest.raises(ValueError, match="one a photograph"):
        replace(fold, groups=fold.groups[1:])
    with pytest.raises(ValueError, match="no identity"):
        replace(fold, gallery=np.array([len(fold.identities) - 1]))


def parts(tmp_path: Path) -> tuple[Catalog, Split, Embeddings]:
    names = ("a", "a", "b", "b", "c", None)
    paths = tuple(tmp_path / f"{i}.jpg" for i in range(6))
    for i, path in enumerate(paths):
        path.write_bytes(b"same" if i in (0, 1) else b"other" + bytes(i))
    catalog = Catalog(tuple(path.name for path in paths), paths, names)
    split = Split(np.array([0, 1, 2]), np.array([0, 1, 2]), np.array([3, 4, 5]), ("b", None, None))
    vectors = np.eye(6, dtype=np.float32)
    return catalog, split, Embeddings(vectors, catalog.images, names, None, "stamp")


def test_a_fold_is_gathered_with_copies_and_what_training_saw(tmp_path: Path) -> None:
    catalog, split, embeddings = parts(tmp_path)
    fold = Fold.of(embeddings, catalog, split, name="x", number=2, seed=3)
    assert fold.groups[0] == fold.groups[1]
    assert len(set(fold.groups.tolist())) == 5
    assert fold.trained == (True, True, True, True, False, False)
    assert not any(
        Fold.of(embeddings, catalog, split, name="x", number=0, seed=0, trained=False).trained
    )
    other = replace(embeddings, images=(*embeddings.images[1:], "z"))
    refused(lambda: Fold.of(other, catalog, split, name="x", number=0, seed=0), "x", "train again")


def test_pseudo_labels_may_be_of_anybody(tmp_path: Path, tiny_config: TinyConfig) -> None:
    catalog, split, embeddings = parts(tmp_path)
    config = tiny_config()
    assert not all(fold_of_run(config, "r", catalog, split, embeddings).trained)
    data = config.data.model_copy(update={"pseudo_labels": tmp_path / "labels.csv"})
    config = config.model_copy(update={"data": data})
    fold = fold_of_run(config, "r", catalog, split, embeddings)
    assert all(fold.trained)
    assert fold.name == "tiny/r"
