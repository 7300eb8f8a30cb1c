"""Write and read the large files of an identifier's folder: network, gallery and index.

An identifier to which photographs were added replaces its folder.  Files that have not changed are
hard links to the old ones: the network, the index (later photographs are searched beside it),
and the gallery, to which only the new photographs are appended.
"""

import contextlib
import re
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.recipe import network_digest
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.files import folder_written_whole, linked, written_whole
from flukeprint.identifier.card import FILE, IdentifierCard, read_card
from flukeprint.identifier.integrity import (
    DIGESTS,
    FileDigests,
    bytes_digest,
    check_files,
    digest_files,
    digests_text,
    read_digests,
)
from flukeprint.models.lazy_network import LazyNetwork, built
from flukeprint.search.backends import find_backend
from flukeprint.search.gallery_files import APPENDED, StoreFacts
from flukeprint.search.gallery_store import GalleryStore
from flukeprint.search.index import Index

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

NETWORK, GALLERY, INDEX = "network.safetensors", "gallery", "index"

# An index file that lacks more than this share of the gallery is written again.
_BEHIND = 0.05


def write_network(
    net: "FlukeNet | LazyNetwork", card: IdentifierCard, old: Path, folder: Path
) -> None:
    """Write the network's tensors into `folder`; a link where `old` has the same."""
    if _same_network(card, old) and linked(old / NETWORK, folder / NETWORK):
        return
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    state = {k: v.detach().cpu().contiguous() for k, v in built(net).state_dict().items()}
    try:
        save_file(state, folder / NETWORK)
    except SafetensorError as error:
        raise OSError(str(error)) from None


def lazy_network(folder: Path, card: IdentifierCard) -> LazyNetwork:
    """The network of an identifier, which `read_network` reads when something first needs it.

    Raises:
        FlukeprintError: there is none.
    """
    file = folder.absolute() / NETWORK
    if not file.is_file():
        raise FlukeprintError(f"{folder / NETWORK} cannot be read: it is not there")
    return LazyNetwork(lambda: read_network(file.parent, card))


def read_network(folder: Path, card: IdentifierCard) -> "FlukeNet":
    """Read the network of an identifier, in evaluation mode.

    Raises:
        FlukeprintError: it cannot be read, is of another architecture, or is not the card's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from flukeprint.models.network import empty_model

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


def linked_gallery(old: Path, folder: Path) -> GalleryStore:
    """Give `folder` the gallery of `old`, to which photographs can be appended.

    The files are shared; what is appended counts in `folder` alone.
    """
    store = GalleryStore.open(old / GALLERY)
    if store.facts.removed or not _linked_folder(old / GALLERY, folder / GALLERY):
        GalleryStore.create(folder / GALLERY, store.present)
    return GalleryStore.open(folder / GALLERY)


def read_gallery(folder: Path, *, checked: bool) -> Embeddings:
    """Read the gallery of an identifier's folder.

    checked: whether its files were compared with digests; else all vectors are looked at.
    """
    gallery = GalleryStore.open(folder / GALLERY).present
    if not checked:
        try:
            gallery = replace(gallery)  # checks what a gallery in a memory map is trusted to be
        except ValueError as error:
            raise FlukeprintError(f"{folder / GALLERY} was changed or damaged: {error}") from None
    return gallery


def write_digests(folder: Path, old: Path) -> str:
    """Write the digests of all files in `folder`; returns the digest of that file.

    old: an earlier state.  What `folder` has as links to files of it is not read again.
    """
    known: FileDigests = {}
    with contextlib.suppress(FlukeprintError):  # none, damaged, or of an earlier version
        before = read_card(old)
        known = read_digests(old, before.digests, before.digests_file)
    sizes = StoreFacts.read(folder / GALLERY).sizes()  # a killed process may have appended more
    digests = digest_files(
        folder, {f"{GALLERY}/{name}": size for name, size in sizes.items()}, old, known
    )
    text = digests_text(digests)
    (folder / DIGESTS).write_text(text)
    return bytes_digest(text.encode())


def check_digests(folder: Path, card: IdentifierCard) -> None:
    """Refuse an identifier's folder in which a file was changed, cut off or removed.

    Raises:
        FlukeprintError: so, naming the file.
    """
    digests = read_digests(folder, card.digests, card.digests_file)
    if digests:
        check_files(folder, digests, [f"{GALLERY}/{name}" for name in APPENDED])


def write_index(
    index: Index, indexed: int, saved: int, gallery: Embeddings, old: Path, folder: Path
) -> tuple[Index, int]:
    """Write the index into `folder`, with all photographs if it holds too few of them.

    index: of the gallery's first `indexed` photographs.  It is not changed, unless it is shared by
        all processes.
    saved: the number in the file of `old`; 0 without one, or for an index of another gallery.

    Returns:
        The index in memory that goes with the file, and the number of photographs that both hold.
    """
    target, backend = folder / INDEX, find_backend(index.name)
    later = np.arange(indexed, len(gallery))
    if index.shared:
        backend.repair(index, indexed)  # a killed process may have added some
        if len(later):
            index.add(gallery.take(later), later)
        target.mkdir()
        index.save(target)
        return index, len(gallery)
    if saved and saved >= (1 - _BEHIND) * len(gallery) and _linked_folder(old / INDEX, target):
        return index, saved
    target.mkdir()
    index.save(target)
    if not len(later):
        return index, indexed
    grown = backend.load(target)  # a copy, for others may search the one in memory
    grown.add(gallery.take(later), later)
    whole = folder / f"{INDEX}.grown"
    whole.mkdir()
    grown.save(whole)
    shutil.rmtree(target)
    whole.replace(target)
    return grown, len(gallery)


def exchange_index(folder: Path, card: IdentifierCard, index: Index | None) -> IdentifierCard:
    """Give an identifier another index without replacing its folder, in which a database is in use.

    The new index and its digests are written beside the old ones; replacing `identifier.json`, in
    which both are named, makes them count.  The caller keeps other writers out.

    card: as it is to be, with what `read_card` says of the files in use.
    index: of all photographs in the gallery's files; None where they are searched exactly.

    Raises:
        FlukeprintError: the folder cannot be written; the identifier is as before.
    """
    _clear_indexes(folder, card)  # of processes that were killed
    tag = uuid.uuid4().hex[:8]
    name = f"{INDEX}-{tag}" if index is not None else INDEX
    if index is not None:
        with folder_written_whole(folder / name) as draft:
            index.save(draft)
    digests, digests_file = card.digests, card.digests_file
    if digests is not None:
        kept = read_digests(folder, digests, digests_file)
        known = {file: one for file, one in kept.items() if not file.startswith(f"{card.index}/")}
        if index is not None:
            fresh = digest_files(folder / name, {}, folder, {})
            known |= {f"{name}/{file}": one for file, one in fresh.items()}
        text, digests_file = digests_text(known), f"digests-{tag}.json"
        with written_whole(folder / digests_file) as draft:
            draft.write_text(text)
        digests = bytes_digest(text.encode())
    update = {"index": name, "digests": digests, "digests_file": digests_file}
    exchanged = card.model_copy(update=update)
    with written_whole(folder / FILE) as draft:
        draft.write_text(exchanged.text())
    _clear_indexes(folder, exchanged)
    return exchanged


def _clear_indexes(folder: Path, card: IdentifierCard) -> None:
    """Remove indexes and digests that the card does not name; whoever reads them tries again."""
    for path in folder.iterdir():
        if re.fullmatch(r"index(-[0-9a-f]{8})?", path.name) and path.name != card.index:
            shutil.rmtree(path, ignore_errors=True)
        elif re.fullmatch(r"digests(-[0-9a-f]{8})?\.json", path.name) and (
            path.name != card.digests_file
        ):
            with contextlib.suppress(OSError):
                path.unlink()


def read_index(folder: Path, backend: str, photos: int, name: str = INDEX) -> tuple[Index, int]:
    """Read the index of a gallery of so many photographs.

    name: of its folder in `folder`.

    Returns:
        The index, and the number of the gallery's photographs, from the first on, that it holds.

    Raises:
        FlukeprintError: there is none, or it is of another gallery.
    """
    index = find_backend(backend).load(folder / name)
    if len(index) > photos and not index.shared:
        raise FlukeprintError(
            f"{folder / name} holds {counted(len(index), 'photograph')} and the gallery "
            f"{photos:,}; build it again with flukeprint index"
        )
    return index, min(len(index), photos)


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


def _linked_folder(old: Path, new: Path) -> bool:
    """Make the folder `new` with hard links to the files of `old`; False without any change."""
    if not old.is_dir():
        return False
    new.mkdir()
    if all(linked(file, new / file.name) for file in old.iterdir() if file.name != "lock"):
        return True
    shutil.rmtree(new)
    return False
