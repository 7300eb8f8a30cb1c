"""Match keypoints with LightGlue; the table of matchers that `rank.local.matcher` names.

LightGlue (Lindenberger et al. 2023) matches keypoints of DISK (Tyszkiewicz et al. 2020), both
through kornia, an optional package that is imported, and its weights downloaded, only when used.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.decoding import Pixels
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.local.keypoints import Keypoints, empty, shrink
from flukeprint.ranking.local.sift import KeypointBackend, PairMatch, agreed, sift_backend

if TYPE_CHECKING:
    import torch


def keypoint_backend(config: LocalConfig) -> KeypointBackend:
    """The backend that `config.matcher` names, for `KeypointStore.of` and `KeypointFusion`.

    Raises FlukeprintError where LightGlue is named and the package or its weights are missing.
    """
    return MATCHERS[config.matcher](config)


def lightglue_backend(config: LocalConfig) -> KeypointBackend:
    """DISK and LightGlue with pretrained weights, downloaded once into torch's hub folder."""
    try:
        from kornia.feature import DISK, LightGlue
    except ImportError as error:
        raise FlukeprintError(
            "rank.local.matcher=lightglue needs kornia: pip install 'flukeprint[lightglue]', "
            "or set rank.local.matcher=sift"
        ) from error
    import torch

    try:
        disk, glue = DISK.from_pretrained("depth"), LightGlue("disk")
    except Exception as error:  # whatever a download may raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FlukeprintError(
            f"rank.local.matcher=lightglue: the weights of DISK and LightGlue cannot be loaded "
            f"({reason}); put them into {torch.hub.get_dir()}/checkpoints, "
            "or set rank.local.matcher=sift"
        ) from error
    return learned_backend(disk.eval(), glue.eval(), config)


def learned_backend(disk: Any, glue: Any, config: LocalConfig) -> KeypointBackend:
    """Wrap a `kornia.feature` DISK and LightGlue("disk") as a backend."""
    import torch

    @torch.inference_mode()
    def extract(pixels: Pixels) -> Keypoints:
        photo = shrink(pixels, config.side)
        size = (photo.shape[0], photo.shape[1])
        image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
        found = disk(image, n=config.keypoints, pad_if_not_divisible=True)[0]
        if len(found.keypoints) == 0:
            return empty(size, matcher="lightglue")
        strongest = torch.argsort(found.detection_scores, descending=True, stable=True)
        strongest = strongest[: config.keypoints]
        return Keypoints(
            points=found.keypoints[strongest].float().numpy(),
            descriptors=found.descriptors[strongest].half().numpy(),
            size=size,
        )

    @torch.inference_mode()
    def match(query: Keypoints, candidate: Keypoints) -> PairMatch:
        pairs, weights = np.empty((0, 2), np.int64), np.empty(0, np.float32)
        if len(query) and len(candidate):
            found = glue({"image0": _glue_input(query), "image1": _glue_input(candidate)})
            pairs = found["matches"][0].numpy().astype(np.int64)
            weights = found["scores"][0].float().numpy()
        return agreed(query, candidate, pairs, weights, config)

    return KeypointBackend(extract, match)


def _glue_input(keypoints: Keypoints) -> "dict[str, torch.Tensor]":
    import torch

    height, width = keypoints.size
    return {
        "keypoints": torch.from_numpy(keypoints.points)[None],
        "descriptors": torch.from_numpy(keypoints.descriptors.astype(np.float32))[None],
        "image_size": torch.tensor([[width, height]]),
    }


MATCHERS: dict[str, Callable[[LocalConfig], KeypointBackend]] = {
    "sift": sift_backend,
    "lightglue": lightglue_backend,
    "lnbnn": sift_backend,  # the pairs that pictures show; ranking matches by `naive_bayes`
}
