"""Reads photographs to train on from where the field keeps them: every format of `import`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.data.names import identity_name
from flukeprint.data.readers.encounters import day, series_of
from flukeprint.data.readers.layout import how_to_get, sample_path, unlabelled_folder
from flukeprint.data.readers.photo_names import say_once
from flukeprint.data.tables import identities_of, read_sample
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.storage import is_file, is_folder


def labelled_imported(config: DataConfig) -> Catalog:
    """The photographs of the source `data.labels` whose animals are named.

    Those without a name are left out, or new individuals, as `data.unnamed` says; what is left
    out is said on standard error.
    """
    _check_options(config)
    observed = _read(config, config.labels)
    named: list[ObservedPhoto] = []
    lost: Counter[str] = Counter()
    for photo in observed.photos:
        if photo.path is None:
            lost["without a file"] += 1
        elif _name(photo) is None and config.unnamed == "ignore":
            lost["without an animal's name (data.unnamed=new takes them as new individuals)"] += 1
        else:
            named.append(photo)
    _say(config.root / config.labels, observed, lost)
    if not any(_name(photo) is not None for photo in named):
        raise FlukeprintError(
            f"{config.root / config.labels}: no photograph with a file names its animal"
        )
    labels = [_name(photo) or config.new_label for photo in named]
    identities = identities_of(labels, config.new_label)
    return _catalog(named, identities, same_day=config.same_day)


def unlabelled_imported(config: DataConfig) -> Catalog:
    """The photographs of the source `data.test`, or of a folder; whom they show is not looked at.

    In the order of the sample submission where there is one, else of the source.
    """
    from flukeprint.data.exchange.forms import recognised  # with pandas

    path = config.root / str(config.test)
    if is_folder(path) and recognised(path) is None:
        return unlabelled_folder(config)
    observed = _read(config, str(config.test))
    photos = [photo for photo in observed.photos if photo.path is not None]
    without = len(observed.photos) - len(photos)
    _say(path, observed, Counter({"without a file": without} if without else {}))
    sample = sample_path(config)
    if sample is not None:
        by_name = {photo.image: photo for photo in photos}
        images = read_sample(sample).images
        missing = [image for image in images if image not in by_name]
        if missing:
            raise FlukeprintError(
                f"{sample} names photographs that {path} lacks: {listed(missing)}"
            )
        photos = [by_name[image] for image in images]
    return _catalog(photos, (None,) * len(photos), same_day=config.same_day)


def _read(config: DataConfig, name: str) -> Observed:
    path = config.root / name
    if not (is_file(path) or is_folder(path)):
        raise FlukeprintError(f"{path} is missing; {how_to_get(config)}")
    root = None if config.photo_root is None else config.root / config.photo_root
    if root is not None and not is_folder(root):
        raise FlukeprintError(f"data.photo_root: there is no folder {root}")
    from flukeprint.data.exchange.forms import read_observed

    return read_observed(path, root, _options(config, folder=is_folder(path)))


def _check_options(config: DataConfig) -> None:
    """Refuse what the configuration says of sources and none of them has a use for."""
    from flukeprint.data.exchange.forms import recognised, unused_options

    names = [config.labels] if config.test is None else [config.labels, str(config.test)]
    useless: list[set[str]] = []
    for path in (config.root / name for name in names):
        folder = is_folder(path)
        # Of a folder of photographs without a source nothing can be said.
        if is_file(path) or (folder and (path == config.root / config.labels or recognised(path))):
            useless.append(set(unused_options(path, _options(config, folder=folder))))
    # `box_unit` is of `data.boxes` too.
    for name in sorted(set.intersection(*useless) - {"box_unit"}) if useless else []:
        raise FlukeprintError(
            f"data.{name} means nothing to {config.root / config.labels}, by its format; "
            "leave it out"
        )


def _options(config: DataConfig, *, folder: bool) -> ReadOptions:
    """What the configuration says of tables, or of folders."""
    return ReadOptions(
        columns={} if folder else config.columns,
        dates=config.dates,
        sheet=None if folder else config.sheet,
        decimal=config.decimal,
        box_unit=config.box_unit,
        pattern=config.pattern if folder else None,
        keywords=config.keywords,
    )


def _name(photo: ObservedPhoto) -> str | None:
    return identity_name(photo.identity or "") or None


def _say(path: Path, observed: Observed, lost: Counter[str]) -> None:
    """Say what is left out, by the format's reader or for training."""
    for why, number in observed.left_out.items():
        some = listed(observed.examples.get(why, ()))
        say_once(f"{path}: left out: {number:,}, {why}" + (f": {some}" if some else ""))
    for why, number in lost.items():
        say_once(f"{path}: left out: {counted(number, 'photograph')} {why}")


def _catalog(
    photos: Sequence[ObservedPhoto], identities: tuple[str | None, ...], *, same_day: bool
) -> Catalog:
    """The catalogue of records that have a file; its boxes are shares."""
    views = tuple(photo.view for photo in photos)
    boxes = tuple(photo.box for photo in photos)
    return Catalog(
        images=tuple(photo.image for photo in photos),
        paths=tuple(photo.path for photo in photos if photo.path is not None),
        identities=identities,
        views=views if any(views) else None,
        boxes=boxes if any(boxes) else None,
        bursts=_series(photos, identities, same_day=same_day),
    )


def _series(
    photos: Sequence[ObservedPhoto], identities: Sequence[str | None], *, same_day: bool
) -> tuple[str | None, ...] | None:
    """What a split must not divide: encounters, else days, else deployments of a camera.

    A deployment lasts for weeks, so that it counts only where nothing else tells when.
    """
    import pandas as pd

    encounters = [
        f"encounter {photo.encounter}"
        if photo.encounter is not None
        else f"deployment {photo.deployment}"
        if photo.deployment is not None and day(photo.date) is None
        else None
        for photo in photos
    ]
    table = pd.DataFrame(
        {"encounter": encounters, "date": [photo.date for photo in photos]}, dtype=object
    )
    return series_of(table, identities, same_day=same_day)
