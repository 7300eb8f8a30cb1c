"""The only path from a photograph to an answer: `Identifier` = network + gallery + threshold.

One folder, no pickles:

    identifier.json       configuration of network and photographs, threshold, calibration, digest
    network.safetensors   the network's tensors
    gallery.npz           the gallery's embeddings, stamped with the network's digest
    keypoints.npz         the gallery's keypoints, where the ranking rules match them
    centers.npz           the classes of the network's head, where the ranking rules look at them
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from flukeprint.answering import Desk, Evidence, Method, gather
from flukeprint.catalog import Catalog
from flukeprint.config import Config, ImageConfig, ModelConfig, Section
from flukeprint.doctor import check_readable
from flukeprint.embedding import embed, network_digest
from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import folder_written_whole
from flukeprint.gallery import Embeddings
from flukeprint.keypoint_store import KeypointStore
from flukeprint.metrics import Values
from flukeprint.model import FlukeNet, empty_model
from flukeprint.open_set import Calibration
from flukeprint.ranking import Ranking, insert_new
from flukeprint.runs import CENTERS

FORMAT = 2
KEYPOINTS = "keypoints.npz"


class Card(Section):
    """What `identifier.json` says."""

    format: int
    name: str
    model: ModelConfig
    image: ImageConfig
    mirror: bool
    zooms: tuple[float, ...]
    threshold: float | None
    new_label: str
    stamp: str
    method: Method = Method()  # how similarities become answers
    calibration: Calibration | None = None  # None: too few queries to fit one


@dataclass(frozen=True)
class Identifier:
    """Network, gallery and threshold that belong together."""

    card: Card
    net: FlukeNet
    gallery: Embeddings
    keypoints: KeypointStore | None = None
    centers: Embeddings | None = None

    def __post_init__(self) -> None:
        if self.gallery.stamp != self.card.stamp:
            raise FlukeprintError(
                f"the gallery was embedded by network {self.gallery.stamp}, "
                f"this identifier's is {self.card.stamp}; embed the gallery again with infer.py"
            )
        if self.keypoints is not None and len(self.keypoints) != len(self.gallery):
            raise FlukeprintError(
                f"keypoints of {len(self.keypoints)} photographs and a gallery of "
                f"{len(self.gallery)} do not belong together; train again"
            )

    @classmethod
    def of(
        cls,
        config: Config,
        net: FlukeNet,
        gallery: Evidence,
        threshold: float | None,
        calibration: Calibration | None = None,
        *,
        method: Method | None = None,
        centers: Embeddings | None = None,
    ) -> "Identifier":
        """An identifier of a trained network; `gallery` and `centers` must be of it."""
        return cls(
            Card(
                format=FORMAT,
                name=config.name,
                model=config.model,
                image=config.image,
                mirror=config.infer.mirror,
                zooms=config.infer.zooms,
                threshold=threshold,
                new_label=config.data.new_label,
                stamp=network_digest(net, config.image, config.infer.mirror, config.infer.zooms),
                method=method or Method(),
                calibration=calibration,
            ),
            net.eval(),
            gallery.embeddings,
            gallery.keypoints,
            centers if config.rank.head else None,
        )

    @property
    def identities(self) -> tuple[str, ...]:
        """The animals that it knows, sorted."""
        return tuple(sorted({name for name in self.gallery.identities if name is not None}))

    def identify(
        self, photos: Catalog | Sequence[Path | str | npt.NDArray[np.uint8]], *, top: int = 5
    ) -> Ranking:
        """Answer each photograph with its `top` nearest identities, a new individual among them.

        Args:
            photos: a catalogue, paths, or RGB arrays (h, w, 3) uint8.

        Raises:
            FlukeprintError: a photograph that cannot be read.
        """
        return self.rank(self.examine(photos), top=top)

    def examine(
        self,
        photos: Catalog | Sequence[Path | str | npt.NDArray[np.uint8]],
        *,
        batch_size: int = 64,
        workers: int = 0,
        progress: bool = False,
    ) -> Evidence:
        """Embeddings of photographs and, where the ranking rules match them, keypoints."""
        catalog, image = self._catalog_of(photos)
        embeddings = self._embedded(
            catalog, image, batch_size, workers, "photographs" if progress else None
        )
        rules = self.card.method.rules
        return gather(embeddings, catalog, image, rules, progress="keypoints" if progress else None)

    def embed(
        self,
        photos: Catalog | Sequence[Path | str | npt.NDArray[np.uint8]],
        *,
        batch_size: int = 64,
        workers: int = 0,
        progress: str | None = None,
    ) -> Embeddings:
        """Unit embeddings of photographs, stamped with the network's digest."""
        return self._embedded(*self._catalog_of(photos), batch_size, workers, progress)

    def _embedded(
        self,
        catalog: Catalog,
        image: ImageConfig,
        batch_size: int,
        workers: int,
        progress: str | None,
    ) -> Embeddings:
        return embed(
            self.net, catalog, image, stamp=self.card.stamp, mirror=self.card.mirror,
            zooms=self.card.zooms, batch_size=batch_size, workers=workers, progress=progress,
        )  # fmt: skip

    def _catalog_of(
        self, photos: Catalog | Sequence[Path | str | npt.NDArray[np.uint8]]
    ) -> tuple[Catalog, ImageConfig]:
        if isinstance(photos, Catalog):
            return photos, self.card.image
        # A photo that is asked for once is not worth a place in the cache.
        return _catalog_of(photos), self.card.image.model_copy(update={"cache": None})

    def rank(self, queries: Evidence, *, top: int = 5, progress: bool = False) -> Ranking:
        """The answers to photographs that `examine` has seen.

        Raises:
            FlukeprintError: the queries were embedded by another network.
        """
        method = self.card.method
        desk = Desk(
            Evidence(self.gallery, self.keypoints), queries, method.rules, centers=self.centers,
            progress="matching keypoints" if progress else None,
        )  # fmt: skip
        ranking = desk.answer(method, top=top)
        threshold = self.card.threshold
        return ranking if threshold is None else insert_new(ranking, threshold)

    def probabilities(self, ranking: Ranking) -> Values | None:
        """(q,) probability that each first answer is right; None where too few queries foretold it.

        ranking: of `identify` or `rank`, with `top` of at least three.  Fitted on the fold's
        queries and its smaller gallery, for photographs like those and as many new individuals.
        """
        calibration = self.card.calibration
        return None if calibration is None else calibration.probabilities(ranking)

    def enroll(
        self, identity: str, photos: Sequence[Path | str | npt.NDArray[np.uint8]]
    ) -> "Identifier":
        """An identifier that knows `identity` by these photographs too; nothing is trained.

        Raises:
            FlukeprintError: no photo, an unfit name, or a photo that is in the gallery already.
        """
        name = identity.strip()
        if not name or name == self.card.new_label:
            raise FlukeprintError(f"{identity!r} is no name for an individual")
        if not photos:
            raise FlukeprintError(f"no photograph of {name} was given")
        examined = self.examine(photos)
        fresh = examined.embeddings
        taken = set(self.gallery.images)
        images = [_free_name(image, taken) for image in fresh.images]
        for image, vector in zip(images, fresh.vectors, strict=True):
            same = np.flatnonzero(self.gallery.vectors @ vector > 1 - 1e-6)
            if len(same):
                row = int(same[0])
                raise FlukeprintError(
                    f"{image} is in the gallery already, as {self.gallery.images[row]} "
                    f"of {self.gallery.identities[row]}"
                )
        views = (
            None if self.gallery.views is None else (*self.gallery.views, *(None,) * len(images))
        )
        grown = Embeddings(
            vectors=np.concatenate([self.gallery.vectors, fresh.vectors]),
            images=(*self.gallery.images, *images),
            identities=(*self.gallery.identities, *(name,) * len(images)),
            views=views,
            stamp=self.card.stamp,
        )
        keypoints = self.keypoints
        if keypoints is not None and examined.keypoints is not None:
            keypoints = KeypointStore.concatenate([keypoints, examined.keypoints])
        return replace(self, gallery=grown, keypoints=keypoints)

    def with_threshold(self, threshold: float | None) -> "Identifier":
        """The same, deciding at another similarity."""
        return replace(self, card=self.card.model_copy(update={"threshold": threshold}))

    def save(self, path: Path | str) -> None:
        """Write the folder `path`, whole or not at all."""
        with folder_written_whole(Path(path)) as folder:
            state = {k: v.detach().cpu().contiguous() for k, v in self.net.state_dict().items()}
            try:
                save_file(state, folder / "network.safetensors")
            except SafetensorError as error:
                raise OSError(str(error)) from None
            self.gallery.save(folder / "gallery.npz")
            if self.keypoints is not None:
                self.keypoints.save(folder / KEYPOINTS)
            if self.centers is not None:
                self.centers.save(folder / CENTERS)
            text = json.dumps(self.card.model_dump(mode="json"), indent=2)
            (folder / "identifier.json").write_text(text + "\n")

    @classmethod
    def load(cls, path: Path | str) -> "Identifier":
        """Read the folder that `save` wrote.

        Raises:
            FlukeprintError: no identifier there, damaged, of another architecture, or its gallery
                made by another network.
        """
        folder = Path(path)
        card = _read_card(folder)
        net = empty_model(card.model, (card.image.height, card.image.width))
        try:
            state = load_file(folder / "network.safetensors")
        except (OSError, SafetensorError) as error:
            raise FlukeprintError(f"{folder}/network.safetensors cannot be read: {error}") from None
        wanted = net.state_dict()
        wrong = [k for k in wanted if k not in state or state[k].shape != wanted[k].shape]
        wrong += [k for k in state if k not in wanted]
        if wrong:
            raise FlukeprintError(
                f"{folder}/network.safetensors is not of the architecture {card.model.backbone} "
                f"that identifier.json names: {len(wrong)} tensors differ ({listed(wrong, 3)})"
            )
        net.load_state_dict(state)
        stamp = network_digest(net, card.image, card.mirror, card.zooms)
        if stamp != card.stamp:
            raise FlukeprintError(
                f"{folder}: the network's digest is {stamp}, identifier.json says {card.stamp}; "
                "its files do not belong together"
            )
        rules = card.method.rules
        return cls(
            card,
            net.eval(),
            Embeddings.load(folder / "gallery.npz"),
            KeypointStore.load(folder / KEYPOINTS) if rules.local.candidates else None,
            Embeddings.load(folder / CENTERS) if rules.head else None,
        )


def _read_card(folder: Path) -> Card:
    file = folder / "identifier.json"
    try:
        fields: Any = json.loads(file.read_text())
    except FileNotFoundError:
        raise FlukeprintError(f"{folder} is no identifier: it has no identifier.json") from None
    except (OSError, ValueError) as error:
        raise FlukeprintError(f"{file} cannot be read: {error}") from None
    if isinstance(fields, dict) and fields.get("format") != FORMAT:
        raise FlukeprintError(
            f"{file}: format {fields.get('format')}, this version reads {FORMAT}; train again"
        )
    try:
        return Card.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FlukeprintError(f"{file}: {key}: {first['msg']}") from None


def _catalog_of(photos: Sequence[Path | str | npt.NDArray[np.uint8]]) -> Catalog:
    """Paths or arrays as a catalogue."""
    arrays = [photo for photo in photos if isinstance(photo, np.ndarray)]
    if arrays and len(arrays) != len(photos):
        raise ValueError("give paths or arrays, not both")
    if arrays:
        if len({array.shape for array in arrays}) != 1:
            raise ValueError("arrays of one call must have one shape; call once for each")
        names = tuple(f"array_{i}" for i in range(len(arrays)))
        return Catalog(images=names, pixels=np.stack(arrays))
    paths = tuple(Path(photo) for photo in photos if not isinstance(photo, np.ndarray))
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FlukeprintError(f"no such photograph: {listed(missing)}")
    taken: set[str] = set()
    names = tuple(_free_name(path.name, taken) for path in paths)
    return check_readable(Catalog(images=names, paths=paths), progress=False)


def _free_name(name: str, taken: set[str]) -> str:
    """`name`, or with a number where it is taken; takes it."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{Path(name).stem}~{count}{Path(name).suffix}"
    taken.add(free)
    return free
