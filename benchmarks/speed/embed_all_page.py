"""Write benchmarks/reports/scale.md from the figures and faults of `embed_all`."""

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.harness.places import REPORTS, RESULTS
from benchmarks.speed.embed_all_faults import FAULTS, RESULT

PAGE = REPORTS / "scale.md"


def of(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """The rows with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def overhead(rows: list[dict[str, Any]], key: str, photographs: int) -> float | None:
    """How many times as much Ray's one actor takes as the bare loop, the median of all turns."""
    bare = of(rows, engine="local", photographs=photographs)
    ray = of(rows, engine="ray", actors=1, photographs=photographs)
    if not bare or not ray:
        return None
    more = [b[key] / a[key] for a, b in zip(bare, ray, strict=False)]
    if key == "rate":
        more = [1 / each for each in more]
    return statistics.median(more)


def growth(rows: list[dict[str, Any]], engine: str, actors: int) -> list[tuple[int, float]]:
    """Photographs and the median of the memory, by size."""
    found = of(rows, engine=engine, actors=actors)
    sizes = sorted({row["photographs"] for row in found})
    return [
        (size, statistics.median(row["memory_mb"] for row in of(found, photographs=size)))
        for size in sizes
    ]


def render(quick: bool) -> Path:
    """Write the page; quick figures go beside the results."""
    ending = "-quick" if quick else ""
    figures = RESULTS / f"embed_all{ending}.json"
    found = json.loads(figures.read_text()) if figures.is_file() else {"rows": []}
    tried = RESULTS / "embed_all_faults.json"
    if tried.is_file():
        kept = json.loads(tried.read_text())
        found = {"machine": kept["machine"], **found, "faults": kept["rows"]}
    page = RESULTS / "embed_all-quick.md" if quick else PAGE
    page.write_text("\n".join(lines(found)) + "\n")
    print(f"written: {page}")
    return page


def faults() -> list[str]:
    """What each fault is."""
    return [" ".join((fault.__doc__ or "").split()) for fault in FAULTS]


def lines(found: dict[str, Any]) -> list[str]:
    """The page."""
    rows, machine = found["rows"], found["machine"]
    text = [
        "# Embedding of catalogues",
        "",
        "`flukeprint embed-all`, in partitions, by a bare loop (`local`) and on Ray. Written by "
        "`python -m benchmarks.speed.embed_all`",
        f"({machine['cpu']}, {machine['cores']} cores, which other work was using at the same "
        "time: rates are low and",
        "vary, ratios are of turns side by side). Photographs are drawn when they are read; a tiny "
        "network embeds them on",
        "one core, so that nothing hides what Ray costs.",
        "",
        "## Rate and memory",
        "",
    ]
    text += _figures(rows) if rows else ["Not measured yet."]
    text += ["", "## Faults", ""]
    tried = found.get("faults", [])
    if not tried:
        return [*text, "Not tried yet."]
    text += [
        f"{tried[0]['photographs']} photographs of a web server in {tried[0]['files']} partitions, "
        "on a cluster whose nodes are processes of this",
        "machine. Equal: the files have the bytes of an unbroken run of the bare loop.",
        "",
        "| fault | what happened | result | s |",
        "|---|---|---|---|",
    ]
    done = {row["fault"] for row in tried}
    return (
        text
        + [
            f"| {row['fault']} | {row['told']} | {RESULT[row['equal']]} | {row['seconds']:.0f} |"
            for row in tried
        ]
        + [f"| {what} | not tried yet | | |" for what in faults() if what not in done]
    )


def _figures(rows: list[dict[str, Any]]) -> list[str]:
    """The table of figures, and what follows from them."""
    text = [
        "Rate and processor time: from the first to the last partition; the time is of all "
        "processes, Ray's own among them.",
        "Memory: the highest sum of resident memory of the driver and all actors, looked at "
        "twice a second.",
        "",
        "| engine | actors | photographs | a second | processor ms a photograph | whole run, s | "
        "memory, MB | load |",
        "|---|---|---|---|---|---|---|---|",
    ]
    text += [
        f"| {row['engine']} | {row['actors']} | {row['photographs']:,} | {row['rate']:,.0f} | "
        f"{row['cpu_ms']:.2f} | {row['seconds']:,.0f} | {row['memory_mb']:,.0f} | "
        f"{row['load']:.0f} |"
        for row in rows
    ]
    text.append("")
    for size in sorted({row["photographs"] for row in rows}):
        wall, cpu = overhead(rows, "rate", size), overhead(rows, "cpu_ms", size)
        if wall is not None and cpu is not None:
            text.append(
                f"- One actor on Ray against the bare loop at {size:,}: **{wall:.2f}** times the "
                f"time, **{cpu:.2f}** times the processor time."
            )
    for engine, actors in sorted({(row["engine"], row["actors"]) for row in rows}):
        sizes = growth(rows, engine, actors)
        if len(sizes) > 1:
            (first, one), (last, other) = sizes[0], sizes[-1]
            text.append(
                f"- Memory of {engine} with {actors} at {last:,} against {first:,}: "
                f"**{other / one:.2f}** times."
            )
    largest = max(rows, key=lambda row: row["photographs"])
    text += [
        f"- The largest that was run is {largest['photographs']:,} photographs, in "
        f"{largest['seconds'] / 60:.0f} minutes. Nothing above it was run.",
    ]
    return text
