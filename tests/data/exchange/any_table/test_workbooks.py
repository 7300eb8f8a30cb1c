"""XLSX workbooks as spreadsheets and libraries write them."""

import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from flukeprint.data.exchange.any_table import sheet_xml, workbooks
from flukeprint.data.exchange.any_table.reading import read_any_table, recognises
from flukeprint.data.exchange.any_table.sheets import headers_of, read_sheet
from flukeprint.data.exchange.options import ReadOptions
from tests.refusals import refused

SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture
def book(tmp_path: Path) -> Callable[..., Path]:
    def made(*rows: list[Any], then: Callable[[Any], None] = lambda _: None) -> Path:
        workbook = openpyxl.Workbook()
        sheet = workbook.active
        assert sheet is not None
        for row in rows:
            sheet.append(row)
        then(sheet)
        workbook.save(tmp_path / "t.xlsx")
        return tmp_path / "t.xlsx"

    return made


def replaced(path: Path, old: str, new: str, name: str = SHEET) -> Path:
    """The workbook with a text of one of its parts replaced."""
    with zipfile.ZipFile(path) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    assert old.encode() in parts[name]
    parts[name] = parts[name].replace(old.encode(), new.encode())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, data in parts.items():
            archive.writestr(one, data)
    return path


def test_cells_are_what_they_are(book: Callable[..., Path]) -> None:
    def formats(sheet: Any) -> None:
        sheet["C2"].number_format = "dd/mm/yyyy"
        sheet["C3"].number_format = 'd mmm yyyy "h" hh:mm'
        sheet["D3"].number_format = "[h]:mm"

    path = book(
        [],
        ["File", "ID", "Date", "Time", "Lat", "Lon", "Comment"],
        ["a.jpg", "00123", datetime(2024, 5, 3), time(7, 2), "-27.5", 32, True],
        [],
        ["b.jpg", 12.0, datetime(2024, 5, 3), None, None, None, "1+"],
        ["c.jpg", 12.5, "2024-05", None, -1.25, 2, None],
        then=formats,
    )
    assert recognises(path)
    first, second, third = read_any_table(path).photos
    assert (first.identity, first.date) == ("00123", "2024-05-03T07:02:00")
    assert (first.latitude, first.longitude, first.notes) == (-27.5, 32.0, "true")
    assert (second.identity, third.identity) == ("12", "12.5")
    assert (second.date, third.date) == ("2024-05-03T00:00:00", "2024-05")


def test_a_day_shown_without_a_time_is_a_day(book: Callable[..., Path]) -> None:
    path = book(["image", "date"], ["a", date(2024, 5, 3)], ["b", datetime(2024, 5, 3, 1, 2, 3)])
    assert [photo.date for photo in read_any_table(path).photos] == [
        "2024-05-03", "2024-05-03T01:02:03",
    ]  # fmt: skip


@pytest.mark.parametrize("epoch", [datetime(1899, 12, 30), datetime(1904, 1, 1)])
def test_seconds_survive_the_fraction_of_a_day(tmp_path: Path, epoch: datetime) -> None:
    workbook = openpyxl.Workbook()
    workbook.epoch = epoch
    sheet = workbook.active
    assert sheet is not None
    moments = [datetime(2024, 5, 3, 14, 2, second) for second in range(60)]
    sheet.append(["image", "date"])
    for moment in moments:
        sheet.append([f"{moment.second}.jpg", moment])
    workbook.save(tmp_path / "t.xlsx")
    found = read_any_table(tmp_path / "t.xlsx").photos
    assert [photo.date for photo in found] == [moment.isoformat() for moment in moments]


def test_merged_cells_have_one_value(book: Callable[..., Path]) -> None:
    def merge(sheet: Any) -> None:
        sheet.merge_cells("B2:B4")
        sheet.merge_cells("C3:D3")
        sheet.merge_cells("E1:F1")

    path = book(
        ["image", "identity", "place", "observer", "title"],
        ["a", "Ada", "p", "q"], ["b", None, "both"], ["c", None, "r", "s"], ["d", None, "t", "u"],
        then=merge,
    )  # fmt: skip
    found = read_any_table(path).photos
    assert [photo.identity for photo in found] == ["Ada", "Ada", "Ada", None]
    assert [(photo.place, photo.observer) for photo in found] == [
        ("p", "q"), ("both", "both"), ("r", "s"), ("t", "u"),
    ]  # fmt: skip


def test_the_first_shown_sheet_is_read_unless_another_is_named(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    lists, photos, more = workbook.active, workbook.create_sheet("P"), workbook.create_sheet("M")
    assert lists is not None
    lists.sheet_state = "hidden"
    lists.append(["lists"])
    photos.append(["image", "id"])
    photos.append(["a.jpg", "Ada"])
    more.append(["image", "id"])
    more.append(["b.jpg", "Bo"])
    path = tmp_path / "t.xlsx"
    workbook.save(path)
    found = read_any_table(path)
    assert found.photos[0].image == "a.jpg"
    assert found.notes == ("sheet P is read; there are also M, Sheet",)
    assert read_any_table(path, options=ReadOptions(sheet="M")).photos[0].image == "b.jpg"
    refused(lambda: read_any_table(path, options=ReadOptions(sheet="N")), "no sheet 'N'", "M, P")


def test_formulas_count_by_their_value_and_not_without(book: Callable[..., Path]) -> None:
    path = book(["image", "identity", "free"], ["a.jpg", "x", 1], ["b.jpg", '="A"&"da"', "=C2+1"])
    refused(lambda: read_any_table(path), "cell B3 (identity)", "never calculated")
    calculated = '<c r="B3" t="str"><f>"A"&amp;"da"</f><v>Ada</v></c>'
    replaced(path, '<c r="B3"><f>"A"&amp;"da"</f><v /></c>', calculated)
    assert [photo.identity for photo in read_any_table(path).photos] == ["x", "Ada"]
    replaced(path, "<v>Ada</v>", "<v></v>")  # calculated, and empty
    assert [photo.identity for photo in read_any_table(path).photos] == ["x", None]
    replaced(path, 't="str"><f>"A"&amp;"da"</f><v></v>', 't="e"><f>1/0</f><v>#DIV/0!</v>')
    refused(lambda: read_any_table(path), "line 3", "#DIV/0!")


def as_excel(path: Path, strings: str, sheet: str) -> Path:
    """A workbook whose texts are shared, as Excel writes them and openpyxl does not."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}.sharedStrings+xml"/>'
        "</Types>",
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="rId1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{strings}</sst>',
        SHEET: f'<x:worksheet xmlns:x="{main}"><x:sheetData>{sheet}</x:sheetData></x:worksheet>',
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


HEADERS = "<si><t>image</t></si><si><t>notes</t></si>"
FIRST = '<x:row r="1"><x:c r="A1" t="s"><x:v>0</x:v></x:c><x:c t="s"><x:v>1</x:v></x:c></x:row>'


def test_shared_texts_and_parts_of_texts_are_read(tmp_path: Path) -> None:
    runs = (
        "<si><r><t>two </t></r><r><t>parts_x000D_</t></r>"
        '<rPh sb="0" eb="1"><t>reading</t></rPh></si>'
    )
    inside = (
        "<x:is><x:r><x:t>two </x:t></x:r><x:r><x:t>parts</x:t></x:r>"
        "<x:rPh><x:t>reading</x:t></x:rPh></x:is>"
    )
    rows = (
        '<x:row><x:c r="A2" t="str"><x:v>a.jpg</x:v></x:c><x:c t="s"><x:v>2</x:v></x:c></x:row>'
        '<x:row r="5"><x:c r="B5" t="inlineStr">' + inside + "</x:c>"
        '<x:c r="A5"><x:v>7</x:v></x:c></x:row>'
    )
    path = as_excel(tmp_path / "t.xlsx", HEADERS + runs, FIRST + rows)
    sheet = read_sheet(path)
    assert sheet.headers == ("image", "notes")
    assert sheet.columns == (("a.jpg", 7), ("two parts\r", "two parts"))
    assert list(sheet.rows) == [2, 5]
    assert [photo.notes for photo in read_any_table(path).photos] == ["two parts"] * 2


def test_a_text_that_is_not_there_is_refused(tmp_path: Path) -> None:
    row = '<x:row r="2"><x:c r="A2" t="s"><x:v>500</x:v></x:c></x:row>'
    path = as_excel(tmp_path / "t.xlsx", HEADERS, FIRST + row)
    refused(lambda: read_any_table(path), "sheet S cannot be read after line 2")
    bomb = '<!DOCTYPE sst [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><sst '
    replaced(path, "<sst ", bomb, "xl/sharedStrings.xml")
    refused(lambda: read_any_table(path), "t.xlsx cannot be read as an XLSX workbook")


def test_a_wrong_dimension_hides_no_cells(book: Callable[..., Path]) -> None:
    path = book(["image", "id"], ["a.jpg", "Ada"])
    replaced(path, '<dimension ref="A1:B2" />', '<dimension ref="A1" />')
    assert headers_of(path) == ("image", "id")
    assert read_any_table(path).photos[0].identity == "Ada"


def test_damaged_and_hostile_workbooks_are_refused_with_the_place(
    book: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [["image", "id"], ["a.jpg", "Ada"], ["b.jpg", "Bo"]]
    refused(lambda: read_any_table(replaced(book(*rows), "</row></sheetData>", "</sheetData>")),
            "t.xlsx", "sheet Sheet", "after line 3")  # fmt: skip
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><worksheet '
    refused(lambda: read_any_table(replaced(book(*rows), "<worksheet ", bomb)), "document type")
    huge = f'<row r="{2**20 + 1}">'
    refused(lambda: read_any_table(replaced(book(*rows), '<row r="3">', huge)), "1,048,576 rows")
    refused(lambda: read_any_table(replaced(book(*rows), 'r="A3"', 'r="ZZZ3"')), "2,000 columns")
    path = book(*rows)
    monkeypatch.setattr(workbooks, "LARGEST_TABLE", 1000)
    refused(lambda: read_any_table(path), "unpacks to")
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:-200])
    refused(lambda: read_any_table(path), "t.xlsx cannot be read as an XLSX workbook")
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    refused(lambda: read_any_table(path), "old workbook or one with a password")
    assert not recognises(path)


def test_a_zip_that_lies_about_its_size_is_refused(book: Callable[..., Path]) -> None:
    """The part unpacks to more than the archive says."""
    path = book(["image", "id"], *([f"{row}.jpg", "Ada"] for row in range(2000)))
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(SHEET)
    true = info.file_size.to_bytes(4, "little")
    path.write_bytes(data.replace(true, (100).to_bytes(4, "little")))
    refused(lambda: read_any_table(path), "t.xlsx")


def test_limits_are_those_of_a_sheet() -> None:
    assert sheet_xml.MOST_ROWS == 1_048_576
