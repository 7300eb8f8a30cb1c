"""Export a catalogue as tables for other programs: CSV, Parquet or an Excel workbook."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError, check_installed, nearest
from flukeprint.files import folder_written_whole
from flukeprint.identifier.card import read_card
from flukeprint.identifier.files import GALLERY
from flukeprint.identifier.kept_gallery import facts_of
from flukeprint.records.database import Database
from flukeprint.records.gallery import read_gallery_records
from flukeprint.records.lookup import (
    history,
    list_encounters,
    list_individuals,
    list_photographs,
)
from flukeprint.search.gallery_store import GalleryStore

# Suffix of each format's tables, and the packages that it needs.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "csv": (),
    "parquet": ("pyarrow",),
    "xlsx": ("openpyxl",),
}
_MOST_CELLS = 1_048_575  # rows of a sheet below its header
# Of each table, also of one without a row.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "individuals": ("individual", "aliases", "sex", "life_stage", "died", "notes", "photographs",
                    "encounters", "first_seen", "last_seen"),
    "encounters": ("encounter", "date", "precision", "utc_offset", "latitude", "longitude",
                   "uncertainty_m", "place", "observer", "occasion", "notes"),
    "photographs": ("image", "individual", "encounter", "view", "quality", "box", "file", "digest",
                    "decided_by", "decider", "probability"),
    "history": ("event", "time", "author", "kind", "summary", "reason", "undoes", "undone_by"),
}  # fmt: skip


def export_catalogue(
    folder: Path, database: Database, out: Path, form: str, embeddings: bool
) -> dict[Path, int]:
    """Write the tables of the catalogue of the identifier in `folder` into a new folder.

    Individuals, encounters, photographs and the history, of one state of the catalogue; of the
    photographs that are in the gallery also the embeddings, as `Embeddings.load` reads them, or as
    a column of lists in Parquet.

    form: csv, parquet or xlsx.

    Returns:
        Each file that was written, with its number of rows.

    Raises:
        FlukeprintError: an unknown format, a package that is missing, or a folder that is there.
    """
    if form not in FORMATS:
        raise FlukeprintError(f"no catalogue is exported as {form}; {nearest(form, FORMATS)}")
    check_installed("tables", *FORMATS[form])
    if out.exists():
        raise FlukeprintError(f"{out} is there already; name a folder that is not")
    card = read_card(folder)
    with database.reading() as connection:
        tables = _tables(connection)
        records = read_gallery_records(connection)
        gallery = GalleryStore(
            folder / GALLERY, facts_of(folder, records.store),
            renamed=records.renamed, changed=records.changed,
        ).embeddings  # fmt: skip
    assert gallery.stamp == card.stamp
    there = [row for row, who in enumerate(gallery.identities) if who is not None]
    written = {}
    with folder_written_whole(out) as draft:
        if form == "xlsx":
            _write_workbook(tables, draft / "catalogue.xlsx")
            written[out / "catalogue.xlsx"] = sum(map(len, tables.values()))
        for name, table in tables.items():
            if form == "csv":
                table.to_csv(draft / f"{name}.csv", index=False)
            elif form == "parquet":
                table.to_parquet(draft / f"{name}.parquet", engine="pyarrow", index=False)
            if form != "xlsx":
                written[out / f"{name}.{form}"] = len(table)
        if embeddings:
            kept = gallery.take(there)
            file = "embeddings.parquet" if form == "parquet" else "embeddings.npz"
            if form == "parquet":
                _embeddings_table(kept).to_parquet(draft / file, engine="pyarrow", index=False)
            else:
                kept.save(draft / file)
            written[out / file] = len(kept)
    return written


def _tables(connection: sa.Connection) -> dict[str, pd.DataFrame]:
    individuals = [
        {
            "individual": one.name,
            "aliases": "; ".join(one.aliases),
            "sex": one.sex,
            "life_stage": one.life_stage,
            "died": _text(one.died),
            "notes": one.notes,
            "photographs": one.photographs,
            "encounters": one.encounters,
            "first_seen": _text(one.first_seen),
            "last_seen": _text(one.last_seen),
        }
        for one in list_individuals(connection)
    ]
    encounters = [
        {
            "encounter": one.id,
            "date": None if one.moment is None else one.moment.text,
            "precision": None if one.moment is None else one.moment.precision,
            "utc_offset": None if one.moment is None else one.moment.offset,
            "latitude": None if one.position is None else one.position.latitude,
            "longitude": None if one.position is None else one.position.longitude,
            "uncertainty_m": None if one.position is None else one.position.uncertainty,
            "place": one.place,
            "observer": one.observer,
            "occasion": one.occasion,
            "notes": one.notes,
        }
        for one in list_encounters(connection)
    ]
    photographs = [
        {
            "image": one.image,
            "individual": one.individual,
            "encounter": one.encounter,
            "view": one.view,
            "quality": one.quality,
            "box": None if one.box is None else json.dumps(one.box),
            "file": one.file,
            "digest": one.digest,
            "decided_by": one.decided_by,
            "decider": one.decider,
            "probability": one.probability,
        }
        for one in list_photographs(connection)
    ]
    events = [
        {
            "event": one.id,
            "time": one.time,
            "author": one.author,
            "kind": one.kind,
            "summary": one.summary,
            "reason": one.reason,
            "undoes": one.undoes,
            "undone_by": one.undone_by,
        }
        for one in reversed(history(connection))
    ]
    numbers = {"encounter": "Int64", "undoes": "Int64", "undone_by": "Int64"}
    found = {
        "individuals": individuals,
        "encounters": encounters,
        "photographs": photographs,
        "history": events,
    }
    made = {name: pd.DataFrame(rows, columns=_COLUMNS[name]) for name, rows in found.items()}
    return {
        name: table.astype({column: kind for column, kind in numbers.items() if column in table})
        for name, table in made.items()
    }


def _text(moment: object) -> str | None:
    return None if moment is None else str(moment)


def _embeddings_table(kept: Embeddings) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": kept.images,
            "individual": kept.identities,
            "network": kept.stamp,
            "embedding": list(kept.vectors),
        }
    )


def _write_workbook(tables: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write a sheet for each table; a text stays a text, also one that begins like a formula."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    for name, table in tables.items():
        if len(table) > _MOST_CELLS:
            raise FlukeprintError(
                f"{len(table):,} rows of {name} do not fit into a sheet; export as csv or parquet"
            )
        sheet = book.create_sheet(name)
        sheet.append(list(table.columns))
        for cells in table.itertuples(index=False):
            sheet.append([_cell(WriteOnlyCell, sheet, value) for value in cells])
    book.save(path)


def _cell(kind: Any, sheet: Any, value: Any) -> Any:
    if value is None or value is pd.NA or value != value:  # NaN differs from itself
        return None
    if isinstance(value, str):
        cell = kind(sheet, value=value)
        cell.data_type = "s"
        return cell
    return value.item() if hasattr(value, "item") else value
