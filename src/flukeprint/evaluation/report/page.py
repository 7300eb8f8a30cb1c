"""Make the page of a report: one HTML file that holds everything and asks no other site.

Where there are charts, the script plotly.js is in it once, compressed; the browser unpacks and runs
it, and only this and the page's own script, which a Content-Security-Policy names by their digests.
Photographs that points show on hover are in it once, however many charts show them.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

from flukeprint.evaluation.report.charts import (
    Block,
    Chart,
    Listing,
    Part,
    PhotoRows,
    Picture,
    Shown,
    Table,
    plain,
)
from flukeprint.evaluation.report.photo_budget import embedded, fitting
from flukeprint.evaluation.report.plotly_charts import figure
from flukeprint.evaluation.report.self_contained import base64_text, script_json, source_digest

MOST_BYTES = 5_000_000
AROUND_SHOWN, AROUND_HOVERED = 40, 4  # bytes of markup around a photograph
SHOWN_SHARE = 0.6  # of the room for photographs, for those that are seen without hovering
FEW_PHOTOS = 3  # of rows that stand two beside each other on a wide screen
WHOLE = 24  # characters of a cell that is not broken into lines
ASSETS = Path(__file__).parent / "assets"
_SIGNS = {"": "", "query": "", "right": "\u2713\u00a0", "wrong": "\u2717\u00a0"}
_MEANINGS = {"": "", "query": "", "right": "right answer: ", "wrong": "wrong answer: "}


@dataclass(frozen=True)
class ReportPage:
    """What a page shows.

    lead: sentences below the title.  notes: what could not be shown, a line each.
    charts: folder of the charts' PNG and SVG files beside the page, as its links name it.
    """

    title: str
    lead: tuple[str, ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    charts: str = "report"

    def __post_init__(self) -> None:
        for found in ([part.anchor for part in self.parts], [block.name for block in self.named()]):
            twice = sorted({name for name in found if found.count(name) > 1})
            if twice:
                raise ValueError(f"twice in one page: {', '.join(twice)}")

    def blocks(self) -> list[Block]:
        """The blocks of all parts."""
        return [block for part in self.parts for block in part.blocks]

    def named(self) -> list[Chart | Picture]:
        """The blocks that are also files."""
        return [block for block in self.blocks() if isinstance(block, Chart | Picture)]


@dataclass(frozen=True)
class _Held:
    """What of a page fits into its bytes.

    data: of each chart by its name; a chart without is only a file.
    photos: what to embed for a photograph that is seen; table: those shown on hover, "" for none.
    """

    data: Mapping[str, str]
    photos: Mapping[bytes, bytes]
    table: Sequence[str]


def render(page: ReportPage, most: int = MOST_BYTES) -> bytes:
    """The whole page as HTML of at most `most` bytes.

    Photographs are made smaller until they fit, or left out; where that does not do, the data of
    the largest charts are, whose files are named instead.
    """
    charts = [block for block in page.blocks() if isinstance(block, Chart)]
    hovered = list(dict.fromkeys(photo for chart in charts for photo in chart.photos))
    places = {photo: place for place, photo in enumerate(hovered)}
    data = {chart.name: _data(chart, places) for chart in charts}
    bare = len(_document(page, _Held(data, {}, ())))
    for name in sorted(data, key=lambda name: len(data[name]), reverse=True):
        if bare <= most:
            break
        bare -= len(data.pop(name).encode())
    room = max(most - bare, 0)
    shown = [photo for block in page.blocks() for photo in _shown(block)]
    wanted = sum(embedded(photo) + AROUND_HOVERED for photo in hovered)
    small = fitting(shown, max(int(SHOWN_SHARE * room), room - wanted), around=AROUND_SHOWN)
    room -= sum(embedded(small[photo]) + AROUND_SHOWN for photo in shown if photo in small)
    # A photograph that is left out still takes its place in the table.
    room -= AROUND_HOVERED * len(hovered)
    held = fitting(hovered, max(room, 0), around=0)
    table = [base64_text(held[photo]) if photo in held else "" for photo in hovered]
    return _document(page, _Held(data, small, table))


def _data(chart: Chart, places: Mapping[bytes, int]) -> str:
    drawn = figure(chart) | {"photos": [places[photo] for photo in chart.photos]}
    return script_json(drawn)


def _shown(block: Block) -> list[bytes]:
    """The JPEGs that a block shows without hovering."""
    match block:
        case PhotoRows():
            return [one.photo for row in block.rows for one in row.photos if one.photo is not None]
        case _:
            return []


def _text(text: str) -> str:
    return escape(plain(text))


@cache
def _script() -> str:
    return (ASSETS / "report.js").read_text(encoding="utf-8")


@cache
def _plotly() -> tuple[str, str]:
    """plotly.js, compressed and in base64, and its digest for the policy."""
    from plotly.offline import get_plotlyjs

    code = get_plotlyjs().encode()
    return base64_text(gzip.compress(code, mtime=0)), source_digest(code)


def _document(page: ReportPage, held: _Held) -> bytes:
    scripts, without, credit, sources = "", "", "", "'none'"
    if any(isinstance(block, Chart) for block in page.blocks()):
        scripts, without, credit, sources = _drawing(page, held)
    policy = (
        f"default-src 'none'; script-src {sources}; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    style = (ASSETS / "report.css").read_text(encoding="utf-8")
    entries = "\n".join(
        f'<li><a href="#{part.anchor}">{_text(part.title)}</a></li>' for part in page.parts
    )
    lead = "\n".join(f"<p>{_text(line)}</p>" for line in page.lead)
    notes = "\n".join(f'<p class="notice">{_text(note)}</p>' for note in page.notes)
    parts = "\n".join(_part(part, page, held) for part in page.parts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_text(page.title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<div class="frame">
<nav aria-label="Sections"><h2>Sections</h2><ol>
{entries}
</ol></nav>
<main id="content" tabindex="-1">
<h1>{_text(page.title)}</h1>
{lead}
{without}{notes}
{parts}
{credit}</main>
</div>
{scripts}</body>
</html>
""".encode()


def _drawing(page: ReportPage, held: _Held) -> tuple[str, str, str, str]:
    """What a page with charts needs: scripts, a word to those without, the credit, and digests."""
    packed, digest = _plotly()
    script = _script()
    data = "\n".join(
        f'<script type="application/json" id="data-{name}">{text}</script>'
        for name, text in held.data.items()
    )
    folder = _text(page.charts)
    scripts = f"""<div id="hover" aria-hidden="true"><img alt=""></div>
{data}
<script type="application/json" id="photographs">{script_json(list(held.table))}</script>
<script type="text/plain" id="plotly">{packed}</script>
<script>{script}</script>
"""
    without = f"""<noscript><p class="notice">Without scripts this page shows no charts; they lie
beside it as PNG and SVG files in the folder {folder}.</p></noscript>
"""
    credit = f"""<footer>Charts are drawn by plotly.js (MIT licence), which is part of this file;
nothing is asked of any other site. Every chart is also a PNG and an SVG file in the folder {folder}
beside this page.</footer>
"""
    return scripts, without, credit, f"{source_digest(script.encode())} {digest}"


def _part(part: Part, page: ReportPage, held: _Held) -> str:
    lines = "\n".join(f"<p>{_text(line)}</p>" for line in part.lines)
    blocks = "\n".join(_block(block, page, held) for block in part.blocks)
    return f"""<section id="{part.anchor}" aria-labelledby="title-{part.anchor}">
<h2 id="title-{part.anchor}">{_text(part.title)}</h2>
{lines}
{blocks}
</section>"""


def _block(block: Block, page: ReportPage, held: _Held) -> str:
    match block:
        case Chart():
            return _chart(block, page, block.name in held.data)
        case Table():
            return _table(block)
        case Picture():
            return _picture(block)
        case Listing():
            text = "\n".join(map(_text, block.text.splitlines()))
            return f"""<details class="panel"><summary>{_text(block.title)}</summary>
<pre class="scroll" tabindex="0">{text}</pre></details>"""
        case PhotoRows():
            rows = "\n".join(
                f"<div><h4>{_text(row.title)}</h4>\n"
                f'<div class="row" tabindex="0" role="group" aria-label="{_text(row.title)}">'
                f"{''.join(_photo(one, held) for one in row.photos)}</div></div>"
                for row in block.rows
            )
            few = all(len(row.photos) <= FEW_PHOTOS for row in block.rows)
            return f"""<div class="panel"><h3>{_text(block.title)}</h3>
<p class="caption">{_text(block.caption)}</p>
<div class="rows{" few" if few else ""}">{rows}</div></div>"""


def _chart(chart: Chart, page: ReportPage, drawn: bool) -> str:
    files = " · ".join(
        f'<a href="{quote(page.charts)}/{chart.name}.{kind}">{kind.upper()}'
        f"<span hidden> of {_text(chart.title)}</span></a>"
        for kind in ("png", "svg")
    )
    box = f'<p class="notice">Too large for this page; see {files}.</p>'
    if drawn:
        solid = " solid" if chart.solid else ""
        box = (
            f'<div class="chart{solid}" id="{chart.name}" data-chart="{chart.name}" role="img" '
            f'aria-label="{_text(chart.title)}. {_text(chart.caption)}">'
            '<p class="waiting">Drawing the chart</p></div>'
        )
    return f"""<figure><h3>{_text(chart.title)}</h3>
{box}
<figcaption>{_text(chart.caption)} <span class="files">{files}</span></figcaption></figure>"""


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in table.header)
    rows = "\n".join(
        f'<tr><th scope="row">{_text(row[0])}</th>' + "".join(map(_cell, row[1:])) + "</tr>"
        for row in table.rows
    )
    caption = _text(table.caption)
    return f"""<div class="panel"><p class="caption">{caption}</p>
<div class="scroll" tabindex="0" role="group" aria-label="{caption}">
<table><thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody></table></div></div>"""


def _cell(text: str) -> str:
    whole = ' class="whole"' if len(text) <= WHOLE else ""
    return f"<td{whole}>{_text(text)}</td>"


def _picture(picture: Picture) -> str:
    source = f"data:image/{picture.kind};base64,{base64_text(picture.file)}"
    return f"""<figure id="{picture.name}">
<img class="picture" alt="{_text(picture.alt)}" src="{source}">
<figcaption>{_text(picture.caption)}</figcaption></figure>"""


def _photo(shown: Shown, held: _Held) -> str:
    small = None if shown.photo is None else held.photos.get(shown.photo)
    mark = f" {shown.mark}" if shown.mark else ""
    first, *rest = shown.lines or ("",)
    alt = _MEANINGS[shown.mark] + first
    picture = '<span class="none" aria-hidden="true">?</span>'
    if small is not None:
        picture = f'<img alt="{_text(alt)}" src="data:image/jpeg;base64,{base64_text(small)}">'
    lines = "<br>".join([f"<b>{_SIGNS[shown.mark]}{_text(first)}</b>", *map(_text, rest)])
    return f'<figure class="shown{mark}">{picture}<figcaption>{lines}</figcaption></figure>'
