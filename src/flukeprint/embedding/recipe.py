"""The settings that decide an embedding, and those by which a machine computes it.

Embeddings made by different recipes or networks must never be compared, so each set is stamped
with a digest of both.  `Compute` holds what may differ from machine to machine.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from flukeprint.config.data import ImageConfig
from flukeprint.config.ranking import EngineName, PrecisionName
from flukeprint.config.schema import Config

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet


@dataclass(frozen=True)
class EmbeddingRecipe:
    """The settings that an embedding depends on, besides the photograph and the network.

    image: size and preparation of the network's input.
    mirror: test-time augmentation with the mirror image, see `mirror_rule`.
    zooms: centre crops, as shares of both sides of the photograph; their unit embeddings are
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

    def stamped(self, net: "FlukeNet") -> "EmbeddingRecipe":
        """The same recipe with the digest of `net` and of itself."""
        return replace(self, stamp=network_digest(net, self))

    @property
    def mirror_rule(self) -> Literal["off", "mean", "both"]:
        """How the embeddings of a photograph and its mirror image are combined.

        Where a mirror image shows the same animal, by their mean.  Where it does not, both are
        concatenated: the cosine is then the mean of photo with photo and mirror with mirror, and
        never compares a left with a right.
        """
        if not self.mirror:
            return "off"
        return "mean" if self.image.mirrored_is_same else "both"

    @property
    def sides(self) -> tuple[bool, ...]:
        """The sides of a photograph that are embedded: False as it is, True mirrored."""
        return (False, True) if self.mirror else (False,)

    @property
    def variants(self) -> int:
        """Number of variants of a photograph that go through the network: zooms times sides."""
        return len(self.zooms) * len(self.sides)

    def dim(self, net: "FlukeNet") -> int:
        """Length of an embedding: the network's, or twice that for mirrors side by side."""
        return net.dim * (2 if self.mirror_rule == "both" else 1)


@dataclass(frozen=True)
class Compute:
    """How a machine computes embeddings; it changes them by rounding at most.

    batch_size: most variants of photographs that go through the network together.
    workers: threads that decode ahead of the network; with 0 the calling thread does it.
    engine, precision: inference engine and its arithmetic, see `engine_choice.pick_engine`;
        `auto` is torch in float32 unless a faster engine gives the same answers.
    """

    batch_size: int = 64
    workers: int = 0
    engine: EngineName = "auto"
    precision: PrecisionName = "auto"

    @classmethod
    def of(cls, config: Config) -> "Compute":
        """The settings of a configuration."""
        infer = config.infer
        return cls(infer.batch_size, config.train.workers, infer.engine, infer.precision)


def network_digest(net: "FlukeNet", recipe: EmbeddingRecipe) -> str:
    """Digest of network and recipe, which embeddings are stamped with: 16 digits of a SHA-256."""
    image = recipe.image
    digest = hashlib.sha256()
    model = (net.config.backbone, net.config.pooling, net.config.grid, net.config.neck)
    size = (image.height, image.width, image.resize, image.reserve, image.mirror_views)
    frozen = tuple(named.backbone for named in net.config.beside)
    how = (*model, *frozen, *size, recipe.mirror_rule, recipe.zooms)
    digest.update(repr(how).encode())
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()[:16]
