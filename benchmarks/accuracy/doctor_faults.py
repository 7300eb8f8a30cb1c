"""Plant faults in a copy of a catalogue whose labels are taken for right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import cv2
import numpy as np

from flukeprint.data.thumbnails import QUALITY, Thumbnails
from flukeprint.identifier.card import IdentifierCard
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.doctor.findings import CatalogueFinding, Kind
from flukeprint.keeper.doctor.material import look_alikes
from flukeprint.records.kinds import Encounter, Individual, Moment, PhotoRecord, Position

EACH = 20
LEAST = 2  # photographs of either part of an animal that is split
BLUR = 3.0  # px of thumbnails, standard deviation
SLIPS: tuple[Callable[[str], str], ...] = (
    str.upper,
    lambda name: name.replace("_", "-"),
    lambda name: name.replace("_", " "),
    lambda name: name.replace("_0", "_"),
    lambda name: name.replace("0", "O"),  # the letter: spelt otherwise, so not to be found
)
Key = tuple[str, ...]


@dataclass
class Faulty:
    """A copy with faults.

    identifier: of the copy.  truth: the true animal of each photograph that is left.
    faults: what identifies each planted fault of a kind; see `key`.
    """

    identifier: Identifier
    truth: tuple[str, ...]
    individuals: tuple[Individual, ...]
    encounters: tuple[Encounter, ...]
    photographs: tuple[PhotoRecord, ...]
    faults: dict[Kind, set[Key]] = field(default_factory=dict)

    def right(self, found: CatalogueFinding) -> bool:
        """Whether a finding is true of the copy, planted or brought about by what was planted."""
        given = self.identifier.gallery.identities
        if key(found) in self.faults.get(found.kind, set()):
            return True
        by_name: dict[str, list[str]] = {}
        for name, true in zip(given, self.truth, strict=True):
            by_name.setdefault(str(name), []).append(true)
        if found.kind == "doublet":
            first, second = (_commonest(by_name[name]) for name in found.individuals)
            return first == second
        if found.kind == "mixture":
            own = by_name[found.individuals[0]]
            return sum(own.count(true) >= LEAST for true in set(own)) > 1
        if found.kind == "label":
            row = self.identifier.gallery.images.index(found.photographs[0][0])
            return self.truth[row] != _commonest(by_name[str(given[row])])
        if found.kind == "view":
            return found.words.startswith("no photograph")
        return False


def key(found: CatalogueFinding) -> Key:
    """What tells whether a finding is a planted fault."""
    match found.kind:
        case "label":
            return (found.photographs[0][0],)
        case "view":
            view = found.words.split("view ")[1].split(":")[0]
            return (found.individuals[0], view)
        case "place":
            return tuple(map(str, sorted(found.encounters)))
        case "death":
            return (found.individuals[0], str(found.encounters[0]))
        case _:
            return tuple(sorted(found.individuals))


def plant(identifier: Identifier, may: Sequence[bool], seed: int, whole: bool) -> Faulty:
    """Plant EACH faults of every kind in disjoint animals, as far as there are fit ones.

    may: which photographs may be planted.
    whole: merge whole animals; otherwise the second one with its photographs of `may` alone.
    """
    rng = np.random.default_rng(seed)
    gallery = identifier.gallery
    truth = [str(name) for name in gallery.identities]
    given, kept = list(truth), np.ones(len(truth), bool)
    views = gallery.views or (None,) * len(truth)
    free = np.asarray(may, bool)
    rows = {name: np.flatnonzero(np.array(truth) == name) for name in sorted(set(truth))}
    waiting = [str(name) for name in rng.permutation(list(rows))]
    faults: dict[Kind, set[Key]] = {
        kind: set() for kind in ("doublet", "mixture", "label", "name", "view")
    }

    def take(fit: Callable[[str], bool]) -> str | None:
        for place, name in enumerate(waiting):
            if fit(name):
                return waiting.pop(place)
        return None

    def some(name: str) -> int:
        return int(free[rows[name]].sum())

    for _ in range(EACH):  # under two names, the second unlike the first
        name = take(lambda name: some(name) >= LEAST and len(rows[name]) >= 2 * LEAST)
        if name is None:
            break
        mine = rng.permutation(rows[name][free[rows[name]]])
        most = min(len(mine), len(rows[name]) - LEAST)
        part = mine[: max(LEAST, min(most, len(rows[name]) // 2))]
        other = f"again {name.replace('_', ' of ')}"
        for row in part:
            given[row] = other
        faults["doublet"].add(tuple(sorted((name, other))))
    for _ in range(EACH):  # two under one name
        second = take(lambda name: some(name) >= LEAST)
        first = take(lambda name: len(rows[name]) >= LEAST)
        if second is None or first is None:
            break
        for row in rows[second]:
            given[row] = first
            kept[row] = whole or free[row]
        faults["mixture"].add((first,))
    for number in range(EACH):
        slip = SLIPS[number % len(SLIPS)]
        name = take(lambda name, slip=slip: len(rows[name]) >= LEAST and slip(name) != name)
        if name is None:
            break
        for row in rows[name][len(rows[name]) // 2 :]:
            given[row] = slip(name)
        faults["name"].add(tuple(sorted((name, slip(name)))))
    thumbnails = None if identifier.showcase is None else identifier.showcase.thumbnails
    small = None if thumbnails is None else [thumbnails[row] for row in range(len(thumbnails))]
    for number in range(EACH):  # half of them lost, half of them blurred
        name = take(lambda name: len({views[row] for row in rows[name]}) > 1)
        if name is None:
            break
        view = str(rng.choice(sorted({str(views[row]) for row in rows[name]})))
        for row in rows[name]:
            if views[row] == view and number % 2 == 0:
                kept[row] = False
            elif views[row] == view and small is not None:
                small[row] = _blurred(small[row])
        faults["view"].add((name, view))
    names = [name for name in waiting if len(rows[name]) >= 3]
    fit = [int(row) for name in names for row in rows[name] if free[row]]
    used: set[str] = set()
    for row in rng.permutation(fit).tolist():
        if len(faults["label"]) == EACH:
            break
        if truth[row] in used:
            continue
        used.add(truth[row])
        given[row] = str(rng.choice([name for name in names if name != truth[row]]))
        faults["label"].add((gallery.images[row],))
    left = np.flatnonzero(kept)
    named = replace(gallery, identities=tuple(given)).take(left)
    showcase = identifier.showcase
    if showcase is not None and small is not None:
        showcase = replace(
            showcase,
            thumbnails=Thumbnails.packed([small[row] for row in left.tolist()]),
            xy=showcase.xy[left],
        )
    copy = replace(
        identifier, gallery=named, showcase=showcase, index=None, indexed=0, keypoints=None,
        origin=None, card=without_keypoints(identifier),
    )  # fmt: skip
    faulty = Faulty(copy, tuple(truth[row] for row in left), (), (), (), faults)
    plant_records(faulty, rng)
    return faulty


def without_keypoints(identifier: Identifier) -> IdentifierCard:
    """The card of an identifier that ranks by embeddings alone."""
    method = identifier.card.method
    rules = method.rules.model_copy(
        update={
            "local": method.rules.local.model_copy(update={"candidates": 0}),
            "fuse": False,
        }
    )
    plain = method.model_copy(update={"rules": rules, "gain_scale": 0.0, "fusion": None})
    return identifier.card.model_copy(update={"method": plain})


def plant_records(faulty: Faulty, rng: np.random.Generator) -> None:
    """Draw dates and places for the photographs, and faults among them.

    Every animal has a home within 30 km of a reserve's middle, and moves some kilometres; half of
    its encounters are dated to the minute, half to the day.  20 animals get a further encounter
    within 12 hours, 10 to 500 km away; 20 others are recorded dead 1 to 400 days before they were
    last seen.
    """
    gallery = faulty.identifier.gallery
    labels = np.unique(np.array(gallery.identities, str), return_inverse=True)[1].astype(np.int64)
    views = np.array([hash_view(view) for view in gallery.views or (None,) * len(labels)], np.int64)
    burst = look_alikes(gallery.vectors, labels, views)
    encounters: dict[int, Encounter] = {}
    times: dict[int, datetime] = {}
    of_animal: dict[str, list[int]] = {}
    homes = {name: rng.uniform(-30, 30, 2) for name in sorted({str(n) for n in gallery.identities})}
    first = datetime(2015, 1, 1)
    for row in range(len(gallery)):
        number = int(burst[row]) + 1
        name = str(gallery.identities[row])
        if number not in encounters:
            time = first + timedelta(minutes=int(rng.integers(0, 8 * 365 * 24 * 60)))
            encounters[number] = _seen(number, time, homes[name] + rng.normal(0, 2, 2), rng)
            times[number] = time
            of_animal.setdefault(name, []).append(number)
    photos = [
        PhotoRecord(row + 1, image, row, name, encounter=int(burst[row]) + 1)
        for row, (image, name) in enumerate(zip(gallery.images, gallery.identities, strict=True))
    ]
    animals = [str(name) for name in rng.permutation(sorted(of_animal))]
    faults: dict[Kind, set[Key]] = {"place": set(), "death": set()}
    next_number = len(gallery) + 1
    moved = [name for name in animals if len(of_animal[name]) > 1][:EACH]
    for name in moved:
        one, other = (int(n) for n in rng.choice(of_animal[name], 2, replace=False))
        way, turn = float(np.exp(rng.uniform(np.log(10), np.log(500)))), rng.uniform(0, 6.283)
        place = homes[name] + way * np.array([np.cos(turn), np.sin(turn)])
        time = times[one] + timedelta(minutes=int(rng.integers(0, 12 * 60)))
        encounters[next_number] = _seen(next_number, time, place, rng)
        photos = [replace(p, encounter=next_number) if p.encounter == other else p for p in photos]
        del encounters[other]
        faults["place"].add(tuple(map(str, sorted((one, next_number)))))
        next_number += 1
    died: dict[str, Moment] = {}
    for name in [name for name in animals if name not in moved][:EACH]:
        last = max(of_animal[name], key=lambda number: times[number])
        death = times[last] - timedelta(days=int(rng.integers(1, 400)))
        died[name] = Moment(death.date().isoformat())
        for number in of_animal[name]:
            if times[number].date() > death.date():
                faults["death"].add((name, str(number)))
    faulty.individuals = tuple(
        Individual(place + 1, name, died=died.get(name)) for place, name in enumerate(sorted(homes))
    )
    faulty.encounters = tuple(encounters[number] for number in sorted(encounters))
    faulty.photographs = tuple(photos)
    faulty.faults |= faults


def hash_view(view: str | None) -> int:
    """A number for a view, the same for equal ones."""
    return -1 if view is None else int.from_bytes(view.encode()[:7], "little")


def _seen(number: int, time: datetime, place: np.ndarray, rng: np.random.Generator) -> Encounter:
    """An encounter; `place`: km to the north and east of a point in the bush."""
    text = time.isoformat(timespec="minutes")
    return Encounter(
        number,
        Moment(text if rng.random() < 0.5 else text[:10]),
        Position(-26.5 + place[0] / 111.2, 32.0 + place[1] / 99.5, 50.0),
    )


def _blurred(jpeg: bytes | None) -> bytes | None:
    if jpeg is None:
        return None
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    done, data = cv2.imencode(
        ".jpg", cv2.GaussianBlur(pixels, (0, 0), BLUR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    assert done
    return data.tobytes()


def _commonest(names: Sequence[str]) -> str:
    return max(sorted(set(names)), key=list(names).count)
