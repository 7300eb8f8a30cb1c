"""What the head tells apart, and what it knows each class by."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.splits import Split
from flukeprint.errors import FlukeprintError
from flukeprint.models import network
from flukeprint.models.network import build_model
from flukeprint.training.datamodule import FoldData, classes_of
from flukeprint.training.module import MetricLearningModule, class_centers

NAMES = ("b", "a", None, "b", "c", "a", "c", "b")
VIEWS = ("left", "right", "left", "right", None, "right", "left", "left")
DIM = 7


def catalog(views: tuple[str | None, ...] | None = VIEWS) -> Catalog:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 48, 3), dtype=np.uint8)
    return Catalog(tuple(f"{i}.jpg" for i in range(8)), None, NAMES, views, pixels=pixels)


def setting(tmp_path: Path, *overrides: str) -> Config:
    (tmp_path / "c.yaml").write_text(
        "image: {height: 32, width: 48, cache: null}\n"
        f"model: {{backbone: test_resnet, weights: none, embedding_dim: {DIM}}}\n"
    )
    return load_config(tmp_path / "c.yaml", list(overrides))


def learner_of(config: Config) -> MetricLearningModule:
    """Of the first seven photos; the last is a query."""
    rows = np.arange(7)
    known = np.array([row for row in rows if NAMES[row] is not None])
    split = Split(rows, known, np.array([7]), ("b",))
    torch.manual_seed(0)
    return MetricLearningModule(
        config, build_model(config.model, (32, 48)), FoldData(config, catalog(), split)
    )


# --- classes


def test_classes_by_identity() -> None:
    classes, labels = classes_of(catalog(), "identity")
    assert classes == (("a", None), ("b", None), ("c", None))
    assert labels.tolist() == [1, 0, -1, 1, 2, 0, 2, 1]
    assert labels.dtype == np.int64


def test_classes_by_identity_and_view() -> None:
    classes, labels = classes_of(catalog(), "identity_and_view")
    assert classes == (
        ("a", "right"), ("b", "left"), ("b", "right"), ("c", None), ("c", "left"),
    )  # fmt: skip
    assert labels.tolist() == [1, 0, -1, 2, 3, 0, 4, 1]


def test_classes_by_view_need_views(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match=r"data\.classes is identity_and_view.*data\.views"):
        classes_of(catalog(None), "identity_and_view")
    data = learner_of(setting(tmp_path, "data.classes=identity_and_view")).data
    assert len(data.classes) == 5
    assert data.class_counts.tolist() == [2, 1, 1, 1, 1]  # the query is not among them


# --- validation


def test_a_validation_passes_few_photographs_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = learner_of(setting(tmp_path)).eval()
    photos = torch.randint(0, 256, (9, 3, 32, 48), dtype=torch.uint8)
    sizes: list[int] = []
    with torch.no_grad():
        wanted = learner.net.embed(photos)
        learner.net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
        monkeypatch.setattr(network, "MOST_PIXELS", 4 * 32 * 48)
        rows = torch.arange(len(photos))
        learner.validation_step((photos, rows, rows), 0)
    assert sizes == [4, 4, 1]
    ((_, found),) = learner._validated
    torch.testing.assert_close(found, wanted)


# --- centers


def weights(learner: MetricLearningModule) -> npt.NDArray[np.float64]:
    """(classes, centers, dim) unit vectors, read from the head's own parameter."""
    (parameter,) = learner.losses.parameters()
    rows = parameter.detach().double().numpy()
    if len(rows) == DIM:  # pytorch-metric-learning has the classes in columns
        rows = rows.T
    heads = 2 if learner.config.image.flip == "new_identity" else 1
    shaped = rows.reshape(heads * len(learner.data.classes), -1, DIM)
    return np.asarray(shaped / np.linalg.norm(shaped, axis=2, keepdims=True))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("flip", ["none", "same", "new_identity"])
@pytest.mark.parametrize("loss", ["arcface", "dynamic_arcface", "subcenter_arcface"])
def test_the_nearest_center_is_the_heads_answer(
    tmp_path: Path, loss: str, flip: str, mirror: bool
) -> None:
    learner = learner_of(
        setting(
            tmp_path, f"losses=[{{name: {loss}}}]", f"image.flip={flip}", f"infer.mirror={mirror}"
        )
    )
    got = class_centers(learner, "stamp")
    if flip == "none" and mirror:
        assert got is None  # the head has never seen a mirrored photograph
        return
    assert got is not None
    assert got.stamp == "stamp"
    assert sorted(set(got.identities)) == ["a", "b", "c"]
    w = weights(learner)
    photos, mirrored = np.random.default_rng(1).normal(size=(2, 5, DIM))
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    mirrored /= np.linalg.norm(mirrored, axis=1, keepdims=True)
    for x, m in zip(photos, mirrored, strict=True):
        embedding = x
        if mirror:
            embedding = x + m if flip == "same" else np.concatenate([x, m])
            embedding = embedding / np.linalg.norm(embedding)
        for label, name in enumerate("abc"):
            want = max(float(embedding[:DIM] @ center) for center in w[label])
            if mirror and flip == "new_identity":
                photo = max(float(x @ center) for center in w[label])
                turned = max(float(m @ center) for center in w[label + 3])
                want = (photo + turned) / 2
            mine = [row for row, identity in enumerate(got.identities) if identity == name]
            assert max(got.vectors[mine] @ embedding) == pytest.approx(want, abs=1e-5)


def test_centers_of_views_bear_the_name_of_the_individual(tmp_path: Path) -> None:
    learner = learner_of(
        setting(tmp_path, "data.classes=identity_and_view", "losses=[{name: dynamic_arcface}]")
    )
    got = class_centers(learner, "stamp")
    assert got is not None
    assert got.identities == ("a", "a", "b", "b", "b", "b", "c", "c", "c", "c")
    assert got.views is not None
    assert got.views[::2] == ("right", "left", "right", None, "left")
    np.testing.assert_allclose(got.vectors, weights(learner).reshape(10, DIM), atol=1e-6)


@pytest.mark.parametrize("loss", ["triplet", "softmax"])
def test_a_loss_without_cosines_has_no_centers(tmp_path: Path, loss: str) -> None:
    learner = learner_of(setting(tmp_path, f"losses=[{{name: {loss}}}]"))
    assert class_centers(learner, "stamp") is None
