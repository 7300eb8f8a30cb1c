"""The page, the table and the text of a doctor's report."""

import csv
from html.parser import HTMLParser

import pytest

from flukeprint.keeper.doctor.findings import KINDS, CatalogueFinding, CatalogueReport
from flukeprint.keeper.doctor.page import write_page
from flukeprint.keeper.doctor.tables import write_csv
from tests.keeper.doctor.drawn import gallery, identifier_of, renamed, rows_of

HOSTILE = "<img src=x onerror=alert(1)>&'\""


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    embeddings = gallery(6, 2)
    embeddings = renamed(embeddings, dict.fromkeys(rows_of(embeddings, "a_000"), HOSTILE))
    return identifier_of(tmp_path_factory.mktemp("page"), embeddings)


def report(many: int = 1) -> CatalogueReport:
    findings = [
        CatalogueFinding(
            "doublet", (HOSTILE, "a_001"), "p0000.jpg looks like p0004.jpg",
            (("p0000.jpg", "p0004.jpg"), ("p0001.jpg", "p0005.jpg")), 0.9,
        ),
        CatalogueFinding("label", ("a_002",), "p", (("p0008.jpg", "p0009.jpg"),), 0.5),
        CatalogueFinding("name", ("n_1", "n_01"), "differ in zeros alone"),
    ]  # fmt: skip
    findings += [
        CatalogueFinding("view", (f"a_{n:03}",), "no photograph of the view left")
        for n in range(many)
    ]
    return CatalogueReport(24, 6, tuple(findings), ("a note",), 3)


def test_the_page_shows_photographs_side_by_side_and_runs_nothing(known, tmp_path):
    found = write_page(report(), known, tmp_path / "d.html").read_text()
    page = Reader(found)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 6
    assert all(str(one["src"]).startswith("data:image/jpeg;base64,") for one in images)
    assert {tag for tag, _ in page.tags} & {"script", "iframe", "object"} == set()
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert HOSTILE in page.text  # as text
    assert "http://" not in found
    assert "https://" not in found
    assert "a note" in page.text
    for meaning in ("1 pair of animals that looks like one", "90%", "n_1 = n_01"):
        assert meaning in page.text


def test_a_page_without_thumbnails_names_the_photographs(tmp_path):
    bare = identifier_of(tmp_path, gallery(6, 2), thumbnails=False)
    found = Reader(write_page(report(), bare, tmp_path / "d.html").read_text())
    assert not any(tag == "img" for tag, _ in found.tags)
    assert "p0008.jpg" in found.text


def test_of_many_findings_the_first_hundred_are_shown(known, tmp_path):
    found = Reader(write_page(report(250), known, tmp_path / "d.html").read_text())
    assert "of 250 the first 100" in found.text


def test_the_table_has_a_row_for_each_finding(tmp_path):
    with write_csv(report(30), tmp_path / "d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 33
    assert rows[0] == {
        "kind": "doublet", "individuals": f"{HOSTILE} | a_001", "probability": "0.9000",
        "finding": "p0000.jpg looks like p0004.jpg",
        "photographs": "p0000.jpg | p0004.jpg || p0001.jpg | p0005.jpg", "encounters": "",
    }  # fmt: skip


def test_the_text_counts_every_kind_and_names_the_first_ten():
    text = report(12).text()
    for heading in ("pairs of animals that look like one  ", "sightings after a recorded death  "):
        assert heading in text
    assert "a_009: no photograph" in text
    assert "a_010: no photograph" not in text
    assert "and 2 more" in text
    assert "doubts 3 labels" in text
    assert CatalogueReport(3, 1).text().endswith("nothing found")


def test_the_summary_holds_everything():
    found = report(12).summary()
    assert found["counts"] == dict.fromkeys(KINDS, 0) | {
        "doublet": 1, "label": 1, "name": 1, "view": 12,
    }  # fmt: skip
    assert isinstance(found["findings"], list)
    assert len(found["findings"]) == 15


def test_nothing_is_ever_certain():
    assert CatalogueFinding("doublet", ("a", "b"), "", probability=1.0).sure == "99%"
