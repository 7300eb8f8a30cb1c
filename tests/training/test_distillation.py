"""Teachers: the loss against a double loop, and which runs may teach."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flukeprint.config.load import parse_config
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run, new_run
from flukeprint.training.distillation import Teachers, read_teachers


def catalog(names: str, identities: list[str | None]) -> Catalog:
    return Catalog(
        images=tuple(f"{name}.jpg" for name in names),
        paths=tuple(Path(f"{name}.jpg") for name in names),
        identities=tuple(identities),
    )


LABELLED = catalog("abcdef", ["x", "x", "y", "y", None, "z"])


def config(root: Path, **train: object) -> Config:
    return parse_config({"name": "t", "runs": str(root), "train": train}, where="test")


def teacher(root: Path, seed: int, dim: int, photos: Catalog = LABELLED, **other: object) -> Run:
    tree = {"name": "teacher", "runs": str(root), **other}
    run = new_run(parse_config(tree, where="test"), photos)
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(len(photos), dim)))
    Embeddings(vectors, photos.images, photos.identities, None, f"net{seed}").save(
        run.path / "embeddings.npz"
    )
    return run


def naive(student: np.ndarray, taught: list[np.ndarray], allowed: list[tuple[int, int]]) -> float:
    unit = student / np.linalg.norm(student, axis=1, keepdims=True)
    costs = [
        (unit[i] @ unit[j] - np.mean([rows[i] @ rows[j] for rows in taught])) ** 2
        for i, j in allowed
    ]
    return float(np.mean(costs))


def test_the_mean_cosine_of_the_teachers_is_imitated(tmp_path: Path) -> None:
    runs = [teacher(tmp_path, seed, dim) for seed, dim in ((1, 5), (2, 9))]
    # Photo p has a pseudo-label, q too: no teacher has seen them.
    photos = catalog("fpbaq", ["z", "x", "x", "x", "y"])
    wanted = config(tmp_path, teachers=[str(run.path) for run in runs])
    teachers = read_teachers(wanted, LABELLED, photos, None)
    assert teachers is not None
    assert teachers.stamps == ("net1", "net2")
    place = [5, None, 1, 0, None]
    rows = [3, 2, 1, 0, 2]
    student = np.random.default_rng(3).normal(size=(5, 4))
    taught = [
        np.stack(
            [
                np.zeros(e.vectors.shape[1]) if place[r] is None else e.vectors[place[r]]
                for r in rows
            ]
        )
        for e in (Embeddings.load(run.path / "embeddings.npz") for run in runs)
    ]
    allowed = [
        (i, j)
        for i in range(5)
        for j in range(5)
        if i != j and place[rows[i]] is not None and place[rows[j]] is not None
    ]
    assert len(allowed) == 12
    loss = teachers.loss(torch.from_numpy(student), torch.zeros(5).long(), torch.tensor(rows))
    assert loss.item() == pytest.approx(naive(student, taught, allowed), rel=1e-5)


def test_pairs_of_a_photo_and_a_mirrored_one_do_not_count() -> None:
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng.normal(size=(6, 7)))
    labels = [0, 4, 1, 3, -1, -1]  # of 3 individuals: 3 and 4 are mirror images
    student = rng.normal(size=(6, 3))
    rows = torch.arange(6)
    allowed = [(0, 2), (2, 0), (1, 3), (3, 1)]
    teachers = Teachers(torch.from_numpy(vectors), 3, ("net",))
    loss = teachers.loss(torch.from_numpy(student), torch.tensor(labels), rows)
    assert loss.item() == pytest.approx(naive(student, [vectors], allowed), rel=1e-5)
    plain = Teachers(torch.from_numpy(vectors), None, ("net",))
    every = [(i, j) for i in range(6) for j in range(6) if i != j]
    loss = plain.loss(torch.from_numpy(student), torch.tensor([0, 1, 1, 0, -1, -1]), rows)
    assert loss.item() == pytest.approx(naive(student, [vectors], every), rel=1e-5)


def test_a_batch_without_such_pairs_keeps_the_graph() -> None:
    student = torch.randn(2, 3, requires_grad=True)
    teachers = Teachers(torch.eye(2), 1, ("net",))
    loss = teachers.loss(student, torch.tensor([0, 1]), torch.arange(2))
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_a_student_comes_to_see_as_the_teacher_does() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(8, 3, generator=generator))
    teachers = Teachers(vectors, None, ("net",))
    student = torch.randn(8, 5, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([student], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss = teachers.loss(student, torch.zeros(8).long(), torch.arange(8))
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


def test_without_teachers_there_are_none(tmp_path: Path) -> None:
    assert read_teachers(config(tmp_path), LABELLED, LABELLED, None) is None


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"split": {"fold": 1}}, r"another fold: its split\.fold is 1, not 0"),
        ({"split": {"seed": 3}}, r"another fold: its split\.seed is 3, not 0"),
        ({"data": {"min_photos": 2}}, r"another fold: its data\.min_photos is 2, not 1"),
        ({"photos": catalog("abcde", [*"xxyyz"])}, r"other photos or labels \(5, here are 6\)"),
        ({"photos": catalog("abcdef", [*"xxyyzz"])}, "other photos or labels"),
    ],
)
def test_a_teacher_of_something_else_is_refused(
    tmp_path: Path, other: dict[str, object], words: str
) -> None:
    run = teacher(tmp_path, 1, 4, **other)  # type: ignore[arg-type]
    with pytest.raises(FlukeprintError, match=words) as error:
        read_teachers(config(tmp_path, teachers=[str(run.path)]), LABELLED, LABELLED, None)
    assert str(run.path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match=r"no config\.yaml"):
        read_teachers(config(tmp_path, teachers=[str(tmp_path)]), LABELLED, LABELLED, None)
    run = new_run(config(tmp_path), LABELLED)
    with pytest.raises(FlukeprintError, match="no embeddings"):
        read_teachers(config(tmp_path, teachers=[str(run.path)]), LABELLED, LABELLED, None)
