"""Reads Camtrap DP 1.x, the Data Package of camera traps: media, deployments and observations.

https://camtrap-dp.tdwg.org.  `classificationProbability` is taken as that of the identity where an
observation has one, else as the confidence that there is an animal.  A tag `view:left` of an
observation is its view.  The table `flukeprint`, which only `writing.py` writes, gives what the
other tables have no room for.  Observations that `answers.py` added to others, tagged `sameAs:`,
are no rows of their own but name the animals of those.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.camtrap.answer_rows import with_names, without_answers
from flukeprint.data.exchange.camtrap.cells import (
    Cells,
    Columns,
    box_in,
    names_of,
    number_in,
    numbered,
    places_of,
    time_in,
    whole,
)
from flukeprint.data.exchange.camtrap.data_package import (
    DataPackage,
    is_address,
    leads_out,
    open_package,
)
from flukeprint.data.exchange.camtrap.events import Joined, join_events
from flukeprint.data.exchange.details import FIELDS, detail_in
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError, counted

FORM = "Camtrap DP"
TABLES = ("deployments", "media", "observations")
DETAILS = "flukeprint"  # the table of what the standard ones have no room for
DETAIL_COLUMNS = ("observationID", "field", "value")
MISSING = ("", "NA", "NaN", "nan")  # since version 1.0.2

DEPLOYMENT_COLUMNS = (
    "deploymentID", "locationID", "locationName", "latitude", "longitude",
    "coordinateUncertainty", "setupBy",
)  # fmt: skip
MEDIA_COLUMNS = (
    "mediaID", "deploymentID", "timestamp", "filePath", "filePublic", "fileMediatype",
)  # fmt: skip
OBSERVATION_COLUMNS = (
    "observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd",
    "observationLevel", "observationType", "scientificName", "lifeStage", "sex", "individualID",
    "bboxX", "bboxY", "bboxWidth", "bboxHeight", "classificationMethod", "classifiedBy",
    "classificationProbability", "observationTags", "observationComments",
)  # fmt: skip
_ANIMALS = ("animal", "unknown", "unclassified")  # the others are certain to show none
_VERSION = re.compile(r"camtrap-dp/v?(\d[^/]*)/")
_VIEW = re.compile(r"(?:^|\|)\s*view:\s*([^|]*?)\s*(?:$|\|)")


@dataclass(frozen=True)
class Read:
    """What was read: the photographs, and what the tables say of each.

    observations: their observationIDs; None without one.
    media: their mediaIDs.  stamps: their times as they are written; None without one.
    """

    observed: Observed
    observations: tuple[str | None, ...]
    media: tuple[str, ...] = ()
    stamps: tuple[str | None, ...] = ()


def recognises(path: Path) -> bool:
    """Whether there is such a package at `path`, of any version."""
    try:
        with open_package(path) as package:
            return all(package.has_table(name) for name in TABLES)
    except FlukeprintError:
        return False


def read_camtrap_dp(path: Path, root: Path | None = None) -> Observed:
    """Read the package at `path`: a folder, its datapackage.json, or a ZIP file with one.

    root: folder in which the photographs' relative names begin; the package's by default.

    Raises:
        FlukeprintError: it is missing, damaged, of another version, or its tables lead out of it.
    """
    return read_with_ids(path, root).observed


def read_with_ids(path: Path, root: Path | None = None, *, details: bool = True) -> Read:
    """Read the package like `read_camtrap_dp`; details: whether to heed the table `flukeprint`."""
    with open_package(path) as package:
        return _Reading(package, root).read(details)


class _Reading:
    def __init__(self, package: DataPackage, root: Path | None) -> None:
        self.package = package
        self.root = package.folder if root is None else Path(root)
        self.left_out = LeftOut()
        self.notes: list[str] = []

    @cached_property
    def version(self) -> str:
        """Of the profile, such as 1.0.1; "" if it does not say."""
        found = _VERSION.search(str(self.package.description.get("profile")))
        version = found[1] if found else ""
        if version and not re.match(r"1(\.|$)", version):
            raise FlukeprintError(
                f"{self.package.place} is Camtrap DP {version}, of which only 1.x is read; "
                "export it as 1.0"
            )
        return version

    def read(self, details: bool) -> Read:
        missing = ("",) if self.version in ("1.0", "1.0.0", "1.0.1") else MISSING
        deployments = self._deployments(missing)
        media = self._media(missing)
        observations = whole(
            self.package.table("observations", OBSERVATION_COLUMNS, missing), OBSERVATION_COLUMNS
        )
        observations, named = without_answers(observations)
        joined = self._joined(media, observations)
        pictures = Columns(media)
        photos, ids, rows = self._photos(joined, pictures, Columns(observations), deployments)
        if details and self.package.has_table(DETAILS):
            photos = self._with_details(photos, ids)
        photos = with_names(photos, ids, named)
        observed = Observed(
            FORM,
            self.version,
            tuple(photos),
            self.left_out.counts,
            self.left_out.examples,
            tuple(self.notes),
        )
        keys, stamps = pictures["mediaID"], pictures["timestamp"]
        return Read(
            observed, tuple(ids), tuple(str(keys[row]) for row in rows),
            tuple(stamps[row] for row in rows),
        )  # fmt: skip

    def _deployments(self, missing: Sequence[str]) -> pd.DataFrame:
        table = whole(
            self.package.table("deployments", DEPLOYMENT_COLUMNS, missing), DEPLOYMENT_COLUMNS
        )
        return table.dropna(subset="deploymentID").drop_duplicates("deploymentID")

    def _media(self, missing: Sequence[str]) -> pd.DataFrame:
        """The photographs, each once."""
        table = whole(self.package.table("media", MEDIA_COLUMNS, missing), MEDIA_COLUMNS)
        names = table["filePath"].fillna(table["mediaID"]).fillna("?")
        kind = table["fileMediatype"].str.extract(r"^(video|audio)/", expand=False)
        for why, wrong in (
            ("media without mediaID", table["mediaID"].isna()),
            ("media whose mediaID another has", table["mediaID"].duplicated()),
            ("a video", kind == "video"),
            ("a sound", kind == "audio"),
        ):
            left = wrong.fillna(False).astype(bool).reindex(names.index, fill_value=False)
            self._leave(why, names[left])
            table, names, kind = table[~left], names[~left], kind[~left]
        return table.reset_index(drop=True)

    def _joined(self, media: pd.DataFrame, observations: pd.DataFrame) -> Joined:
        """Which observations each photograph has."""
        rows = pd.Series(np.arange(len(media)), index=media["mediaID"].to_numpy(dtype=object))
        of_media = observations["mediaID"].map(rows).fillna(-1).astype(int).to_numpy()
        level = observations["observationLevel"]
        event = ((level == "event") | (level.isna() & observations["mediaID"].isna())).to_numpy()
        names = observations["observationID"].fillna("?")
        self._leave("observations of no photograph here", names[~event & (of_media < 0)])
        kind = observations["observationType"]
        shown = (kind.isin(_ANIMALS) | kind.isna()).to_numpy()
        direct = np.flatnonzero(~event & (of_media >= 0))
        observed = np.zeros(len(media), dtype=bool)  # by an observation of its own, of any type
        observed[of_media[direct]] = True
        direct = direct[shown[direct]]
        joined = join_events(
            media, observations, event=event, shown=shown, direct=direct,
            of_media=of_media[direct], observed=observed,
        )  # fmt: skip
        self._leave("photographs without an animal", media["filePath"][joined.empty].fillna("?"))
        if joined.several:
            self.notes.append(
                f"{counted(joined.several, 'photograph')} of an event of several animals: whom "
                "each shows is not said"
            )
        return joined

    def _photos(
        self, joined: Joined, media: Columns, obs: Columns, deployments: pd.DataFrame
    ) -> tuple[list[ObservedPhoto], list[str | None], list[int]]:
        m, o, who = joined.media, joined.observation, joined.identity
        names = names_of(media["filePath"], media["mediaID"], media.size)
        paths = self._paths(media, set(m.tolist()))
        dates, offsets = self._times(media["timestamp"])
        places = places_of(deployments, media["deploymentID"])
        keys = joined.encounters
        identities, by = obs["individualID"][who], obs["classifiedBy"][who]
        method = obs["classificationMethod"][who]
        probability = obs["classificationProbability"][who]
        sex, stage, tags = obs["sex"][who], obs["lifeStage"][who], obs["observationTags"][o]
        notes, species, ids = obs["observationComments"][o], joined.species, obs["observationID"][o]
        corners = [obs[f"bbox{name}"][o] for name in ("X", "Y", "Width", "Height")]
        deployed = media["deploymentID"]
        photos: list[ObservedPhoto] = []
        kept: list[str | None] = []
        rows: list[int] = []  # of media
        used: dict[str, int] = {}
        taken = set(names[:-1])
        for row, at in enumerate(m.tolist()):
            cells = [column[row] for column in corners]
            box: Box | None = None
            if any(cell is not None for cell in cells):
                why, box = box_in(cells)
                if why:
                    self.left_out.note(why, str(ids[row] or names[at]))
                    continue
            image = names[at]
            used[image] = used.get(image, 0) + 1
            if used[image] > 1:
                image = numbered(image, used, taken)
            share = number_in(probability[row])
            identity = identities[row]
            view = _VIEW.search(tags[row]) if tags[row] else None
            photos.append(
                ObservedPhoto(
                    image,
                    paths[at],
                    identity,
                    box,
                    date=dates[at],
                    offset=offsets[at],
                    **places[at],
                    encounter=keys[row],
                    deployment=deployed[at],
                    species=species[row],
                    sex=sex[row],
                    life_stage=stage[row],
                    view=(view[1] or None) if view else None,
                    notes=notes[row],
                    probability=share if identity is not None else None,
                    confidence=share if identity is None else None,
                    by=by[row],
                    machine=method[row] == "machine",
                )
            )
            kept.append(ids[row])
            rows.append(at)
        return photos, kept, rows

    def _paths(self, media: Columns, used: set[int]) -> list[Path | None]:
        """The files; None for those elsewhere, which are told in notes, and for unused ones."""
        paths: list[Path | None] = []
        why: dict[str, int] = {}
        cells = zip(media["filePath"][:-1], media["filePublic"][:-1], strict=True)
        for row, (name, public) in enumerate(cells):
            if row not in used:
                paths.append(None)
                continue
            private = public is not None and public.lower() in ("false", "0")
            path, reason = self._path(name, private)
            paths.append(path)
            if reason:
                why[reason] = why.get(reason, 0) + 1
        self.notes += [
            f"{counted(number, 'photograph')} {reason}" for reason, number in why.items()
        ]
        return paths

    def _path(self, name: str | None, private: bool) -> tuple[Path | None, str]:
        if name is None:
            return None, "without a file"
        if is_address(name):
            return None, "at a web address: download them to read them"
        if leads_out(name):
            return None, "whose path leads out of the package"
        inside = name.replace("\\", "/") if "/" not in name else name
        if self.package.holds(inside) and not (self.root / inside).exists():
            return None, "in the ZIP file: unpack it to read them"
        path = self.root / inside
        if private and not path.is_file():
            return None, "private, without a file here"
        return path, ""

    def _times(self, stamps: Cells) -> tuple[list[str | None], list[str | None]]:
        """Dates and offsets."""
        dates: list[str | None] = []
        offsets: list[str | None] = []
        wrong = 0
        for stamp in stamps[:-1].tolist():
            date, offset = (None, None) if stamp is None else time_in(stamp)
            wrong += stamp is not None and date is None
            dates.append(date)
            offsets.append(offset)
        if wrong:
            self.notes.append(f"{counted(wrong, 'photograph')} whose time cannot be read")
        return dates, offsets

    def _with_details(
        self, photos: list[ObservedPhoto], ids: Sequence[str | None]
    ) -> list[ObservedPhoto]:
        """The photographs with what the table `flukeprint` says otherwise."""
        table = self.package.table(DETAILS, DETAIL_COLUMNS)
        changes: dict[str, dict[str, Any]] = {}
        for key, name, value in table.reindex(columns=list(DETAIL_COLUMNS)).itertuples(index=False):
            if name not in FIELDS or not isinstance(value, str):
                continue
            try:
                detail = detail_in(name, json.loads(value), self.root)
                changes.setdefault(str(key), {})[name] = detail
            except (ValueError, TypeError, RecursionError, OverflowError):
                self.left_out.note("details that cannot be read", f"{key} {name}")
        changed = []
        for photo, key in zip(photos, ids, strict=True):
            if key is not None and key in changes:
                try:
                    photo = replace(photo, **changes[key])
                except (ValueError, TypeError):
                    self.left_out.note("details that cannot be read", key)
            changed.append(photo)
        if len({one.image for one in changed}) != len(changed):
            raise FlukeprintError(
                f"{self.package.place}: the table `{DETAILS}` gives a name to two photographs; "
                "leave it out of the package"
            )
        return changed

    def _leave(self, why: str, names: "pd.Series[str]") -> None:
        for name in names.tolist():
            self.left_out.note(why, str(name))
