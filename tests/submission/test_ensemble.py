"""Several runs answer together: with the mean of their cosines, fitted anew on their one fold."""

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import CENTERS, Run
from flukeprint.identifier.studies.run_ensemble import JointFold
from flukeprint.submission import ensemble as module
from flukeprint.submission.ensemble import infer_together
from flukeprint.submission.infer import infer
from flukeprint.training.train import train
from tests.says import Says
from tests.tiny import TinyConfig

LOCAL = "rank.local={candidates: 3, side: 64, keypoints: 40}"
OTHER = ("name=wide", "image.height=48", "infer.zooms=[1, 0.7]", "model.embedding_dim=24")


@pytest.fixture(scope="module")
def tiny(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> TinyConfig:
    return tiny_config.apart(tmp_path_factory.mktemp("together"))


@pytest.fixture(scope="module")
def one(tiny: TinyConfig) -> Run:
    return train(tiny("rank.head=0.2"))


@pytest.fixture(scope="module")
def two(tiny: TinyConfig) -> Run:
    """A run of another configuration, with other settings of network and photographs."""
    return train(tiny(*OTHER, LOCAL, "train.epochs=2", "train.seed=1"))


def copied(run: Run, folder: Path) -> Run:
    shutil.copytree(run.path, folder / run.name)
    return Run(folder / run.name)


def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a photograph is embedded or the fold is ranked."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("something long was done")

    monkeypatch.setattr(module, "embed", work)
    monkeypatch.setattr(JointFold, "validate", work)


def rows_of(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        return {row["Image"]: row["Id"].split() for row in csv.DictReader(file)}


@pytest.mark.parametrize("rules", [("rank.head=0.2",), ("rank.head=0.2", LOCAL)])
def test_a_run_with_itself_answers_as_alone(
    tiny: TinyConfig, one: Run, tmp_path: Path, rules: Sequence[str]
) -> None:
    """In the second case the keypoints are found anew, as the run was trained without."""
    config = tiny(*rules, f"submissions={tmp_path}")
    run = one if len(rules) == 1 else train(config)
    alone, both = infer(config, run), infer_together(config, [run, run])
    assert alone is not None
    assert both.submission.name == f"tiny-{run.name}+{run.name}.csv"
    assert both.ranking.images == alone.ranking.images
    assert both.ranking.identities == alone.ranking.identities
    np.testing.assert_allclose(both.ranking.scores, alone.ranking.scores, atol=1e-5)
    assert rows_of(both.submission) == rows_of(alone.submission)
    figures = f"MAP@5 {run.figures()['map5']['mean']:.3f} "
    for name in (str(run.path), "together"):
        (line, *_) = [line for line in both.notes if line.startswith(f"{name}:")]
        assert figures in line


def test_two_runs_answer_with_the_mean_of_their_cosines(
    tiny: TinyConfig, one: Run, two: Run
) -> None:
    config = tiny("infer.threshold=none")
    answers = infer_together(config, [one, two], [2, 1])
    settings = "head-0.0-threshold-none-weights-2-1"  # other ones than those of the first run
    assert answers.submission.name == f"tiny-{one.name}+wide-{two.name}-{settings}.csv"
    cosines, names = [], []
    for run, share in ((one, 2 / 3), (two, 1 / 3)):
        known = Identifier.load(run.identifier)
        queries = known.embed(read_test(config.data)).vectors
        cosines.append(share * queries.astype(float) @ known.gallery.vectors.T)
        names = list(known.gallery.identities)
    mean = cosines[0] + cosines[1]
    for row, found, scores in zip(
        mean, answers.ranking.identities, answers.ranking.scores, strict=True
    ):
        best: dict[str, float] = {}
        for name, cosine in zip(names, row, strict=True):
            best[name] = max(cosine, best.get(name, -2.0))
        want = sorted(best.values(), reverse=True)[:5]
        np.testing.assert_allclose(scores, want, atol=1e-4)
        np.testing.assert_allclose([best[name] for name in found if name], want, atol=1e-4)
    written = rows_of(answers.submission)
    assert list(written) == list(read_test(config.data).images)
    for image, found in zip(answers.ranking.images, answers.ranking.identities, strict=True):
        assert written[image] == list(found)


def test_head_and_keypoints_are_those_of_all_runs(tiny: TinyConfig, one: Run, two: Run) -> None:
    """With the class centres alone, a score is the mean over the runs of the nearest centre's."""
    config = tiny("rank.head=1", "infer.threshold=none")
    answers = infer_together(config, [one, two], [1, 3])
    want = 0.0
    for run, share in ((one, 0.25), (two, 0.75)):
        known = Identifier.load(run.identifier)
        centers = Embeddings.load(run.path / CENTERS)
        cosines = known.embed(read_test(config.data)).vectors @ centers.vectors.T
        classes = sorted({str(name) for name in centers.identities})
        nearest = [
            cosines[:, [name == other for other in centers.identities]].max(1) for name in classes
        ]
        want = want + share * np.stack(nearest, axis=1)
    for row, found, scores in zip(
        want, answers.ranking.identities, answers.ranking.scores, strict=True
    ):
        for name, score in zip(found, scores, strict=True):
            if name in classes:
                assert score == pytest.approx(row[classes.index(name)], abs=1e-4)
        assert scores[0] >= row.max() - 1e-4
    matched = infer_together(tiny(LOCAL), [one, two])
    stored = Identifier.load(two.identifier).keypoints
    assert stored is not None
    again = infer_together(tiny(LOCAL), [two, one])
    np.testing.assert_allclose(again.ranking.scores, matched.ranking.scores, atol=1e-5)


def test_rules_and_threshold_are_fitted_on_the_fold_anew(
    tiny: TinyConfig, one: Run, two: Run
) -> None:
    config = tiny("infer.fallback=fitted")
    fold = JointFold.read(config, [one, two])
    assert fold.config.split == one.config().split
    catalog = read_labelled(config.data)
    joined = [Embeddings.load(run.path / "embeddings.npz").vectors for run in (one, two)]
    vectors = unit_rows(np.concatenate(joined, axis=1))
    np.testing.assert_allclose(fold.embeddings.vectors, vectors, atol=1e-6)
    validation, _ = fold.validate(fold.features())
    for query, scores in zip(
        fold.split.queries, validation.queries.ranking.scores[:, 0], strict=True
    ):
        cosines = vectors[query] @ vectors[fold.split.gallery].T
        assert scores == pytest.approx(cosines.max(), abs=1e-5)
    answers = infer_together(config, [one, two])
    assert validation.threshold is not None
    for names, scores in zip(
        answers.ranking.identities, answers.ranking.scores.tolist(), strict=True
    ):
        if None in names:
            assert scores[names.index(None)] == pytest.approx(validation.threshold, abs=1e-5)
    points = [
        1 / (names.index(right) + 1) if right in names else 0.0
        for names, right in zip(
            validation.ranking.identities,
            [fold.split.answers[place] for place in validation.report],
            strict=True,
        )
    ]
    (line,) = [line for line in answers.notes if line.startswith("together:")]
    assert f"MAP@5 {np.mean(points):.3f} " in line
    assert any(line.startswith("gain over the best of them, ") for line in answers.notes)
    assert catalog.images == fold.catalog.images


def test_a_share_is_of_the_test_photographs(tiny: TinyConfig, one: Run, two: Run) -> None:
    answers = infer_together(tiny("infer.threshold={share: 0.2}"), [one, two])
    new = sum(names[0] is None for names in answers.ranking.identities)
    assert new == int(0.2 * len(answers.ranking))
    assert any("chosen on these" in note for note in answers.notes)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("split.fold=1", r"are of other folds: split\.fold is 0 and 1;"),
        ("split.seed=3", r"split\.seed is 0 and 3"),
        ("split.unseen_share=0.1", r"split\.unseen_share is 0\.276 and 0\.1"),
        ("data.closed_set=true", r"data\.closed_set is False and True"),
    ],
)
def test_runs_of_other_folds_are_refused(
    tiny: TinyConfig, one: Run, two: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    setting: str, said: str,
) -> None:  # fmt: skip
    untouched(monkeypatch)
    other = copied(two, tmp_path)
    write(other, tiny(*OTHER, LOCAL, setting))
    with pytest.raises(FlukeprintError, match=said) as caught:
        infer_together(tiny(), [one, other])
    assert str(one.path) in str(caught.value)
    assert str(other.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def write(run: Run, config: Config) -> None:
    """Give a run another configuration."""
    (run.path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))


def test_what_does_not_belong_together_is_refused_before_long_work(
    tiny: TinyConfig, one: Run, two: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched(monkeypatch)
    with pytest.raises(FlukeprintError, match="as many weights above 0"):
        infer_together(tiny(), [one, two], [1, 2, 3])
    with pytest.raises(FlukeprintError, match=r"the configuration tiny .*data\.new_label"):
        infer_together(tiny("data.new_label=stranger"), [one, two])
    other = copied(two, tmp_path / "data")
    (other.path / "catalog.json").write_text('{"digest": "0123456789abcdef"}')
    with pytest.raises(FlukeprintError, match=r"other photographs or labels \(data 0123456789ab\)"):
        infer_together(tiny(), [one, other])
    headless = copied(two, tmp_path / "head")
    (headless.path / CENTERS).unlink()
    with pytest.raises(FlukeprintError, match=r"class centers of every run, and .*head.* has none"):
        infer_together(tiny("rank.head=0.2"), [one, headless])
    further = copied(two, tmp_path / "further")
    centers = Embeddings.load(further.path / CENTERS)
    replace(centers, stamp="of an earlier network").save(further.path / CENTERS)
    with pytest.raises(FlukeprintError, match=r"further.*/identifier has none"):
        infer_together(tiny("rank.head=0.2"), [one, further])


def test_enrolled_photographs_must_be_in_all_galleries(
    tiny: TinyConfig, one: Run, two: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    grown = [copied(run, tmp_path / "grown") for run in (one, two)]
    for run in grown[:1]:
        known = Identifier.load(run.identifier)
        known.enroll("w_stranger", [photo]).save(run.identifier)
    with monkeypatch.context() as patch:
        untouched(patch)
        with pytest.raises(FlukeprintError, match="are not the same photographs in the same order"):
            infer_together(tiny(), grown)
    known = Identifier.load(grown[1].identifier)
    known.enroll("w_stranger", [photo]).save(grown[1].identifier)
    ranking = infer_together(tiny("infer.threshold=none"), grown).ranking
    assert len(ranking) == len(read_test(tiny().data))
    assert infer_together(tiny(LOCAL), grown).ranking.images == ranking.images
    with monkeypatch.context() as patch:  # the second run has other keypoints
        untouched(patch)
        with pytest.raises(FlukeprintError, match="keypoints of 1 enrolled photograph that"):
            infer_together(tiny("rank.local={candidates: 3, side: 96}"), grown)


def test_the_command_takes_several_runs(tiny: TinyConfig, one: Run, two: Run, says: Says) -> None:
    wish = ["infer", "-c", tiny.path, "--run", one.name, "--run", f"wide/{two.name}"]
    said, error = says(*wish, "rank.head=0.2")
    assert error is None
    assert "together:" in said
    (line,) = [line for line in said.splitlines() if line.startswith("submission: ")]
    assert Path(line.removeprefix("submission: ")).name == (f"tiny-{one.name}+wide-{two.name}.csv")
    for weights, words in (
        ("2,x", "expected numbers with commas"),
        ("1,0", "as many weights above 0"),
        ("1", "as many weights above 0"),
    ):
        assert words in str(says(*wish, "--weights", weights)[1])
    assert "one alone has no weight" in str(says(*wish[:5], "--weights", "1")[1])
    assert "no run nonsense" in str(says(*wish, "--run", "nonsense")[1])
