"""The occurrences of a Darwin Core Archive and the photographs that each of them has."""

import mimetypes
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from flukeprint.data.exchange.camtrap.data_package import is_address
from flukeprint.data.exchange.darwin_core import terms
from flukeprint.data.exchange.darwin_core.tables import Column, Rows
from flukeprint.data.exchange.observed import LeftOut

_SPLIT = re.compile(r"\s*\|\s*|[;,]\s+(?=https?://)")  # | is the standard's
_QUALITIES = ("lowerquality", "mediumquality", "goodquality", "bestquality")
_KINDS = {"movingimage": "a video", "video": "a video", "sound": "a sound", "audio": "a sound"}


@dataclass(frozen=True)
class Medium:
    """A photograph of an occurrence.

    name: its file or address.  file: whether the name is one of a file to be opened.
    region: what is given of a box, None for all of the photograph.
    """

    name: str
    file: bool = True
    view: str | None = None
    taken: str | None = None
    region: tuple[str | None, ...] | None = None


@dataclass
class Records:
    """Occurrences by their rows.

    keys: their identifiers.  cells: by term, what a row or its event tells.
    media: the photographs of each.  group: key of the event that all photographs of one are of.
    unclear: photographs of events with several occurrences.
    """

    keys: list[str]
    cells: dict[str, Column]
    media: list[list[Medium]]
    group: Column
    unclear: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)


def of_occurrences(core: Rows, media: Rows | None, left_out: LeftOut) -> Records:
    """Records of an archive whose core is occurrences; media: of all its extensions."""
    names = core.first(terms.OCCURRENCE_ID)
    keys = [
        key or name or f"row {row}"
        for row, (key, name) in enumerate(zip(core.key, names, strict=True), 1)
    ]
    cells = {term: core.first(term) for term in terms.OF_OCCURRENCE}
    found: defaultdict[str, list[Medium]] = defaultdict(list)
    if media is not None:
        for key, medium in photographs(media, left_out):
            found[key].append(medium)
    return _assembled(keys, cells, found, left_out)


def of_events(core: Rows, seen: Rows, media: Rows | None, left_out: LeftOut) -> Records:
    """Records of an archive whose core is events, and whose extension `seen` is occurrences.

    Photographs are extensions of the event, so they are an occurrence's only where they name it or
    the event has no other.
    """
    event_of = {key: row for row, key in enumerate(core.key) if key is not None}
    places = [event_of.get(key or "", -1) for key in seen.key]
    cells = {}
    for term in terms.OF_OCCURRENCE:
        own = seen.first(term)
        if term in terms.OF_EVENT:
            shared = [*core.first(term), None]
            own = [
                shared[at] if cell is None else cell for cell, at in zip(own, places, strict=True)
            ]
        cells[term] = own
    cells[terms.EVENT_ID] = [
        cell or key for cell, key in zip(cells[terms.EVENT_ID], seen.key, strict=True)
    ]
    names = cells[terms.OCCURRENCE_ID]
    keys = [name or f"row {row}" for row, name in enumerate(names, 1)]
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(seen.key):
        rows[key or ""].append(row)
    known = set(keys)
    found: defaultdict[str, list[Medium]] = defaultdict(list)
    unclear: defaultdict[str, list[Medium]] = defaultdict(list)
    if media is not None:
        for event, owner, medium in _with_owners(media, left_out):
            if owner in known:
                found[owner].append(medium)
            elif event not in event_of and event in known:  # as real archives have it
                found[event].append(medium)
            elif len(rows[event]) == 1:
                found[keys[rows[event][0]]].append(medium)
            elif rows[event]:
                unclear[event].append(medium)
            else:
                left_out.note("photographs of an event without an animal", medium.name)
    for event, several in unclear.items():  # whom each shows is not said
        base = f"event {event}"
        keys.append(base)
        found[base] = several
        shows = {cells[terms.SPECIES][row] for row in rows[event]}
        for term, column in cells.items():
            at = event_of.get(event, -1)
            column.append(core.first(term)[at] if term in terms.OF_EVENT and at >= 0 else None)
        cells[terms.EVENT_ID][-1] = event
        cells[terms.SPECIES][-1] = shows.pop() if len(shows) == 1 else None
    records = _assembled(keys, cells, found, left_out, shared=set(unclear))
    records.unclear = sum(map(len, unclear.values()))
    return records


def _assembled(
    keys: list[str],
    cells: dict[str, Column],
    found: Mapping[str, list[Medium]],
    left_out: LeftOut,
    shared: Collection[str] = (),
) -> Records:
    """The records that have photographs, each identifier once; shared: events that are unclear."""
    status, associated = cells[terms.STATUS], cells[terms.ASSOCIATED_MEDIA]
    kept: list[int] = []
    media: list[list[Medium]] = []
    taken: set[str] = set()
    for row, key in enumerate(keys):
        if key in taken:
            left_out.note("occurrences whose identifier another has", key)
            continue
        taken.add(key)
        if (status[row] or "").strip().lower() == "absent":
            left_out.note("occurrences of an animal that was absent", key)
            continue
        own = found.get(key) or list(_associated(associated[row], left_out))
        if own:
            kept.append(row)
            media.append(own)
        elif cells[terms.EVENT_ID][row] not in shared:
            left_out.note("occurrences without a photograph", key)
    for owner in found.keys() - taken:
        left_out.note("photographs of no occurrence here", found[owner][0].name)
    events = cells[terms.EVENT_ID]
    # photographs of one occurrence were seen together
    group = [
        events[row] or (keys[row] if len({one.name for one in several}) > 1 else None)
        for row, several in zip(kept, media, strict=True)
    ]
    picked = {term: [column[row] for row in kept] for term, column in cells.items()}
    return Records([keys[row] for row in kept], picked, media, group, left_out=left_out)


def photographs(media: Rows, left_out: LeftOut) -> Iterator[tuple[str, Medium]]:
    """The photographs among the rows of media, with the identifier of the core."""
    return ((key, medium) for key, _, medium in _with_owners(media, left_out))


def _with_owners(media: Rows, left_out: LeftOut) -> Iterator[tuple[str, str | None, Medium]]:
    """The photographs, with the core's identifier and that of an occurrence where one is named."""
    identifiers, access = media.first(*terms.IDENTIFIERS), media.first(terms.ACCESS)
    kinds, formats = media.first(*terms.TYPES), media.first(*terms.FORMATS)
    variants, views = media.first(terms.VARIANT), media.first(*terms.VIEWS)
    taken, owners = media.first(terms.TAKEN), media.first(terms.OCCURRENCE_ID)
    whole, corners = media.first(terms.REGION_OF), [media.first(one) for one in terms.REGION]
    rows: list[tuple[str, str | None, Medium]] = []
    quality: list[int] = []
    at: dict[tuple[str, str], int] = {}  # key and identifier or address -> its row
    anywhere: dict[str, int] = {}
    regions: list[int] = []
    for row, key in enumerate(media.key):
        identifier, address = identifiers[row], access[row]
        if whole[row] is not None:
            regions.append(row)
            continue
        name = address or identifier
        if name is None:
            left_out.note("media without a file or an address", key or "?")
            continue
        why = _other_than_photograph(name, kinds[row], formats[row], variants[row])
        if why:
            left_out.note(why, name)
            continue
        if key is None:
            left_out.note("photographs of no occurrence here", name)
            continue
        if (key, name) in at and corners[0][row] is None:
            continue  # a second extension tells of it too
        same = at.get((key, identifier or ""))
        if same is not None and variants[row] is not None:  # in another size
            if _quality(variants[row]) > quality[same]:
                quality[same] = _quality(variants[row])
                rows[same] = key, rows[same][1], replace(rows[same][2], name=name)
            continue
        region = tuple(column[row] for column in corners)
        medium = Medium(
            name,
            address is not None,
            views[row],
            taken[row],
            None if all(cell is None for cell in region) else region,
        )
        for other in {name, identifier or name}:
            at.setdefault((key, other), len(rows))
            anywhere.setdefault(other, len(rows))
        rows.append((key, owners[row], medium))
        quality.append(_quality(variants[row]))
    yield from _with_regions(
        rows,
        [
            (
                media.key[row] or "",
                whole[row] or "",
                views[row],
                tuple(column[row] for column in corners),
            )
            for row in regions
        ],
        at,
        anywhere,
        left_out,
    )


def _with_regions(
    rows: list[tuple[str, str | None, Medium]],
    regions: list[tuple[str, str, str | None, tuple[str | None, ...]]],
    at: Mapping[tuple[str, str], int],
    anywhere: Mapping[str, int],
    left_out: LeftOut,
) -> Iterator[tuple[str, str | None, Medium]]:
    """The photographs, those with regions of the same occurrence once a region."""
    inside: defaultdict[int, list[Medium]] = defaultdict(list)
    alone: list[tuple[str, str | None, Medium]] = []
    for key, whole, view, corners in regions:
        row = at.get((key, whole), anywhere.get(whole))
        if row is None or not key:
            left_out.note("regions of no photograph here", whole)
            continue
        own, owner, medium = rows[row]
        region = Medium(medium.name, medium.file, view or medium.view, medium.taken, corners)
        if own == key:
            inside[row].append(region)
        else:
            alone.append((key, None, region))
    for row, (key, owner, medium) in enumerate(rows):
        for one in inside.get(row, (medium,)):
            yield key, owner, one
    yield from alone


def _other_than_photograph(
    name: str, kind: str | None, form: str | None, variant: str | None
) -> str:
    """What a medium is instead of a photograph; "" for one."""
    if _words(variant) == "thumbnail":
        return "a thumbnail"
    word = re.split(r"[/#]", _words(kind))[-1]
    if word in _KINDS:
        return _KINDS[word]
    if word in ("stillimage", "image"):
        return ""
    group = (form or mimetypes.guess_type(name.partition("?")[0])[0] or "").lower()
    if group.startswith("text/html"):
        return "a web page"
    return _KINDS.get(group.partition("/")[0], "")


def _quality(variant: str | None) -> int:
    """How good a variant is among others; 0 for an unknown one."""
    words = _words(variant)
    return _QUALITIES.index(words) + 1 if words in _QUALITIES else 0


def _words(text: str | None) -> str:
    return (text or "").replace(" ", "").lower()


def _associated(text: str | None, left_out: LeftOut) -> Iterator[Medium]:
    """The photographs that the term associatedMedia lists."""
    for name in dict.fromkeys(_SPLIT.split((text or "").strip())):
        if not name:
            continue
        kind = mimetypes.guess_type(name.partition("?")[0])[0] or ""
        if kind.startswith("image/"):
            yield Medium(name)
        else:
            what = "an address" if is_address(name) else "a name"
            left_out.note(f"associated media: {what} of what may be no photograph", name)
