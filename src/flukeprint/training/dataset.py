"""The torch data set of a catalogue's photographs, with labels, mirroring and augmentation.

Photographs are decoded and resized once and cached on disk.  A `Draw` of the sampler decides
whether one is mirrored, and the seed of its augmentation.  Pixels stay uint8: the network
normalises them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from flukeprint.config.data import ImageConfig
from flukeprint.data.catalog import Catalog
from flukeprint.embedding.photos import PhotoCache, varied
from flukeprint.training.augmentation import augmented, build_augment
from flukeprint.training.sampling.batches import Draw


class Photo(NamedTuple):
    """One training example, or a batch of them with a batch axis in front of each field.

    image: uint8 (3, height, width) RGB.  label: int64 class, -1 for an individual without one.
    row: int64, of the catalogue.
    """

    image: torch.Tensor
    label: torch.Tensor
    row: torch.Tensor


class PhotoDataset(Dataset[Photo]):
    """Loads the photographs of a catalogue as examples, for a data loader.

    `dataset[row]` is the photograph as it is; `dataset[draw]` is mirrored if the draw says so and,
    with `augment`, augmented with `draw.seed`.  Both depend on nothing else, in any process.

    labels: (n,) class of each photograph in 0..classes-1, or -1; by default all are -1.
    Photographs of `config.mirror_views` are mirrored before anything else.
    mirrored: mirror every photograph (and a mirrored draw back), as test-time augmentation.
    zoom: share of both sides kept by a centre crop, where nothing is random.
    With `config.flip` new_identity a mirrored photograph of class c has label c + classes.
    """

    def __init__(
        self,
        catalog: Catalog,
        config: ImageConfig,
        *,
        augment: bool,
        labels: npt.NDArray[np.int64] | Sequence[int] | None = None,
        classes: int = 0,
        mirrored: bool = False,
        zoom: float = 1.0,
    ) -> None:
        n = len(catalog)
        self._labels = np.asarray([-1] * n if labels is None else labels, dtype=np.int64)
        if self._labels.shape != (n,):
            raise ValueError(f"labels are {self._labels.shape} for {n} photos")
        if n and not -1 <= self._labels.min() <= self._labels.max() <= classes - 1:
            raise ValueError(f"labels outside -1..{classes - 1}")
        self._cache = PhotoCache(catalog, config)
        self._classes = classes
        self._config = config
        self._mirrored = mirrored
        self._size = (config.height, config.width)
        self._zoom = zoom
        self._mirrored_views = catalog.in_views(config.mirror_views)
        # Built here, so that workers inherit it instead of importing Albumentations each.
        self._augment = build_augment(config) if augment else None

    def __len__(self) -> int:
        return len(self._cache)

    def __getitem__(self, draw: "Draw | int") -> Photo:
        row = draw.row if isinstance(draw, Draw) else int(draw)
        mirrored = self._mirrored
        if isinstance(draw, Draw) and draw.mirrored:
            if self._config.flip == "none":
                raise ValueError("a mirrored draw, but image.flip is none")
            mirrored = not mirrored
        pixels = self._cache[row]
        flip = mirrored != self._mirrored_views[row]
        if isinstance(draw, Draw) and self._augment is not None:
            if flip:
                pixels = np.ascontiguousarray(pixels[:, ::-1])
            pixels = augmented(self._augment, pixels, draw.seed)
        else:
            pixels = varied(pixels, self._size, mirrored=flip, zoom=self._zoom)
        label = int(self._labels[row])
        if mirrored and self._config.mirrored_is_new and label >= 0:
            label += self._classes
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return Photo(image, torch.tensor(label), torch.tensor(row))


def single_thread(worker: int) -> None:
    """Keep OpenCV to one thread in a data loader's worker: the workers use all cores already."""
    cv2.setNumThreads(0)
