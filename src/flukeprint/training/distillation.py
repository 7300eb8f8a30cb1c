"""Distillation: a loss that makes the network's similarities like those of finished runs.

The student imitates the teachers' similarities of two photos, not their embeddings, so these may
differ in length (relational distillation, Park et al. 2019, section 3.2, with
cosines for distances; similarity-preserving distillation, Tung & Mori 2019, eq. 4).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run


@dataclass(frozen=True)
class Teachers:
    """The teachers' embeddings of the training photos, and the distillation loss.

    vectors: (n, d) float32 on the CPU; the scalar product of two rows is the mean cosine over
        teachers.  A photo without a teacher's embedding has a row of zeros.
    individuals: classes from this number on are mirror images; None where mirror images are no
        classes of their own.
    stamps: digest of each teacher's network.
    """

    vectors: Tensor
    individuals: int | None
    stamps: tuple[str, ...]

    def loss(self, embeddings: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """Mean squared difference between student's and teachers' cosines of pairs; a scalar.

        embeddings: (b, dim) of the student, of any length.  labels: (b,).  rows: (b,) places in
        `vectors`.  Teachers embedded no mirror images: a pair counts if neither of the two is
        mirrored, or both are.  Where mirror images are classes of their own, photos of new
        individuals are left out, because no label says whether they are mirrored.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            student = F.normalize(embeddings.float())
            vectors = self.vectors[rows.cpu()].to(embeddings.device)
            seen = vectors.any(1)
            counts = seen[:, None] & seen[None, :]
            counts.fill_diagonal_(False)
            if self.individuals is not None:
                mirrored, known = labels >= self.individuals, labels >= 0
                counts &= (mirrored[:, None] == mirrored[None, :]) & known[:, None] & known[None, :]
            difference = (student @ student.t() - vectors @ vectors.t())[counts]
            # Without a pair the zero still belongs to the graph.
            return difference.square().mean() if len(difference) else 0 * student.sum()


def read_teachers(
    config: Config, labelled: Catalog, photos: Catalog, individuals: int | None
) -> Teachers | None:
    """Read the embeddings of the runs that `train.teachers` names; None without any.

    labelled: all labelled photos, of which each teacher has an embedding.
    photos: n training photos; those with a pseudo-label have no teacher.
    individuals: as in `Teachers`.

    Raises:
        FlukeprintError: a folder that is no run or has no embeddings; a teacher of other
            photos, other labels or another fold, which may have been trained on the queries.
    """
    if not config.train.teachers:
        return None
    every = [_read(Path(folder), config, labelled) for folder in config.train.teachers]
    place = {image: row for row, image in enumerate(labelled.images)}
    rows = np.array([place.get(image, -1) for image in photos.images], dtype=np.int64)
    # Scaled so that the product of two rows is the mean over teachers.
    vectors = np.concatenate([one.vectors / np.sqrt(len(every)) for one in every], axis=1)[rows]
    vectors[rows < 0] = 0
    return Teachers(
        torch.from_numpy(vectors.astype(np.float32)),
        individuals,
        tuple(one.stamp for one in every),
    )


def _read(folder: Path, config: Config, labelled: Catalog) -> Embeddings:
    run = Run(folder)
    theirs = run.config()
    if other := other_fold(config, theirs):
        raise FlukeprintError(
            f"teacher {folder} was trained on another fold: its {other}; train it on this one"
        )
    embeddings = Embeddings.load(folder / "embeddings.npz")
    if (embeddings.images, embeddings.identities) != (labelled.images, labelled.identities):
        raise FlukeprintError(
            f"teacher {folder} was trained on other photos or labels ({len(embeddings)}, here are "
            f"{len(labelled)}); train it on these"
        )
    return embeddings


def other_fold(config: Config, theirs: Config) -> str | None:
    """The first setting by which another run was trained on other photos, or None.

    Such as `split.fold is 1, not 0`.
    """
    here, there = _fold(config), _fold(theirs)
    other = [name for name in here if here[name] != there[name]]
    return f"{other[0]} is {there[other[0]]}, not {here[other[0]]}" if other else None


def _fold(config: Config) -> dict[str, object]:
    """The settings that decide which photos a network was trained on."""
    facts = {f"split.{name}": value for name, value in config.split.model_dump().items()}
    names = ("closed_set", "new_photos", "min_photos")
    return facts | {f"data.{name}": getattr(config.data, name) for name in names}
