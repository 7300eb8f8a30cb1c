"""Reads photographs whose file names hold the identity, which `data.pattern` finds in them."""

import re
from pathlib import PurePosixPath

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.layout import photos_below
from flukeprint.data.tables import identities_of
from flukeprint.errors import FlukeprintError, listed
from flukeprint.storage import join


def labelled_file_names(config: DataConfig) -> Catalog:
    """The photographs of `data.train`; the identity is the group `identity` of `data.pattern`."""
    folder = config.root / config.train
    pattern = _compiled(config.pattern)
    images = photos_below(folder, config)
    labels = []
    unmatched = []
    for image in images:
        match = pattern.search(PurePosixPath(image).name)
        label = (match["identity"] or "").strip() if match else ""
        labels.append(label)
        if not label:
            unmatched.append(image)
    if unmatched:
        share = f"{len(unmatched)} of {len(images)} file names"
        raise FlukeprintError(
            f"data.pattern {config.pattern} does not match {share} in {folder}: {listed(unmatched)}"
        )
    return Catalog(
        images=tuple(images),
        paths=tuple(join(folder, image) for image in images),
        identities=identities_of(labels, config.new_label),
    )


def _compiled(pattern: str | None) -> re.Pattern[str]:
    example = r"such as (?P<identity>.+)_\d+\.jpg"
    if pattern is None:
        raise FlukeprintError(f"reader file_name needs data.pattern, {example}")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise FlukeprintError(
            f"data.pattern {pattern} is not a regular expression: {error}"
        ) from None
    if "identity" not in compiled.groupindex:
        raise FlukeprintError(f"data.pattern {pattern} has no group `identity`, {example}")
    return compiled
