"""What decides an embedding, and how the machine computes it.

Embeddings made by different recipes or networks must never be compared, so each set is stamped
with a digest of both.  `Compute` holds what may differ from machine to machine.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

from flukeprint.config.schema import Config, EngineName, ImageConfig, PrecisionName
from flukeprint.models.network import FlukeNet


@dataclass(frozen=True)
class EmbeddingRecipe:
    """All but photograph and network that an embedding depends on.

    image: size and preparation of the network's input.
    mirror: test-time mirror, by `mirror_rule`.
    zooms: shares of both sides of the photograph, around its middle, whose unit embeddings are
        averaged.
    stamp: digest of network and recipe, from `stamped`; empty before.
    """

    image: ImageConfig
    mirror: bool = False
    zooms: tuple[float, ...] = (1.0,)
    stamp: str = ""

    @classmethod
    def of(cls, config: Config) -> "EmbeddingRecipe":
        """The recipe of a configuration, without a stamp."""
        return cls(config.image, config.infer.mirror, config.infer.zooms)

    def stamped(self, net: FlukeNet) -> "EmbeddingRecipe":
        """The same recipe with the digest of `net` by it."""
        return replace(self, stamp=network_digest(net, self))

    @property
    def mirror_rule(self) -> Literal["off", "mean", "both"]:
        """How the mirrored photograph enters an embedding.

        Where a mirrored animal is itself, the mean of both embeddings.  Where it is not, both side
        by side: the cosine is then the mean of photo with photo and mirror with mirror, and never
        compares a left with a right.
        """
        if not self.mirror:
            return "off"
        return "mean" if self.image.mirrored_is_same else "both"

    @property
    def sides(self) -> tuple[bool, ...]:
        """Whether each pass over a photograph sees it mirrored."""
        return (False, True) if self.mirror else (False,)

    @property
    def variants(self) -> int:
        """Pictures of one photograph that go through the network: each zoom, mirrored too."""
        return len(self.zooms) * len(self.sides)


@dataclass(frozen=True)
class Compute:
    """How a machine computes embeddings; changes them by rounding at most.

    batch_size: pictures that go through the network together, at most.
    workers: threads that decode ahead of the network; 0: the calling thread does all.
    engine, precision: what runs the network, see `engine_choice.pick_engine`; `auto`: torch in
        float32 where nothing faster pays or is sure to give the same embeddings.
    """

    batch_size: int = 64
    workers: int = 0
    engine: EngineName = "auto"
    precision: PrecisionName = "auto"

    @classmethod
    def of(cls, config: Config) -> "Compute":
        """What a configuration asks for."""
        infer = config.infer
        return cls(infer.batch_size, config.train.workers, infer.engine, infer.precision)


def network_digest(net: FlukeNet, recipe: EmbeddingRecipe) -> str:
    """First 16 hex digits of the SHA-256 of all that an embedding depends on but the photograph."""
    image = recipe.image
    digest = hashlib.sha256()
    model = (net.config.backbone, net.config.pooling, net.config.grid, net.config.neck)
    size = (image.height, image.width, image.resize, image.reserve, image.mirror_views)
    beside = tuple(named.backbone for named in net.config.beside)
    how = (*model, *beside, *size, recipe.mirror_rule, recipe.zooms)
    digest.update(repr(how).encode())
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()[:16]
