"""Names and aliases in a catalogue: whom one means, and which is the next free one."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from flukeprint.data.names import enrolled_name, identity_name, spelling
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.records.batches import batches
from flukeprint.records.schema import aliases, individuals

_NUMBERED = re.compile(r"(.*?)(?<!\d)(\d{1,18})(\D*)", re.DOTALL)
_LATEST = 10_000  # names that tell the catalogue's pattern
_GUESSED_AMONG = 20_000  # names that are compared for a guess at what was meant


def kept_text(text: str) -> str:
    """A name as a database can hold it: bytes of a file name that are no text are written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def find_individual(connection: sa.Connection, name: str) -> int:
    """The id of the animal that a name or an alias means.

    An exact name goes before one that is spelt otherwise (case, accents, blanks).

    Raises:
        FlukeprintError: nobody has that name, or several animals might be meant.
    """
    found = ids_of_names(connection, [name])
    if name in found:
        return found[name]
    known = connection.execute(
        sa.select(individuals.c.name).where(~individuals.c.removed).limit(_GUESSED_AMONG)
    ).scalars()
    raise FlukeprintError(f"no animal is called {name}; {_short(nearest(name, known))}")


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."


def ids_of_names(
    connection: sa.Connection, names: Iterable[str], *, exactly: bool = False
) -> dict[str, int]:
    """The ids of the animals that names or aliases mean; unknown ones are left out.

    exactly: a name that is spelt otherwise is unknown.

    Raises:
        FlukeprintError: a name that might mean several animals.
    """
    wanted = {name: (identity_name(name), spelling(identity_name(name))) for name in names}
    spelt = sorted({key for _, key in wanted.values()})
    by_name: dict[str, set[int]] = {}
    by_spelling: dict[str, set[int]] = {}
    for part in batches(spelt):
        held = sa.union_all(
            sa.select(individuals.c.id, individuals.c.name, individuals.c.spelling).where(
                ~individuals.c.removed, individuals.c.spelling.in_(part)
            ),
            sa.select(aliases.c.individual_id, aliases.c.name, aliases.c.spelling)
            .join(individuals, individuals.c.id == aliases.c.individual_id)
            .where(~aliases.c.removed, ~individuals.c.removed, aliases.c.spelling.in_(part)),
        )
        for row in connection.execute(held):
            by_name.setdefault(row[1], set()).add(row[0])
            by_spelling.setdefault(row[2], set()).add(row[0])
    found = {}
    for name, (exact, key) in wanted.items():
        ids = by_name.get(exact) or (set() if exactly else by_spelling.get(key)) or set()
        if len(ids) > 1:
            raise FlukeprintError(
                f"{name} might mean {len(ids)} animals whose names are spelt alike; write it as "
                "flukeprint individuals shows it"
            )
        if ids:
            found[name] = next(iter(ids))
    return found


def new_name(
    connection: sa.Connection,
    name: str,
    new_label: str,
    *,
    force: bool = False,
    own: int | None = None,
) -> str:
    """A name that an animal may get, as it is kept.

    force: take a name that is nearly that of another animal.
    own: id of the animal, whose names so far are no other animal's; None for a new one.

    Raises:
        FlukeprintError: no name, one that is taken, or nearly one that is.
    """
    key = spelling(identity_name(name))
    held = connection.execute(
        sa.select(individuals.c.name)
        .where(
            ~individuals.c.removed, individuals.c.spelling == key, individuals.c.id != (own or 0)
        )
        .union(
            sa.select(aliases.c.name)
            .join(individuals, individuals.c.id == aliases.c.individual_id)
            .where(
                ~aliases.c.removed, ~individuals.c.removed, aliases.c.spelling == key,
                individuals.c.id != (own or 0),
            )
        )
    ).scalars().all()  # fmt: skip
    fit = enrolled_name(name, held, new_label, force=force)
    if fit in held:
        raise FlukeprintError(f"the name {fit} is taken; see flukeprint individuals")
    return fit


def doubled_names(connection: sa.Connection, spelt: Iterable[str]) -> list[str]:
    """Names, of these spellings, that two animals have, as a name or an alias."""
    owners: dict[str, set[int]] = {}
    for part in batches(sorted(spelt)):
        every = sa.union_all(
            sa.select(individuals.c.name, individuals.c.id).where(
                ~individuals.c.removed, individuals.c.spelling.in_(part)
            ),
            sa.select(aliases.c.name, aliases.c.individual_id)
            .join(individuals, individuals.c.id == aliases.c.individual_id)
            .where(~aliases.c.removed, ~individuals.c.removed, aliases.c.spelling.in_(part)),
        )
        for name, owner in connection.execute(every):
            owners.setdefault(name, set()).add(owner)
    return [name for name, several in owners.items() if len(several) > 1]


def suggested_name(connection: sa.Connection) -> str:
    """The next free name of the catalogue's pattern, as `next_name` gives it.

    The pattern is that of the latest names; all are read only where its next one is taken.
    """
    latest = [
        *connection.execute(
            sa.select(individuals.c.name).order_by(individuals.c.id.desc()).limit(_LATEST)
        ).scalars(),
        *connection.execute(
            sa.select(aliases.c.name).order_by(aliases.c.id.desc()).limit(_LATEST)
        ).scalars(),
    ]
    name = next_name(latest)
    for table in (individuals, aliases):
        taken = sa.select(table.c.id).where(table.c.spelling == spelling(name)).limit(1)
        if connection.scalar(taken) is not None:
            return next_name(all_names(connection))
    return name


def all_names(connection: sa.Connection) -> list[str]:
    """All names and aliases, those of removed animals too: none of them is free for a new one."""
    names = list(connection.execute(sa.select(individuals.c.name)).scalars())
    return names + list(connection.execute(sa.select(aliases.c.name)).scalars())


def next_name(names: Sequence[str]) -> str:
    """The next free name of the pattern that most names have: `n_238` after `n_237`.

    Where no pattern is that of half of them, it is the first free one of `animal_1`, `animal_2` ...
    """
    taken = {spelling(name) for name in names}
    parts = [found.groups() for name in names if (found := _NUMBERED.fullmatch(name))]
    counts = Counter((start, end) for start, _, end in parts).most_common(1)
    if not counts or 2 * counts[0][1] < len(names):
        start, digits, end, number = "animal_", "", "", 1
    else:
        (start, end), _ = counts[0]
        same = [digits for before, digits, after in parts if (before, after) == (start, end)]
        number = max(map(int, same)) + 1
        digits = min(same, key=len) if any(one[0] == "0" for one in same) else ""
    while True:
        name = f"{start}{number:0{len(digits)}d}{end}"
        if spelling(name) not in taken:
            return name
        number += 1
