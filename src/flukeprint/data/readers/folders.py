"""Reads one folder for each identity, named like it, with photographs at any depth in it."""

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.layout import photos_below
from flukeprint.data.tables import identities_of
from flukeprint.errors import FlukeprintError, listed
from flukeprint.storage import join


def labelled_folders(config: DataConfig) -> Catalog:
    """The photographs of `data.train`; the identity is the first folder of their path."""
    folder = config.root / config.train
    images = photos_below(folder, config)
    stray = [image for image in images if "/" not in image]
    if stray:
        raise FlukeprintError(
            f"{folder}: photos outside a folder of an identity: {listed(stray)}; "
            "reader `folders` wants one folder an identity"
        )
    labels = [image.split("/", 1)[0].strip() for image in images]
    return Catalog(
        images=tuple(images),
        paths=tuple(join(folder, image) for image in images),
        identities=identities_of(labels, config.new_label),
    )
