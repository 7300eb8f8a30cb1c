"""Animals and encounters are found as a plain search over all records finds them."""

import random
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flukeprint.errors import FlukeprintError
from flukeprint.records.database import Database
from flukeprint.records.edits import describe, merge, rename
from flukeprint.records.journal import Note
from flukeprint.records.schema import encounters, individuals, photographs
from flukeprint.records.search import (
    ORDERS,
    Seen,
    current_animal,
    find_animals,
    find_encounters,
    list_places,
    list_views,
)
from tests.catalogues import NEW, begun

ANA = Note("ana")
NAMES = ["n_1", "n_2", "n_10", "Araña de rincón", "zebra", "N_3", "kai", "Äpfel", "b%c", "b_c2"]
DATES = ["2024", "2024-05", "2024-05-03", "2024-05-03T14:02", "2025-01-31T23:59:59", None]
PLACES = ["Rincón del Río", "water hole", "North Gate", None]
VIEWS = ["left", "right", None]


@pytest.fixture
def database(tmp_path: Path, catalogue_url: str | None) -> Database:
    """Photographs of drawn dates, places and views; n_2 is now Nandi, and zebra was a kai."""
    made = begun(tmp_path / "kept", catalogue_url, [(name, 3) for name in NAMES])
    draw = random.Random(3)
    with made.writing() as connection:
        for number in range(1, 13):
            connection.execute(
                encounters.insert().values(
                    id=number, moment=draw.choice(DATES), place=draw.choice(PLACES), removed=False
                )
            )
        for photo in range(1, 3 * len(NAMES) + 1):
            connection.execute(
                photographs.update()
                .where(photographs.c.id == photo)
                .values(view=draw.choice(VIEWS), encounter_id=draw.choice([None, *range(1, 12)]))
            )
    rename(made, "n_2", "Nandi", ANA, new_label=NEW)
    merge(made, "kai", "zebra", ANA)
    describe(made, "kai", {"sex": "female"}, ANA)
    describe(made, "n_10", {"sex": "male"}, ANA)
    return made


def plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text).casefold()
    return re.sub(r"[\s_-]", "", "".join(c for c in letters if not unicodedata.combining(c)))


def records(connection: sa.Connection) -> list[dict[str, Any]]:
    """Each photograph with its encounter and its animal, all in one table."""
    i, p, e = individuals, photographs, encounters
    asked = (
        sa.select(
            i.c.id.label("who"), i.c.name, p.c.row, p.c.view, e.c.id.label("encounter"),
            e.c.moment, e.c.place,
        )
        .outerjoin(p, p.c.individual_id == i.c.id)
        .outerjoin(e, e.c.id == p.c.encounter_id)
        .where(~i.c.removed)
    )  # fmt: skip
    return [dict(row) for row in connection.execute(asked).mappings()]


def may_lie(moment: str | None, since: str | None, until: str | None) -> bool:
    if moment is None:
        return False
    first, last = moment + "0000-00-00T00:00:00"[len(moment) :], moment + "~"
    return (since is None or last >= since) and (until is None or first[: len(until)] <= until)


@pytest.fixture
def table(database: Database) -> list[dict[str, Any]]:
    with database.reading() as connection:
        return records(connection)


@pytest.mark.parametrize(
    "seen",
    [
        Seen(), Seen(place="rincon"), Seen(place="RÍO"), Seen(place="nowhere"), Seen(view="left"),
        Seen(since="2024-05-03"), Seen(until="2024-05-03"), Seen(since="2024-06", until="2025"),
        Seen(since="2024-05-03T14:03"), Seen(until="2024-04"),
        Seen("water", "2024", "2024", "left"),
    ],
)  # fmt: skip
def test_conditions_are_met_by_one_photograph(
    database: Database, table: list[dict[str, Any]], seen: Seen
) -> None:
    def meets(one: dict[str, Any]) -> bool:
        asked = seen.since, seen.until
        return (
            (seen.view is None or one["view"] == seen.view)
            and (asked == (None, None) or may_lie(one["moment"], *asked))
            and (seen.place is None or plain(seen.place) in plain(one["place"] or ""))
        )

    wanted = {one["who"] for one in table if meets(one)}
    with database.reading() as connection:
        found = find_animals(connection, seen=seen, most=100)
        assert {one.individual.id for one in found.animals} == wanted
        assert found.total == len(wanted)
        assert found.next is None
        met = {one["encounter"] for one in table if one["encounter"] and meets(one)}
        if seen.place is None and seen.since is None and seen.until is None and not seen.view:
            met = {one["encounter"] for one in table if one["encounter"]}
        page, _ = find_encounters(connection, seen, most=100)
        assert {one.encounter.id for one in page} == met
        for one in page:
            of_it = [row for row in table if row["encounter"] == one.encounter.id]
            assert set(one.animals) == {(row["who"], row["name"]) for row in of_it}
            assert one.photographs == len(of_it)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("arana", ["Araña de rincón"]), ("RINCON", ["Araña de rincón"]), ("apfel", ["Äpfel"]),
        ("n_2", ["Nandi"]), ("zEBRA", ["kai"]), ("%", ["b%c"]), ("b_c", ["b_c2"]),
        ("n_", ["n_1", "Nandi", "N_3", "n_10", "Araña de rincón"]), ("none", []), ("\\", []),
    ],
)  # fmt: skip
def test_a_name_is_found_in_any_case_and_accents(
    database: Database, name: str, wanted: list[str]
) -> None:
    with database.reading() as connection:
        found = {one.individual.name for one in find_animals(connection, name=name).animals}
    if name in ("n_", "b_c"):  # separators do not count between letters
        assert set(wanted) <= found
    else:
        assert found == set(wanted)


def test_sex_and_the_photograph_that_stands_for_an_animal(database: Database) -> None:
    with database.reading() as connection:
        found = find_animals(connection, sex="female").animals
        assert [one.individual.name for one in found] == ["kai"]
        rows = connection.execute(
            sa.select(photographs.c.row).where(
                photographs.c.individual_id == found[0].individual.id
            )
        ).scalars()
        assert found[0].photo == min(rows)
        assert found[0].individual.photographs == 6


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("most", [1, 3, 100])
def test_pages_hold_everybody_once_and_in_order(database: Database, order: Any, most: int) -> None:
    names: list[Any] = []
    cursor = None
    with database.reading() as connection:
        while True:
            page = find_animals(connection, order=order, most=most, cursor=cursor)
            names += [one.individual for one in page.animals]
            assert page.total == len(NAMES) - 1
            assert len(page.animals) <= most
            cursor = page.next
            if cursor is None:
                break
    assert len({one.id for one in names}) == len(names) == len(NAMES) - 1
    column = order.lstrip("-")
    if column == "name":
        plain_order = [one.name for one in names]
        if order.startswith("-"):
            plain_order.reverse()
        at = {name: place for place, name in enumerate(plain_order)}
        assert at["n_1"] < at["N_3"] < at["n_10"]
        assert at["b_c2"] < at["kai"] < at["n_1"]
        return
    if column == "photographs":
        counts = [one.photographs for one in names]
        assert counts == sorted(counts, reverse=order.startswith("-"))
        return
    dates = [None if one.last_seen is None else one.last_seen.text for one in names]
    known = [date for date in dates if date is not None]
    assert known == sorted(known, reverse=order.startswith("-"))
    assert dates == known + [None] * (len(dates) - len(known))


def test_pages_do_not_move_when_somebody_comes_or_goes(database: Database) -> None:
    with database.reading() as connection:
        first = find_animals(connection, most=4)
        rest = [one.individual.name for one in find_animals(connection, most=100).animals][4:]
    rename(database, first.animals[0].individual.name, "zzz", ANA, new_label=NEW)
    with database.reading() as connection:
        second = find_animals(connection, most=100, cursor=first.next)
    assert [one.individual.name for one in second.animals] == [*rest, "zzz"]


def test_encounters_come_latest_first_and_page_by_page(database: Database) -> None:
    with database.reading() as connection:
        whole, none = find_encounters(connection, Seen(), most=100)
        assert none is None
        pages, cursor = [], None
        while True:
            page, cursor = find_encounters(connection, Seen(), most=2, cursor=cursor)
            pages += page
            if cursor is None:
                break
    assert [one.encounter.id for one in pages] == [one.encounter.id for one in whole]
    dates = [one.encounter.moment for one in whole]
    known = [date.text for date in dates if date is not None]
    assert known == sorted(known, reverse=True)
    assert dates[len(known) :] == [None] * (len(dates) - len(known))
    assert 12 not in [one.encounter.id for one in whole]  # nobody is in it


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "W10", "WzEsMl0", "bnVsbA", "eyJhIjogMX0", "é", "W251bGwsIG51bGxd", "[" * 99],
)
def test_a_cursor_of_no_page_is_refused(database: Database, cursor: str) -> None:
    with database.reading() as connection:
        with pytest.raises(FlukeprintError, match="the cursor is none"):
            find_animals(connection, order="name", cursor=cursor)
        if cursor != "WzEsMl0":
            with pytest.raises(FlukeprintError, match="the cursor is none"):
                find_encounters(connection, Seen(), cursor=cursor)


def test_who_was_merged_is_found_by_the_old_id(database: Database) -> None:
    with database.reading() as connection:
        zebra, kai = NAMES.index("zebra") + 1, NAMES.index("kai") + 1
        assert current_animal(connection, zebra) == kai
        assert current_animal(connection, kai) == kai
        assert current_animal(connection, 999) is None


def test_places_and_views_are_told(database: Database) -> None:
    with database.reading() as connection:
        assert set(list_places(connection)) <= {place for place in PLACES if place}
        assert list_views(connection) == ("left", "right")
