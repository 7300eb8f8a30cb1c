"""The page of `matching.py`, every number of which is from its result file."""

import statistics
from typing import Any

HEAD = """# Matching keypoints: at once, or pair by pair

A query's keypoints are matched with a gallery in two ways: `rank.local.matcher: sift` matches
pairs of photographs and fits a geometry to each, `lnbnn` looks for the nearest descriptors of
the whole gallery in one index and counts what is nearer than chance (McCann and Lowe 2012;
HotSpotter, Crall et al. 2013). Here both answer by keypoints alone, without an embedding, on
the same queries, in turns in one process with one thread. Other programs kept the processors
busy, so times are of this process's own processor time, medians; a result file keeps the wall
time beside it.

Goals: at least 20 times fewer ms a pair at equal or better MAP@5; at most half of the memory,
with MAP@5 within 0.005 of exact search; one query among 1,000,000 photographs under 0.3 s."""


def page(result: dict[str, Any]) -> str:
    """The page of what is measured so far."""
    photos = {name: result[name] for name in ("nyala", "lions") if name in result}
    parts = [HEAD]
    if photos:
        parts.append(_photos(photos))
    rows = [line for name, found in photos.items() for line in _accuracy(name, found, result)]
    if rows:
        parts.append(
            "## Accuracy by keypoints alone\n\nAll ways answer the same drawn queries with the "
            "whole "
            "gallery. The peer is "
            "[wildlife-tools](https://github.com/WildlifeDatasets/wildlife-tools)"
            f"{_peer(result)}.\n\n"
            "| data | way | queries | MAP@5 | top-1 | ms a pair |\n|---|---|---|---|---|---|\n"
            + "\n".join(rows)
        )
        said = [line for name, found in photos.items() for line in _compared(name, found)]
        parts.append("\n".join(said))
    exact = [_exact(name, found) for name, found in photos.items() if "exactness" in found]
    if exact:
        parts.append(
            "## The index beside all distances\n\n"
            "Recall is the share of the true nearest descriptors that the index (64 numbers by "
            "PCA, 4 "
            "bits each, 8 cells visited) finds.\n\n"
            "| data | queries | neighbours | recall | MAP@5 exact | MAP@5 index | "
            "difference, 95 % interval |\n|---|---|---|---|---|---|---|\n" + "\n".join(exact)
        )
    variants = [
        f"| {name} | {row['neighbours']} | {row['verify']} | {row['queries']} | {row['map5']:.3f} "
        f"| "
        f"{row['top1']:.3f} |"
        for name, found in photos.items()
        for row in found.get("variants", ())
    ]
    if variants:
        parts.append(
            "## Neighbours and geometry\n\n`lnbnn` alone, all queries of the fold.\n\n"
            "| data | neighbours | verified | queries | MAP@5 | top-1 "
            "|\n|---|---|---|---|---|---|\n" + "\n".join(variants)
        )
    if "growth" in result or "million" in result:
        parts.append(_growth(result))
    lacking = [
        f"{name}: {section}"
        for name, found in photos.items()
        for section in ("exactness", "accuracy")
        if section not in found
    ]
    sizes = [row["photographs"] for row in result.get("growth", {}).get("rows", ())]
    if 100_000 not in sizes:
        lacking.append("growth: 100,000 photographs")
    lacking += [f"peer: {name}" for name in photos if f"peer, {name}" not in result]
    if lacking:
        parts.append(f"Not measured yet: {'; '.join(lacking)}.")
    machine = result["machine"]
    parts.append(
        f"Measured on {machine['cpu']} with {machine['cores']} cores, Python {machine['python']}, "
        f"FAISS {machine['versions'].get('faiss-cpu', 'none')}. "
        "Made by `python -m benchmarks.speed.matching`."
    )
    return "\n\n".join(parts) + "\n"


def _photos(photos: dict[str, dict[str, Any]]) -> str:
    lines = [
        "## Time and memory",
        "",
        "| data | way | ms a pair | ms a query | photographs a query | fewer ms a pair |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in photos.items():
        old = found["speed"]["ways"]["pairs"]
        for what, took in found["speed"]["ways"].items():
            times = statistics.median(
                a / b for a, b in zip(old["cpu"], took["cpu"], strict=True)
            ) * (took["cpu_ms_a_query"] / took["cpu_ms_a_pair"])
            times /= old["cpu_ms_a_query"] / old["cpu_ms_a_pair"]
            with_all = found["gallery"] if what != "pairs" else found["speed"]["candidates"]
            lines.append(
                f"| {name} | {what} | {took['cpu_ms_a_pair']:.3f} | {took['cpu_ms_a_query']:.0f} | "
                f"{with_all:,} | {'1' if what == 'pairs' else f'{times:.0f}'} |"
            )
    lines += [
        "",
        "| data | photographs | descriptors | keypoints in memory, MB | index, MB | share | "
        "files, MB | built in, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in photos.items():
        held = found["memory"]
        lines.append(
            f"| {name} | {found['gallery']:,} | {found['descriptors']:,} | {_mb(held['store'])} | "
            f"{_mb(held['index'])} | {held['index'] / held['store']:.2f} | "
            f"{_mb(held['store_file'])}, {_mb(held['index_files'])} | "
            f"{found['build_cpu_seconds']:.1f} |"
        )
    return "\n".join(lines)


def _accuracy(name: str, found: dict[str, Any], result: dict[str, Any]) -> list[str]:
    lines = []
    if "accuracy" in found:
        both, ways = found["accuracy"], found["speed"]["ways"]
        told = (
            ("pairs", both["pairs"], both["cpu_ms_a_pair"]),
            ("lnbnn", both["lnbnn"], ways["lnbnn, 0 verified"]["cpu_ms_a_pair"]),
        )
        lines = [_row(name, what, one, cost) for what, one, cost in told]
    for row in result.get(f"peer, {name}", {}).get("rows", ()):
        what = f"wildlife-tools, {row['what']}"
        lines.append(_row(name, what, row, row["cpu_ms_a_pair"]))
    return lines


def _row(name: str, what: str, one: dict[str, Any], cost: float) -> str:
    told = f"{one['queries']} | {one['map5']:.3f} | {one['top1']:.3f}"
    return f"| {name} | {what} | {told} | {cost:.3f} |"


def _peer(result: dict[str, Any]) -> str:
    peers = [found for part, found in result.items() if part.startswith("peer")]
    if not peers:
        return ", which was not run"
    one = peers[0]
    return (
        f" {one['version']}: its `SiftExtractor` ({one['keypoints']} keypoints, {one['side']} x "
        f"{one['side']} px as its documentation resizes, {one['extract_cpu_ms']:.0f} ms a "
        f"photograph) "
        f"and `MatchPairs` with the nearest-neighbour matcher of gluefactory "
        f"({one['gluefactory']}, "
        f"mutual, ratio {one['ratio']}), as LightGlue's weights were not at hand; its collectors "
        f"count "
        "the matches, or RANSAC's inliers of a fundamental matrix"
    )


def _compared(name: str, found: dict[str, Any]) -> list[str]:
    if "accuracy" not in found:
        return []
    each = found["accuracy"]
    return [
        f"- {name}, lnbnn against pairs: MAP@5 {_gain(each['map5'])}, top-1 {_gain(each['top1'])} "
        "(paired bootstrap over the queries)"
    ]


def _gain(found: dict[str, Any]) -> str:
    gain = found["gain"]
    return f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"


def _exact(name: str, found: dict[str, Any]) -> str:
    one = found["exactness"]
    return (
        f"| {name} | {one['exact']['queries']} | {one['neighbours']} | {one['recall']:.3f} | "
        f"{one['exact']['map5']:.3f} | {one['index']['map5']:.3f} | {_gain(one['map5'])} |"
    )


def _growth(result: dict[str, Any]) -> str:
    lines = ["## Growth with the gallery", ""]
    if "growth" in result:
        found = result["growth"]
        lines += [
            f"Drawn photographs of {found['descriptors']} descriptors each: those of "
            f"{found['whales']} photographs of drawn whales ({found['pool']:,} descriptors) with "
            f"noise (standard deviation {found['spread']:g} of 255). A query "
            f"has {found['of_a_query']}. Memory is that of the index.",
            "",
            "| photographs | ms a query | ms to add a photograph | built in, s | index, MB | "
            "keypoints, MB | wall ms a query |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in found["rows"]:
            ms = {
                name: 1e3 * statistics.median(row[name])
                for name in ("query_cpu_seconds", "adding_cpu_seconds", "query_seconds")
            }
            lines.append(
                f"| {row['photographs']:,} | {ms['query_cpu_seconds']:.0f} | "
                f"{ms['adding_cpu_seconds']:.1f} | {row['build_cpu_seconds']:.0f} | "
                f"{_mb(row['bytes'])} | {_mb(row['store_bytes'])} | {ms['query_seconds']:.0f} |"
            )
        lines.append("")
    if "million" in result:
        one = result["million"]
        ms = {
            name: 1e3 * statistics.median(took)
            for name, took in one.items()
            if isinstance(took, list)
        }
        lines.append(
            f"Among {one['photographs']:,} photographs the embedding ({one['dimensions']} numbers, "
            f"exact search) chooses {one['candidates']} candidates, whose descriptors "
            f"({one['descriptors']} each, {one['of_a_query']} of the query) are read from a "
            f"memory-mapped file and all compared. The file is laid out for all photographs "
            f"({one['file_bytes'] / 1e9:.0f} GB); only the places of candidates are written, the "
            f"others "
            f"are never read. **A query takes {one['query_cpu_seconds']:.2f} s** of one "
            f"processor: the "
            f"shortlist {ms['shortlist_cpu_seconds']:.0f} ms, the match "
            f"{ms['match_cold_cpu_seconds']:.0f} ms (again, from memory: "
            f"{ms['match_warm_cpu_seconds']:.0f} ms). On the clock of the busy machine, the first "
            f"reading from the disk included, it was {one['query_seconds']:.2f} s. In memory are "
            f"the "
            f"embeddings, {one['embeddings_bytes'] / 1e9:.1f} GB, and half as much again for the "
            "shortlist where the processor has bf16."
        )
    return "\n".join(lines).rstrip()


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f}"
