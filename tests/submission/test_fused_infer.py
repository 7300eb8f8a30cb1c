"""From training to a submission and pseudo-labels: keypoints matched at once, parts fused."""

import csv
from pathlib import Path

import numpy as np
import pytest

from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import insert_new_individual
from flukeprint.submission.infer import infer
from flukeprint.submission.pseudo_label import pseudo_label
from flukeprint.training.check import split_of
from flukeprint.training.train import train
from tests.tiny import TinyConfig

RULES = (
    "rank.local={candidates: all, matcher: lnbnn, side: 64, keypoints: 40}", "rank.fuse=true",
    "rank.head=0.2", "rank.other_view=fit", "train.epochs=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> TinyConfig:
    return tiny_config.apart(tmp_path_factory.mktemp("fused"))


@pytest.fixture(scope="module")
def run(tiny: TinyConfig) -> Run:
    return train(tiny(*RULES))


def test_a_run_keeps_what_was_fitted(tiny: TinyConfig, run: Run) -> None:
    identifier = Identifier.load(run.identifier)
    assert isinstance(identifier.keypoints, DescriptorIndex)
    method = identifier.card.method
    assert method.rules == tiny(*RULES).rank
    assert method.fusion is not None
    assert set(method.fusion.measured) >= {"embedding", "head", "keypoints"}
    assert not (run.identifier / "keypoints.npz").exists()
    assert (run.path / "matches.png").is_file()


def test_a_submission_holds_what_the_identifier_says(tiny: TinyConfig, run: Run) -> None:
    config = tiny(*RULES)
    answers = infer(config, run)
    want = Identifier.load(run.identifier).identify(read_test(config.data))
    assert answers.ranking.images == want.images
    assert answers.ranking.identities == want.identities
    np.testing.assert_allclose(answers.ranking.scores, want.scores, atol=1e-4)
    assert ((want.scores >= 0) & (want.scores <= 1)).all()
    with answers.submission.open(newline="") as file:
        rows = {row["Image"]: row["Id"].split() for row in csv.DictReader(file)}
    for image, names in zip(want.images, want.identities, strict=True):
        assert rows[image] == ["new_whale" if name is None else name for name in names]


def test_pseudo_labels_are_those_of_the_fold_alone(tiny: TinyConfig, run: Run) -> None:
    config = tiny(*RULES)
    infer(config, run)
    test = read_test(config.data)
    identifier = Identifier.load(run.identifier)
    catalog = read_labelled(config.data)
    gallery = set(catalog.take(split_of(config, catalog).gallery).images)
    rows = [row for row, image in enumerate(identifier.gallery.images) if image in gallery]
    assert 0 < len(rows) < len(catalog)
    # The index of the fold is made anew from keypoints that are found again.
    known = catalog.take([catalog.images.index(identifier.gallery.images[row]) for row in rows])
    features = extract_features(identifier.gallery.take(rows), known, config.image, config.rank)
    prepared = Identifier(
        identifier.card, identifier.net, features.embeddings,
        DescriptorIndex.build(features.keypoints), identifier.centers,
    ).prepared  # fmt: skip
    queries = identifier.examine(test)
    assert isinstance(queries, Features)
    ranking = QueryRanker(prepared, queries).rank(identifier.card.method)
    if identifier.card.threshold is not None:
        ranking = insert_new_individual(ranking, identifier.card.threshold)
    with pseudo_label(run, 0.5, np.ones(len(test))).open(newline="") as file:
        found = {row["Image"]: row["Id"] for row in csv.DictReader(file)}
    want = {
        image: names[0]
        for image, names in zip(ranking.images, ranking.identities, strict=True)
        if names[0] is not None
    }
    # Another index has other rounding: near ties may fall otherwise.
    assert len(set(found.items()) & set(want.items())) >= 0.8 * len(want)
    assert Path(run.path / "pseudo_labels-0.5.csv").is_file()
