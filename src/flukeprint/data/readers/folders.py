"""Readers: a `DataConfig` enters, a `Catalog` of labelled or of test photographs leaves.

A reader is a pair of functions in `READERS`, chosen by `data.reader`.  Nothing is opened here
but tables: whether photographs can be decoded is the doctor's question.  The layouts are shown
in `input/README.md`.  Names of identities are stripped of blanks at both ends.
"""

import re
from pathlib import PurePosixPath

from flukeprint.config.schema import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.layout import _photos_below
from flukeprint.data.tables import identities_of
from flukeprint.errors import FlukeprintError, listed
from flukeprint.storage import join


# folders, file_name
def _folders(config: DataConfig) -> Catalog:
    folder = config.root / config.train
    images = _photos_below(folder, config)
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


def _file_name(config: DataConfig) -> Catalog:
    folder = config.root / config.train
    pattern = _compiled(config.pattern)
    images = _photos_below(folder, config)
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
