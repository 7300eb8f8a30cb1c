"""Joins observations of events of a Camtrap DP to the photographs of those events.

A photograph that has observations of its own keeps them.  One without any belongs to the one event
of its deployment in whose time it was taken.  Of an event with several animals nobody knows which
of them a photograph shows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Rows = npt.NDArray[np.int64]  # -1 for none


@dataclass(frozen=True)
class Joined:
    """Photographs with their observations: an entry each pair, in the order of media.

    media: its row.  observation: what was seen in it.  identity: the observation that tells whom.
    encounters: keys of events.  species: scientific names.
    empty: rows of media that show no animal.  several: photographs of events of several animals.
    """

    media: Rows
    observation: Rows
    identity: Rows
    encounters: npt.NDArray[np.object_]
    species: npt.NDArray[np.object_]
    empty: npt.NDArray[np.bool_]
    several: int


def join_events(
    media: pd.DataFrame,
    observations: pd.DataFrame,
    *,
    event: npt.NDArray[np.bool_],
    shown: npt.NDArray[np.bool_],
    direct: Rows,
    of_media: Rows,
    observed: npt.NDArray[np.bool_],
) -> Joined:
    """Join both kinds of observations.

    event, shown: which observations are of events, and which may show an animal.
    direct: observations of photographs that may show an animal; of_media: the photographs' rows.
    observed: which photographs have observations of their own, of any type.
    """
    events = _events(observations[event], shown[event], np.flatnonzero(event))
    inside = _event_of_time(media, events)  # position in `events` for each photograph
    alone = np.flatnonzero(~observed)
    found = inside[alone]
    animals, others = _column(events, "animals", 0)[found], _column(events, "others", 0)[found]
    none = (animals == 0) & (others > 0)
    empty = observed.copy()
    empty[of_media] = False
    empty[alone[none]] = True
    alone, found, animals = alone[~none], found[~none], animals[~none]
    single = np.where(animals == 1, _column(events, "first", -1)[found], -1)

    # An observation of a photograph that names nobody, in an event of one animal that has a name
    linked = _event_of_key(observations, events, direct)
    linked = np.where(linked >= 0, linked, inside[of_media])
    first = np.where(
        _column(events, "animals", 0)[linked] == 1, _column(events, "first", -1)[linked], -1
    )
    names = _padded(observations["individualID"])
    kinds = _padded(observations["scientificName"])
    only = np.bincount(of_media, minlength=len(media))[of_media] == 1
    same = np.array(
        [
            one is None or two is None or one == two
            for one, two in zip(kinds[direct], kinds[first], strict=True)
        ],
        dtype=bool,
    )
    nameless = np.array([name is None for name in names[direct]], dtype=bool)
    named = np.array([name is not None for name in names[first]], dtype=bool)
    identity = np.where(only & same & nameless & named, first, direct)

    rows = np.concatenate([of_media, alone]).astype(np.int64)
    order = np.argsort(rows, kind="stable")
    own = _padded(observations["eventID"])[direct]
    own = np.where([key is None for key in own], _padded(events["key"])[linked], own)
    keys = np.concatenate([own, _padded(events["key"])[found]])
    species = np.concatenate([kinds[direct], _padded(events["species"])[found]])
    seen = np.concatenate([direct, single])
    return Joined(
        rows[order],
        seen[order],
        np.concatenate([identity, single])[order],
        keys[order],
        species[order],
        empty,
        int((animals > 1).sum()),
    )


def _events(table: pd.DataFrame, shown: npt.NDArray[np.bool_], rows: Rows) -> pd.DataFrame:
    """A row an event: its key and time, how many animals, the first's row, and their species."""
    key = table["eventID"].fillna(table["observationID"])
    # observations without an eventID are of one event if their times are the same
    group = table["eventID"].fillna(table["eventStart"].str.cat(table["eventEnd"], sep=" "))
    each = pd.DataFrame(
        {
            "deployment": table["deploymentID"].to_numpy(dtype=object),
            "group": group.to_numpy(dtype=object),
            "key": key.to_numpy(dtype=object),
            "event": table["eventID"].to_numpy(dtype=object),
            "start": _seconds(table["eventStart"]),
            "end": _seconds(table["eventEnd"]),
            "animals": shown.astype(int),
            "others": (~shown).astype(int),
            "first": np.where(shown, rows, -1),
            "species": table["scientificName"].where(shown).to_numpy(dtype=object),
        }
    )
    grouped = each.groupby(["deployment", "group"], sort=False, dropna=True)
    events = grouped.agg(
        key=("key", "first"), event=("event", "first"), start=("start", "min"),
        end=("end", "max"), animals=("animals", "sum"), others=("others", "sum"),
        first=("first", "max"), kinds=("species", "nunique"), species=("species", "first"),
    ).reset_index()  # fmt: skip
    events.loc[events["kinds"] != 1, "species"] = None
    return events


def _event_of_time(media: pd.DataFrame, events: pd.DataFrame) -> Rows:
    """The one event in whose time each photograph was taken; -1 where none or several fit."""
    stamps = _seconds(media["timestamp"])
    codes, known = pd.factorize(media["deploymentID"])
    place = pd.Index(known).get_indexer(pd.Index(events["deployment"]))
    timed = (place >= 0) & (events["start"].to_numpy() >= 0) & (events["end"].to_numpy() >= 0)
    which = np.flatnonzero(timed)
    keys = np.where((stamps >= 0) & (codes >= 0), (codes.astype(np.int64) << 40) + stamps, -1)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    base = place[which].astype(np.int64) << 40
    begin = np.searchsorted(ordered, base + events["start"].to_numpy()[which], side="left")
    end = np.searchsorted(ordered, base + events["end"].to_numpy()[which], side="right")
    end = np.maximum(begin, end)
    # How many events cover a photograph, and the sum of their positions: that of the only one
    number = np.zeros(len(media) + 1, dtype=np.int64)
    total = np.zeros(len(media) + 1, dtype=np.int64)
    for at, sign in ((begin, 1), (end, -1)):
        np.add.at(number, at, sign)
        np.add.at(total, at, sign * which)
    number, total = number.cumsum()[:-1], total.cumsum()[:-1]
    found = np.full(len(media), -1, dtype=np.int64)
    found[order] = np.where((number == 1) & (ordered >= 0), total, -1)
    return found


def _event_of_key(observations: pd.DataFrame, events: pd.DataFrame, direct: Rows) -> Rows:
    """The event whose eventID an observation of a photograph has; -1 for none."""
    if not len(events) or not len(direct):
        return np.full(len(direct), -1, dtype=np.int64)
    keys = pd.MultiIndex.from_arrays([events["deployment"], events["event"]])
    mine = observations.iloc[direct]
    wanted = pd.MultiIndex.from_arrays([mine["deploymentID"], mine["eventID"]])
    unique = ~keys.duplicated()
    rows = np.flatnonzero(unique & events["event"].notna().to_numpy())
    found = keys[rows].get_indexer(wanted)
    return np.where(found >= 0, np.append(rows, -1)[found], -1)


def _seconds(column: "pd.Series[str]") -> Rows:
    """Seconds since 1970 of ISO 8601 texts, UTC where they give no offset; -1 for none."""
    times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    known = times.notna().to_numpy()
    seconds = np.full(len(column), -1, dtype=np.int64)
    whole = times[known].dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    seconds[known] = whole.astype(np.int64)
    return seconds


def _padded(column: "pd.Series[str]") -> npt.NDArray[np.object_]:
    """The cells, None for missing ones and at the end, where row -1 finds it."""
    cells = np.full(len(column) + 1, None, dtype=object)
    known = column.notna().to_numpy()
    cells[:-1][known] = column.to_numpy(dtype=object)[known]
    return cells


def _column(events: pd.DataFrame, name: str, nothing: int) -> Rows:
    """A column of events, with `nothing` at the end, where position -1 finds it."""
    return np.append(events[name].to_numpy(dtype=np.int64), np.int64(nothing))
