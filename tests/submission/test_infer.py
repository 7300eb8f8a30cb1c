"""From a run to a submission with ranking rules on: one method, whoever answers."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.splits import halves
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import CENTERS, Run
from flukeprint.ranking.rules import FittedRules
from flukeprint.submission.infer import infer
from flukeprint.submission.pseudo_label import pseudo_label
from flukeprint.training.check import split_of
from flukeprint.training.cross_validation import answers_of
from flukeprint.training.train import baselines, train
from tests.tiny import TinyConfig

RULES = (
    "rank.local={candidates: 3, side: 64, keypoints: 40}", "rank.head=0.2", "rank.other_view=fit",
    "train.epochs=1", "infer.zooms=[1, 0.7]",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> TinyConfig:
    return tiny_config.apart(tmp_path_factory.mktemp("inference"))


@pytest.fixture(scope="module")
def run(tiny: TinyConfig) -> Run:
    return train(tiny(*RULES))


def test_a_submission_holds_what_the_identifier_says(tiny: TinyConfig, run: Run) -> None:
    config = tiny(*RULES)
    answers = infer(config, run)
    identifier = Identifier.load(run.identifier)
    assert identifier.card.method.rules == config.rank
    want = identifier.identify(read_test(config.data))
    assert answers.ranking.images == want.images
    assert answers.ranking.identities == want.identities
    np.testing.assert_allclose(answers.ranking.scores, want.scores, atol=1e-5)
    with answers.submission.open(newline="") as file:
        rows = {row["Image"]: row["Id"].split() for row in csv.DictReader(file)}
    for image, names in zip(want.images, want.identities, strict=True):
        assert rows[image] == ["new_whale" if name is None else name for name in names]


def test_other_settings_keep_their_own_submission(
    tiny_config: TinyConfig, tiny_run: Run, tmp_path: Path
) -> None:
    tiny = tiny_config.apart(tmp_path)
    plain = infer(tiny(), tiny_run)
    assert plain.submission == tmp_path / "submissions" / f"tiny-{tiny_run.name}.csv"
    before = plain.submission.read_bytes()
    never, always = (infer(tiny(f"infer.threshold={value}"), tiny_run) for value in ("none", "2.0"))
    assert never.submission.name == f"tiny-{tiny_run.name}-threshold-none.csv"
    assert always.submission.name == f"tiny-{tiny_run.name}-threshold-2.0.csv"
    assert plain.submission.read_bytes() == before
    assert len({one.submission.read_bytes() for one in (plain, never, always)}) == 3
    again = infer(tiny("infer.batch_size=8"), tiny_run)
    assert again.submission == plain.submission
    assert "replaced" not in again.text()  # the same answers


def test_answers_of_the_same_settings_are_replaced_with_a_word(
    tiny_config: TinyConfig, tiny_run: Run, tmp_path: Path
) -> None:
    tiny = tiny_config.apart(tmp_path)
    submission = infer(tiny(), tiny_run).submission
    submission.write_text("Image,Id\nother.jpg,w_1\n")
    again = infer(tiny(), tiny_run)
    assert again.submission == submission
    assert f"{submission} had other answers of the same settings" in again.text()


def test_other_test_photographs_leave_the_embeddings_of_the_run(
    tiny_config: TinyConfig, tiny_run: Run, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run.path, tmp_path / "runs" / "tiny" / tiny_run.name)
    run = Run(tmp_path / "runs" / "tiny" / tiny_run.name)
    before = (run.path / "test.npz").read_bytes()
    config = tiny_config.apart(tmp_path)("data.test=train", "data.sample_submission=null")
    answers = infer(config, run)
    assert answers.submission.name == f"tiny-{run.name}-sample_submission-none-test-train.csv"
    assert (run.path / "test.npz").read_bytes() == before
    (other,) = run.path.glob("test-*.npz")
    assert Embeddings.load(other).images == read_test(config.data).images


def test_a_run_keeps_what_its_answers_are_made_of(tiny: TinyConfig, run: Run) -> None:
    identifier = Identifier.load(run.identifier)
    assert identifier.keypoints is not None
    assert identifier.centers is not None
    assert len(identifier.keypoints) == len(identifier.gallery)
    kept = Embeddings.load(run.path / CENTERS)
    np.testing.assert_array_equal(kept.vectors, identifier.centers.vectors)
    assert kept.stamp == identifier.card.stamp
    catalog = read_labelled(tiny(*RULES).data)
    trained = catalog.take(split_of(tiny(*RULES), catalog).train)
    assert kept.identities == trained.vocabulary()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("rank.expand=1", "another rank than"),
        ("rank.local.candidates=0", "another rank than"),
        ("rank.head=0.1", "another rank than"),
        ("infer.zooms=[1]", r"another infer\.zooms than"),
        ("image.reserve=1.5", "another image than"),
    ],
)
def test_other_rules_than_those_of_the_run_are_refused(
    tiny: TinyConfig, run: Run, override: str, said: str
) -> None:
    with pytest.raises(FlukeprintError, match=said):
        infer(tiny(*RULES, override), run)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["infer.engine=onnxruntime", "infer.precision=bf16"], "onnxruntime on this machine have"),
        (["train.accelerator=gpu"], r"train\.accelerator=gpu, but torch finds none"),
        (["submissions={folder}/file/below"], "cannot make .*/file/below: Not a directory"),
        (["data.new_label=two words"], "must be a word without blanks"),
    ],
)
def test_what_cannot_be_written_is_not_embedded(
    tiny: TinyConfig,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    words: str,
) -> None:
    def embed(*_: object, **__: object) -> None:
        raise AssertionError("photographs were embedded")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(Identifier, "examine", embed)
    (tiny.folder / "file").touch()
    options = [option.format(folder=tiny.folder) for option in options]
    with pytest.raises(FlukeprintError, match=words):
        infer(tiny(*RULES, *options), run)


def test_a_run_is_judged_again_as_it_was(tiny: TinyConfig, run: Run) -> None:
    config = tiny(*RULES)
    catalog = read_labelled(config.data)
    split = split_of(config, catalog)
    asked = ValidationQueries.load(run.path / QUERIES_FILE)
    figures = json.loads(run.validation.read_text())
    result = validate_rankings(asked, config)
    assert json.loads(json.dumps(result.summary())) == figures
    answered, _ = answers_of(run, config, catalog, split)
    assert answered.found == result.ranking.identities
    side = halves(asked.answers, asked.individuals, config.split.seed)
    assert 0 < side.sum() < len(side)


def test_pseudo_labels_come_from_the_same_answers(tiny: TinyConfig, run: Run) -> None:
    config = tiny(*RULES)
    infer(config, run)
    q = len(read_test(config.data))
    identifier = Identifier.load(run.identifier)
    catalog = read_labelled(config.data)
    gallery = set(catalog.take(split_of(config, catalog).gallery).images)
    rows = [row for row, image in enumerate(identifier.gallery.images) if image in gallery]
    assert identifier.keypoints is not None
    fold = Identifier(
        identifier.card,
        identifier.net,
        identifier.gallery.take(rows),
        identifier.keypoints.take(rows),
        identifier.centers,
    ).identify(read_test(config.data))
    with pseudo_label(run, 0.5, np.ones(q)).open(newline="") as file:
        found = {row["Image"]: row["Id"] for row in csv.DictReader(file)}
    assert found == {
        image: names[0]
        for image, names in zip(fold.images, fold.identities, strict=True)
        if names[0] is not None
    }


def test_baselines_know_no_rules(tiny: TinyConfig) -> None:
    ruled, plain = (
        baselines(tiny(*RULES)),
        baselines(tiny(*RULES[4:])),
    )
    assert ruled == plain


def test_a_method_is_kept_as_it_was(run: Run) -> None:
    method = Identifier.load(run.identifier).card.method
    assert FittedRules.model_validate_json(method.model_dump_json()) == method


def test_damaged_test_photographs_are_all_named_or_all_skipped(
    tiny: TinyConfig, run: Run, tmp_path: Path
) -> None:
    sound = infer(tiny(*RULES), run)
    shutil.copytree(tiny.data / "shapes", tmp_path / "shapes")
    config = tiny(*RULES, f"data.root={tmp_path}/shapes")
    photos = sorted((config.data.root / str(config.data.test)).glob("*.jpg"))
    damaged = (photos[1], photos[3])
    for photo in damaged:
        photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    with pytest.raises(FlukeprintError) as caught:
        infer(config, run)
    assert all(photo.name in str(caught.value) for photo in damaged)
    with pytest.warns(UserWarning, match="2 of"):
        answers = infer(
            tiny(*RULES, f"data.root={tmp_path}/shapes", "data.skip_unreadable=true"), run
        )
    assert len(answers.ranking) == len(sound.ranking) - 2
    with answers.submission.open(newline="") as file:
        rows = {row["Image"]: row["Id"] for row in csv.DictReader(file)}
    assert len(rows) == len(sound.ranking)
    assert all(rows[photo.name] == "new_whale" for photo in damaged)
