"""Write and read the large files of an identifier's folder: network, gallery and index.

An identifier to which photographs were added replaces its folder.  Files that have not changed are
hard links to the old ones: the network, the index (later photographs are added when it is read),
and the gallery, to which only the new photographs are appended.
"""

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.recipe import network_digest
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.identifier.card import FILE, IdentifierCard, read_card
from flukeprint.models.network import FlukeNet, empty_model
from flukeprint.search.backends import find_backend
from flukeprint.search.gallery_store import GalleryStore
from flukeprint.search.index import Index

NETWORK, GALLERY, INDEX = "network.safetensors", "gallery", "index"

# An index file that lacks more than this share of the gallery is written again.
_BEHIND = 0.05


def write_network(net: FlukeNet, card: IdentifierCard, old: Path, folder: Path) -> None:
    """Write the network's tensors into `folder`; a link where `old` has the same."""
    if _same_network(card, old) and _linked(old / NETWORK, folder / NETWORK):
        return
    state = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    try:
        save_file(state, folder / NETWORK)
    except SafetensorError as error:
        raise OSError(str(error)) from None


def read_network(folder: Path, card: IdentifierCard) -> FlukeNet:
    """Read the network of an identifier, in evaluation mode.

    Raises:
        FlukeprintError: it cannot be read, is of another architecture, or is not the card's.
    """
    net = empty_model(card.model, (card.image.height, card.image.width))
    try:
        state = load_file(folder / NETWORK)
    except (OSError, SafetensorError) as error:
        raise FlukeprintError(f"{folder / NETWORK} cannot be read: {error}") from None
    wanted = net.state_dict()
    wrong = [k for k in wanted if k not in state or state[k].shape != wanted[k].shape]
    wrong += [k for k in state if k not in wanted]
    if wrong:
        raise FlukeprintError(
            f"{folder / NETWORK} is not of the architecture {card.model.backbone} "
            f"that identifier.json names: {len(wrong)} tensors differ ({listed(wrong, 3)})"
        )
    net.load_state_dict(state)
    stamp = network_digest(net, card.recipe)
    if stamp != card.stamp:
        raise FlukeprintError(
            f"{folder}: the network's digest is {stamp}, identifier.json says {card.stamp}; "
            "its files do not belong together"
        )
    return net.eval()


def write_gallery(gallery: Embeddings, card: IdentifierCard, old: Path, folder: Path) -> None:
    """Write the gallery into `folder`; of one that `old` has the start of, only the rest."""
    start = _held(gallery, old / GALLERY) if _same_network(card, old) else 0
    if start and _linked_folder(old / GALLERY, folder / GALLERY):
        if start < len(gallery):
            GalleryStore.open(folder / GALLERY).append(gallery.take(np.arange(start, len(gallery))))
        return
    shutil.rmtree(folder / GALLERY, ignore_errors=True)
    GalleryStore.create(folder / GALLERY, gallery)


def read_gallery(folder: Path) -> Embeddings:
    """Read the gallery of an identifier's folder."""
    return GalleryStore.open(folder / GALLERY).present


def write_index(index: Index, saved: int, old: Path, folder: Path) -> int:
    """Write the index into `folder`; returns the number of photographs in its file.

    saved: the number in the file of `old`; 0 without one, or for an index of another gallery.
    """
    target = folder / INDEX
    enough = saved >= (1 - _BEHIND) * len(index)
    if enough and _linked_folder(old / INDEX, target):
        return saved
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    index.save(target)
    return len(index)


def read_index(folder: Path, backend: str, gallery: Embeddings) -> tuple[Index, int]:
    """Read the index of a gallery, and add the photographs that its file lacks.

    Returns:
        The index, and the number of photographs in its file.

    Raises:
        FlukeprintError: there is none, or it is of another gallery.
    """
    known = find_backend(backend)
    index = known.load(folder / INDEX)
    saved = len(index)
    if saved > len(gallery) and not known.repair(index, len(gallery)):
        raise FlukeprintError(
            f"{folder / INDEX} holds {counted(saved, 'photograph')} and the gallery "
            f"{len(gallery):,}; build it again with flukeprint index"
        )
    saved = min(saved, len(gallery))
    if saved < len(gallery):
        rows = np.arange(saved, len(gallery))
        index.add(gallery.take(rows), rows)
    return index, saved


def _same_network(card: IdentifierCard, old: Path) -> bool:
    if not (old / FILE).is_file():
        return False
    try:
        return read_card(old).stamp == card.stamp
    except FlukeprintError:  # damaged, or of an earlier version
        return False


def _held(gallery: Embeddings, store: Path) -> int:
    """Number of photographs in the store, if the gallery starts with them; else 0."""
    try:
        stored = GalleryStore.open(store)
        first = len(stored)
        if stored.facts.removed or first > len(gallery):
            return 0
        known = stored.embeddings
    except FlukeprintError:
        return 0
    same = (
        known.images == gallery.images[:first]
        and known.identities == gallery.identities[:first]
        and (known.views or (None,) * first) == (gallery.views or (None,) * first)[:first]
        and known.vectors.shape[1:] == gallery.vectors.shape[1:]
        and np.array_equal(known.vectors[:first:997], gallery.vectors[:first:997])
    )
    return first if same else 0


def _linked(old: Path, new: Path) -> bool:
    """Make `new` a hard link to `old`; False where that is not possible."""
    with contextlib.suppress(OSError, NotImplementedError):
        os.link(old, new)
        return True
    return False


def _linked_folder(old: Path, new: Path) -> bool:
    """Make the folder `new` with hard links to the files of `old`; False without any change."""
    if not old.is_dir():
        return False
    new.mkdir()
    if all(_linked(file, new / file.name) for file in old.iterdir() if file.name != "lock"):
        return True
    shutil.rmtree(new)
    return False
