"""The stage after the fold was measured: all is learned, figures stay, it resumes anywhere."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from flukeprint.config.digests import recipe_digest, training_digest
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.embedding.photos import PhotoCache
from flukeprint.identifier.build import measured_identifier
from flukeprint.identifier.card import read_card
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.reports import run_report
from flukeprint.identifier.runs import CENTERS, Run, find_run
from flukeprint.models.run_weights import read_run_weights
from flukeprint.submission.infer import infer
from flukeprint.submission.pseudo_label import pseudo_label
from flukeprint.training import train as training
from flukeprint.training.check import check, split_of
from flukeprint.training.cross_validation import crossvalidate
from flukeprint.training.finishing.all_photos import all_photos_data
from flukeprint.training.module import MetricLearningModule
from flukeprint.training.train import train
from tests.processes import start
from tests.refusals import refused
from tests.tiny import TinyConfig
from tests.training.learner import tensors

STAGE = ("train.all_epochs=12", "train.all_lr_factor=1")
MIRRORED = ("image.flip=new_identity", "infer.mirror=true")


@pytest.fixture(scope="module")
def plain(tiny: TinyConfig) -> Run:
    return train(tiny("name=plain", "rank.head=0.2"))


@pytest.fixture(scope="module")
def further(tiny: TinyConfig) -> Run:
    """The same training, and then the stage."""
    run = train(tiny("name=further", "rank.head=0.2", *STAGE))
    infer(tiny("name=further", "rank.head=0.2", "infer.threshold=none", *STAGE), run)
    return run


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_the_figures_are_those_of_the_fold_and_the_network_is_another(
    plain: Run, further: Run
) -> None:
    assert further.figures() == plain.figures()
    before, after = (Embeddings.load(run.path / "embeddings.npz") for run in (plain, further))
    assert after.stamp == before.stamp
    assert np.array_equal(after.vectors, before.vectors)
    assert (further.path / "queries.csv").read_text() == (plain.path / "queries.csv").read_text()
    assert not same(tensors(further.path), tensors(plain.path))

    old, new = (read_card(run.identifier) for run in (plain, further))
    assert (old.stamp, old.measured_by) == (before.stamp, None)
    assert new.stamp != before.stamp
    assert new.measured_by == before.stamp
    free = {"stamp": "", "measured_by": None, "digests": None, "name": ""}
    assert new.model_copy(update=free) == old.model_copy(update=free)
    assert "12 further epochs" in further.text()
    assert "further" not in plain.text()
    assert not plain.measured.exists()
    assert not further.all_photos.exists()


def test_its_queries_are_recognised_better(tiny: TinyConfig, plain: Run, further: Run) -> None:
    """Each query against the rest of the gallery, the same for both networks."""
    config = tiny()
    catalog = read_labelled(config.data)
    queries = {catalog.images[row] for row in split_of(config, catalog).queries}
    right = []
    for run in (plain, further):
        gallery = Identifier.load(run.identifier).gallery
        cosine = (gallery.vectors @ gallery.vectors.T).astype(np.float64)
        np.fill_diagonal(cosine, -1)
        names = np.array(gallery.identities)
        asked = [
            row for row, image in enumerate(gallery.images)
            if image in queries and (names == names[row]).sum() > 1
        ]  # fmt: skip
        assert len(asked) >= 8
        right.append(np.mean([names[cosine[row].argmax()] == names[row] for row in asked]))
    assert right[1] > right[0]


def test_identities_that_the_fold_held_out_have_class_centers(
    tiny: TinyConfig, further: Run
) -> None:
    catalog = read_labelled(tiny().data)
    fold = Embeddings.load(further.path / CENTERS)
    known = Identifier.load(further.identifier)
    assert known.centers is not None
    held_out = set(catalog.vocabulary()) - set(fold.identities)
    assert held_out
    assert set(known.centers.identities) == set(catalog.vocabulary())
    assert known.centers.stamp == known.gallery.stamp == known.card.stamp
    assert fold.stamp == known.card.measured_by
    # The network has learned them: their photographs are nearest to their own centre.
    cosine = known.gallery.vectors @ known.centers.vectors.T
    for row, name in enumerate(known.gallery.identities):
        if name in held_out:
            assert known.centers.identities[int(cosine[row].argmax())] == name


@pytest.mark.parametrize("options", [(), MIRRORED])
def test_new_classes_start_where_the_folds_network_sees_them(
    tiny: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Also: whoever stops it in its first epoch goes on without measuring the fold again."""
    recipe = ("name=starts", "train.epochs=1", "train.all_epochs=2", *options)
    config = tiny.apart(tmp_path)(*recipe)
    seen: list[MetricLearningModule] = []

    def stop(module: MetricLearningModule) -> None:
        if not len(module.data.split.queries):
            seen.append(module)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MetricLearningModule, "on_train_epoch_start", stop)
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            train(config)
    (module,) = seen
    run = find_run(config, finished=False)
    fold = check(config)
    state = torch.load(run.last, weights_only=True)["state_dict"]
    fold.module.load_state_dict(state)
    net = fold.module.net.eval()
    learned, centers = (one.losses.centers() for one in (fold.module, module))
    assert learned is not None
    assert centers is not None
    before, classes = fold.data.classes, module.data.classes
    assert len(classes) > len(before)
    cache = PhotoCache(fold.catalog, config.image)
    for side in range(2 if options else 1):
        for label, one in enumerate(classes):
            found = centers[side * len(classes) + label, 0]
            if one in before:
                expected = learned[side * len(before) + before.index(one), 0]
            else:
                rows = [row for row, name in enumerate(fold.catalog.identities) if name == one[0]]
                pixels = [torch.from_numpy(np.array(cache[row])) for row in rows]
                photos = torch.stack([each.flip(1) if side else each for each in pixels])
                with torch.no_grad():
                    expected = F.normalize(net.embed(photos.permute(0, 3, 1, 2)).sum(0), dim=0)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    def measured(*_: object, **__: object) -> None:
        raise AssertionError("the fold was measured again")

    with monkeypatch.context() as patched:
        patched.setattr(training, "measure_fold", measured)
        resumed = train(config, resume="last")
    assert resumed.path == run.path
    assert same(tensors(resumed.path), tensors(train(config).path))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ema", ("train.ema=0.8",)),
        ("swa", ("train.swa=0.5", "train.patience=2", "losses=[{name: arcface}, {name: triplet}]",
                 "train.memory=20", *MIRRORED)),
    ],
)  # fmt: skip
def test_a_run_that_is_killed_in_it_resumes_to_the_same_identifier(
    tiny: TinyConfig, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    """Killed from outside, in the middle of an epoch, as a power cut would."""
    there = tiny.apart(tmp_path)
    recipe = (f"name={name}", "train.epochs=2", "train.all_epochs=8", *options)
    process = start("python", "train.py", "--config", there.path, *recipe)
    deadline = time.monotonic() + 240
    while not list((tmp_path / "runs" / name).glob("*/all_photos/last.ckpt")):
        assert process.is_alive(), "it ended before the stage's first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    config = there(*recipe)
    unfinished = find_run(config, finished=False)
    assert torch.load(unfinished.all_photos, weights_only=True)["epoch"] < 7
    measured = unfinished.validation.read_bytes()

    resumed, unbroken = train(config, resume="last"), train(config)
    assert resumed.path == unfinished.path
    assert resumed.validation.read_bytes() == measured == unbroken.validation.read_bytes()
    assert same(tensors(resumed.path), tensors(unbroken.path))
    one, two = (Identifier.load(run.identifier) for run in (resumed, unbroken))
    assert one.card == two.card
    assert np.array_equal(one.gallery.vectors, two.gallery.vectors)
    assert len(list(resumed.path.glob("all_photos/log/csv-*"))) == 2
    assert len(list(resumed.path.glob("log/csv-*"))) == 1


def test_a_fold_of_cross_validation_is_only_measured(
    tiny: TinyConfig, further: Run, tmp_path: Path
) -> None:
    config = tiny("name=folds", "train.epochs=1", *STAGE)
    crossvalidate(config, folds=1, into=tmp_path / "table.csv")
    (run,) = map(Run, (config.runs / "folds").iterdir())
    assert run.finished
    assert not run.measured.exists()
    assert read_card(run.identifier).measured_by is None
    assert "further" not in run.text()
    without = config.model_copy(update={"train": config.train.model_copy(
        update={"all_epochs": 0, "all_lr_factor": 0.5}
    )})  # fmt: skip
    assert recipe_digest(without) == recipe_digest(config)
    assert training_digest(without) == training_digest(config)
    # A run of train.py that has the stage is scored as it is, by its fold's embeddings.
    rows = crossvalidate(
        tiny("name=further", "rank.head=0.2"), folds=1, into=tmp_path / "other.csv"
    )
    assert rows[0].map5 == pytest.approx(further.figures()["map5"]["mean"])
    assert len(list(further.path.parent.iterdir())) == 1


def test_what_is_made_of_the_run_later_is_of_the_network_that_was_measured(
    tiny: TinyConfig, plain: Run, further: Run, tmp_path: Path
) -> None:
    """Its report, pseudo-labels for the same fold, and weights for trainings of the same fold."""
    config = tiny("name=plain", "rank.head=0.2", "infer.threshold=none")
    infer(config, plain)
    sure = np.random.default_rng(0).random(len(read_test(config.data)))
    one, two = (pseudo_label(run, 0.3, sure).read_text() for run in (plain, further))
    assert two.replace(str(further.path), str(plain.path)) == one

    seen = measured_identifier(further)
    assert same(dict(seen.net.state_dict()), tensors(plain.path))
    assert seen.gallery.images == Identifier.load(further.identifier).gallery.images
    weights = read_run_weights(further.path, "test_resnet").tensors
    assert same(weights, read_run_weights(plain.path, "test_resnet").tensors)

    copy = Run(tmp_path / further.name)
    shutil.copytree(further.path, copy.path)
    run_report.write_report(copy)
    page = copy.report.read_text()
    assert "12 further epochs" in page
    assert "could not be made" not in page


def test_it_learns_from_the_photographs_that_may_be_learned(tiny: TinyConfig) -> None:
    """New individuals as `data.new_photos` says; never identities that have too few."""
    config = tiny(*STAGE, "data.min_photos=3")
    setup = check(config)
    assert setup.all_photos is not None
    catalog, counts = setup.catalog, setup.catalog.counts()
    enough = [
        image for image, name in zip(catalog.images, catalog.identities, strict=True)
        if name is None or counts[name] >= 3
    ]  # fmt: skip
    assert min(counts.values()) < 3
    assert list(setup.all_photos.train_catalog.images) == enough
    assert [name for name, _ in setup.all_photos.classes] == sorted(
        name for name in counts if counts[name] >= 3
    )
    names = [None if row % 6 == 0 else name for row, name in enumerate(catalog.identities)]
    nameless = replace(catalog, identities=tuple(names))
    new = {image for image, name in zip(catalog.images, names, strict=True) if name is None}
    for rule, expected in (("negatives", 1.0), ("queries_only", 0.0), ("ignore", 0.0)):
        settings = tiny(*STAGE, f"data.new_photos={rule}")
        data = all_photos_data(settings, nameless, split_of(settings, nameless))
        assert data is not None
        assert len(new & set(data.train_catalog.images)) == expected * len(new)


def test_its_schedule_is_its_own(tiny: TinyConfig) -> None:
    setup = check(tiny(
        *STAGE, "train.all_lr_factor=0.25", "train.swa=0.5", "train.sizes=[0.5, 1]",
        "train.patience=2", "train.freeze_epochs=1", "sampler.first_epochs=2",
        "sampler.first_photos=3",
    ))  # fmt: skip
    assert setup.all_photos is not None
    config = setup.all_photos.config
    assert config.train.lr == pytest.approx(0.25 * 0.002)
    assert (config.train.epochs, config.train.swa, config.train.patience) == (12, None, None)
    assert (config.train.sizes, config.train.freeze_epochs) == ((), 0)
    assert config.sampler.first_epochs == 0
    assert setup.data.config.train.epochs == 3


def test_several_processes_are_refused(tiny: TinyConfig) -> None:
    refused(
        lambda: check(tiny(*STAGE, "train.num_nodes=2")),
        "train.all_epochs=12 needs one process, not 2", "train.all_epochs=0",
    )  # fmt: skip
    assert check(tiny()).all_photos is None


def test_its_minutes_are_its_own(further: Run) -> None:
    assert json.loads((further.path / "all_photos" / "minutes.json").read_text())["minutes"] > 0
    assert json.loads((further.path / "minutes.json").read_text())["minutes"] > 0


def test_teachers_and_pseudo_labels_are_learned_from_as_well(
    tiny: TinyConfig, plain: Run, tmp_path: Path
) -> None:
    """A teacher has seen all labelled photographs; test photographs of held-out animals count."""
    fold = check(tiny())
    held_out = sorted(set(fold.catalog.counts()) - {name for name, _ in fold.data.classes})
    test = read_test(tiny().data).images
    table = tmp_path / "pseudo.csv"
    table.write_text(
        f"Image,Id,confidence,run\n{test[0]},{held_out[0]},0.9,elsewhere\n"
        f"{test[1]},{fold.data.classes[0][0]},0.9,elsewhere\n"
    )
    setup = check(tiny(*STAGE, f"train.teachers=[{plain.path}]", f"data.pseudo_labels={table}"))
    data = setup.all_photos
    assert data is not None
    assert test[0] not in setup.data.train_catalog.images
    assert data.train_catalog.images[-2:] == test[:2]
    assert data.teachers is not None
    taught = data.teachers.vectors.any(1).numpy()
    assert list(np.flatnonzero(~taught)) == [len(taught) - 2, len(taught) - 1]
    teacher = Embeddings.load(plain.path / "embeddings.npz")
    place = {image: row for row, image in enumerate(teacher.images)}
    rows = [place[image] for image in data.train_catalog.images[:-2]]
    np.testing.assert_allclose(data.teachers.vectors[:-2].numpy(), teacher.vectors[rows], atol=1e-6)
