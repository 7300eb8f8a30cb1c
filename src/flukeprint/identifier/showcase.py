"""What the web page shows of a gallery: thumbnails, examples to try, a map, class descriptions.

It is saved in the identifier's folder:

    thumbnails.npz  the gallery's photographs, small
    examples.npz    photographs to try, which are not in the gallery
    map.npz         positions of the gallery's photographs in two dimensions
    taxonomy.csv    the tree above the classes, if there is one
    cards.csv       a description of each class, if there is one
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flukeprint.config.data import ImageConfig
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import decode_bytes
from flukeprint.data.embeddings import Embeddings, Floats
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.embedding.engine import Photos
from flukeprint.embedding.photos import fit, varied
from flukeprint.errors import FlukeprintError
from flukeprint.files import read_npz, written_whole
from flukeprint.identifier.class_cards import ClassDescription, check_cards, read_cards, save_cards
from flukeprint.identifier.gallery_map import placed, project
from flukeprint.identifier.taxonomy import Taxonomy

EXAMPLES = 6
EXAMPLE_SIDE = 480  # px
THUMBNAILS, EXAMPLE_FILE, MAP = "thumbnails.npz", "examples.npz", "map.npz"
TAXONOMY, CARDS = "taxonomy.csv", "cards.csv"


@dataclass(frozen=True)
class Showcase:
    """Thumbnails and map of n gallery photographs, examples, and descriptions of their classes.

    xy: (n, 2) float32, positions on the map.
    """

    thumbnails: Thumbnails
    xy: Floats
    examples: Thumbnails = field(default_factory=lambda: Thumbnails.none(0))
    taxonomy: Taxonomy | None = None
    cards: Mapping[str, ClassDescription] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.xy.shape != (len(self.thumbnails), 2):
            raise ValueError(f"places {self.xy.shape} of {len(self.thumbnails)} photographs")

    def __len__(self) -> int:
        return len(self.thumbnails)

    @classmethod
    def bare(cls, gallery: Embeddings) -> "Showcase":
        """Make the showcase of a gallery whose photographs are not available."""
        return cls(Thumbnails.none(len(gallery)), project(gallery.vectors))

    def grown(self, known: Embeddings, fresh: Embeddings, thumbnails: Thumbnails) -> "Showcase":
        """Append photographs, each placed on the map near those that are similar to it.

        A class that the taxonomy lacks is added to it without a name at any rank.
        """
        xy = placed(known.vectors, self.xy, fresh.vectors)
        return self.followed_by(thumbnails, xy).naming(map(str, fresh.identities))

    def followed_by(self, thumbnails: Thumbnails, xy: Floats) -> "Showcase":
        """Append photographs with their places on the map (m, 2)."""
        return replace(
            self,
            thumbnails=Thumbnails.concatenate([self.thumbnails, thumbnails]),
            xy=np.concatenate([self.xy, xy]),
        )

    def take(self, rows: npt.ArrayLike) -> "Showcase":
        """Select the photographs of `rows`, in that order."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(self, thumbnails=self.thumbnails.take(index), xy=self.xy[index])

    def naming(
        self, identities: Iterable[str], renamed: Mapping[str, str] | None = None
    ) -> "Showcase":
        """Give every identity a place in the taxonomy, and renamed ones what was theirs.

        Identities that the taxonomy lacks have no name at any rank.
        """
        new = renamed or {}
        cards = {new.get(name, name): card for name, card in self.cards.items()} if new else None
        taxonomy = self.taxonomy
        if taxonomy is not None:
            blank: tuple[str | None, ...] = (None,) * len(taxonomy.ranks)
            lineages = dict.fromkeys(identities, blank)
            lineages |= {new.get(name, name): ranks for name, ranks in taxonomy.lineages.items()}
            taxonomy = replace(taxonomy, lineages=lineages)
        return replace(self, taxonomy=taxonomy, cards=self.cards if cards is None else cards)

    def save(self, folder: Path) -> None:
        """Write the files into `folder`, which must exist."""
        self.thumbnails.save(folder / THUMBNAILS)
        self.examples.save(folder / EXAMPLE_FILE)
        with written_whole(folder / MAP) as partial, partial.open("wb") as file:
            np.savez(file, xy=self.xy)
        if self.taxonomy is not None:
            self.taxonomy.save(folder / TAXONOMY)
        if self.cards:
            save_cards(self.cards, folder / CARDS)

    @classmethod
    def load(cls, folder: Path, *, checked: bool = False) -> "Showcase | None":
        """Read what `save` wrote; None for an identifier of an earlier version, which has none.

        checked: whether its files were compared with their digests.
        """
        if not (folder / THUMBNAILS).is_file():
            return None
        with read_npz(folder / MAP, "map") as arrays:
            xy = arrays["xy"]
        taxonomy, cards = folder / TAXONOMY, folder / CARDS
        return cls(
            thumbnails=Thumbnails.load(folder / THUMBNAILS, checked=checked),
            xy=xy,
            examples=Thumbnails.load(folder / EXAMPLE_FILE),
            taxonomy=Taxonomy.read(taxonomy) if taxonomy.is_file() else None,
            cards=read_cards(cards) if cards.is_file() else {},
        )


def read_class_tables(
    config: Config, identities: tuple[str, ...]
) -> tuple[Taxonomy | None, dict[str, ClassDescription]]:
    """Read the taxonomy and the class cards of `config`, checked against the known classes.

    Raises:
        FlukeprintError: a table that cannot be read, or does not fit the classes.
    """
    taxonomy = None if config.taxonomy is None else Taxonomy.read(config.taxonomy.table)
    if taxonomy is not None:
        taxonomy.check(identities)
    cards = {} if config.cards is None else dict(read_cards(config.cards))
    check_cards(cards, identities)
    return taxonomy, cards


def pick_examples(photos: Catalog) -> Thumbnails:
    """Pick a few of the photographs, evenly spread; FlukeprintError if one is unreadable."""
    picked = np.linspace(0, len(photos) - 1, min(EXAMPLES, len(photos)))
    return Thumbnails.of(photos.take(np.unique(picked.astype(np.int64))), EXAMPLE_SIDE)


def build_showcase(
    config: Config,
    gallery: Embeddings,
    photos: Catalog,
    examples: Thumbnails,
    identities: tuple[str, ...],
) -> Showcase:
    """Build the showcase of a gallery.

    photos: the gallery's, in its order.  identities: all of the catalogue, with those that have
        too few photos for the gallery.

    Raises FlukeprintError for tables of classes that do not fit.
    """
    if photos.images != gallery.images:
        raise FlukeprintError("thumbnails of other photographs than the gallery's; train again")
    taxonomy, cards = read_class_tables(config, identities)
    return Showcase(
        thumbnails=Thumbnails.of(photos, progress="thumbnails"),
        xy=project(gallery.vectors),
        examples=examples,
        taxonomy=taxonomy,
        cards=cards,
    )


def sample_photos(showcase: Showcase | None, image: ImageConfig, most: int) -> Photos:
    """Photographs to try inference engines on: (m, 3, height, width) uint8, m about `most`.

    The gallery's thumbnails where they are kept, else random pixels, the same each time.
    """
    size = (image.height, image.width)
    kept = [] if showcase is None else [showcase.thumbnails[row] for row in range(len(showcase))]
    files = [file for file in kept if file is not None]
    if files:
        pixels = [
            fit(decode_bytes(file, "thumbnail"), image) for file in files[:: -(-len(files) // most)]
        ]
    else:
        rng = np.random.default_rng(0)
        pixels = list(rng.integers(0, 256, (16, *size, 3), dtype=np.uint8))
    seen = [varied(photo, size, mirrored=False, zoom=1.0) for photo in pixels]
    return np.ascontiguousarray(np.stack(seen).transpose(0, 3, 1, 2))
