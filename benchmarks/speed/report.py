"""Render the results of the speed benchmarks as a page with tables and plots."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import plots
from benchmarks.harness.places import PLOTS, REPORTS, RESULTS

# In the order in which they run: long ones last, so that a mistake shows early.
SCRIPTS = (
    "startup", "decoding", "exact_search", "memory", "competition", "scale", "embedding",
    "training_step", "search",
)  # fmt: skip
QUICK = ("startup", "decoding", "exact_search", "embedding", "search")
RECALL = 0.95

Result = dict[str, Any]


def result(name: str, quick: bool) -> Result | None:
    """The result file of a script; None if it has not been run."""
    path = RESULTS / f"{name}{'-quick' if quick else ''}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
        "",
    ]


def number(value: float) -> str:
    """Format with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def of(found: Result | None, **wanted: object) -> dict[str, Any] | None:
    """The first row with these values."""
    for row in [] if found is None else found["rows"]:
        if all(row.get(key) == value for key, value in wanted.items()):
            return dict(row)
    return None


def targets(all_of: dict[str, Result | None]) -> list[str]:
    """Table of the targets and the measured figures."""
    rows: list[tuple[str, str, str]] = []
    embedding, exact = all_of["embedding"], all_of["exact_search"]
    for backbone in ("EfficientNet-Lite0", "ResNet-50"):
        for kind in ("480 px", "12 megapixels"):
            own = of(embedding, what="flukeprint", backbone=backbone, photographs=kind)
            if own is None:
                continue
            what = f"photographs of {kind} to embeddings, {backbone}"
            rows.append((what, "plain loop x 6", f"x {own['times_plain']:.1f}"))
            peer = of(embedding, what="open-metric-learning", backbone=backbone, photographs=kind)
            if peer is not None:
                times = own["median"] / peer["median"]
                rows.append((what, "open-metric-learning x 6", f"x {times:.1f}"))
            if kind == "480 px":
                share = f"{own['share_of_forward']:.0%}"
                kept = of(
                    embedding, what="flukeprint, decoded before", backbone=backbone,
                    photographs=kind,
                )  # fmt: skip
                if kept is not None:
                    share += f"; decoded before {kept['share_of_forward']:.0%}"
                rows.append((what, "80 % of the forward pass alone", share))
    training = all_of["training_step"]
    for backbone in dict.fromkeys(r["backbone"] for r in (training or {"rows": []})["rows"]):
        own, others = _training(training, backbone)
        for other, least in (("lightning", 1.4), ("open-metric-learning", 2.0)):
            if own and other in others:
                rows.append(
                    (
                        f"training, {backbone}", f"{other} x {least:g}",
                        f"x {own / others[other]:.2f}",
                    )
                )  # fmt: skip
    if exact is not None:
        ratios = exact["ratios"]
        for key, least in (
            ("scikit-learn, cosine / flukeprint, float32", "x 2.5"),
            ("flukeprint, float32 / bare product, float32", "at most 1.3"),
            ("scikit-learn, cosine / flukeprint, bf16 shortlist", "x 5"),
        ):
            if key in ratios:  # all but those of bf16, which some processors lack
                rows.append((f"exact search: {key}", least, f"{ratios[key]:.2f}"))
    search = all_of["search"]
    if search is not None:
        for name in ("flukeprint hnsw", "flukeprint ivf_pq"):
            best = fastest(search, name)
            flat = next(r for r in search["rows"] if r["what"] == "FAISS flat")
            if best is not None:
                rows.append(
                    (
                        f"{name.split()[1]}, one query among {search['photos']:,}",
                        f"recall@5 {RECALL:g}",
                        f"{best['recall']:.3f} in {best['ms']:.2f} ms, 1/"
                        f"{flat['memory_mb'] / best['memory_mb']:.0f} of the flat index's memory",
                    )
                )
    memory = all_of["memory"]
    if memory is not None:
        most = max(row["median"] for row in memory["rows"])
        rows.append(
            (
                f"memory at {memory['photographs']:,} photographs, {memory['queries']:,} queries",
                "under 2,000 MB", f"{most:,.0f} MB",
            )
        )  # fmt: skip
    competition = all_of["competition"]
    if competition is not None:
        whole = of(competition, what="all")
        assert whole is not None
        rows.append(
            (
                f"a competition's inference, {competition['queries']:,} queries",
                "network at least 70 %",
                f"{whole['median'] / 60:.1f} min, {competition['network_share']:.0%}",
            )
        )
    startup = all_of["startup"]
    aims = {"flukeprint --help": "0.4 s", "infer.py, first photographs": "2 s",
            "flukeprint identify, one photograph": "2 s"}  # fmt: skip
    rows += [
        (row["what"], aims.get(row["what"], ""), f"{row['median']:.2f} s")
        for row in (startup or {"rows": []})["rows"]
    ]
    return table(("what", "aim", "measured"), rows)


def decoding_share(all_of: dict[str, Result | None], cores: int) -> list[str]:
    """Upper bound of embedding speed relative to the network alone: cores also decode."""
    decoded = of(all_of["decoding"], what="480 px: decode and fit")
    backbone = "EfficientNet-Lite0"
    alone = of(
        all_of["embedding"], what="forward pass alone", backbone=backbone, photographs="480 px"
    )
    if decoded is None or alone is None:
        return []
    network = 1000 * cores / alone["median"]
    most = network / (network + decoded["median"])
    return [
        f"A photograph of 480 px takes {decoded['median']:.2f} ms of a core to decode and resize, "
        f"most of it libjpeg-turbo's, and {network:.2f} ms in {backbone}. Both run on the same "
        f"cores, so at most {most:.0%} of the forward pass alone can be had.",
        "",
    ]


def _training(found: Result | None, backbone: str) -> tuple[float, dict[str, float]]:
    own, others = 0.0, {}
    for row in [] if found is None else found["rows"]:
        if row["backbone"] != backbone:
            continue
        name = row["what"].lower()
        if "flukeprint" in name or name.startswith("ours"):
            own = max(own, row["median"])
        elif "lightning" in name:
            others["lightning"] = row["median"]
        elif "metric" in name:
            others["open-metric-learning"] = row["median"]
    return own, others


def fastest(search: Result, name: str) -> dict[str, Any] | None:
    """The fastest search effort of an index that reaches RECALL."""
    good = [row for row in search["rows"] if row["what"] == name and row["recall"] >= RECALL]
    return min(good, key=lambda row: row["ms"], default=None)


def chapters(all_of: dict[str, Result | None], plots_at: str) -> list[str]:
    """One table per benchmark; plots_at: folder of the plots, as seen from the page."""
    text: list[str] = []
    embedding = all_of["embedding"]
    if embedding is not None:
        text += ["## From photographs to embeddings", ""]
        text += table(
            ("network", "photographs", "how", "a second", "x plain", "of the forward pass"),
            [
                (
                    r["backbone"], r["photographs"], r["what"], number(r["median"]),
                    f"{r['times_plain']:.1f}", f"{r['share_of_forward']:.0%}",
                )
                for r in embedding["rows"]
            ],
        )  # fmt: skip
        used = sorted({f"{r['backbone']}: {r['engine']}" for r in embedding["rows"]})
        text += [f"Chosen by measurement here: {'; '.join(used)}.", ""]
        text += ["Passes alone, batches of 32:", ""]
        text += table(
            ("network", "engine", "a second"),
            [(r["backbone"], r["what"], number(r["median"])) for r in embedding["engines"]],
        )
    for name, title, unit in (
        ("decoding", "Decoding", "ms a photograph"),
        ("training_step", "Training", "images a second"),
        ("exact_search", "Exact search", "seconds"),
        ("memory", "Memory", "MB at most"),
        ("startup", "Start", "seconds"),
        ("competition", "A whole competition", "seconds"),
        ("scale", "Several processes and Qdrant", ""),
    ):
        found = all_of[name]
        if found is None:
            continue
        text += [f"## {title}", ""]
        keys = [
            key for key in ("backbone", "photos", "photographs")
            if any(isinstance(row.get(key), str) for row in found["rows"])
        ]  # fmt: skip
        head = ["what", *keys, unit or "median"]
        text += table(
            head,
            [
                (row["what"], *(row.get(key, "") for key in keys), _with_unit(row))
                for row in found["rows"]
            ],
        )
        if name == "exact_search":
            text += [
                f"{found['queries']:,} queries, the five nearest of {found['photographs']:,} x "
                f"{found['dimensions']}.",
                "",
            ]
    search = all_of["search"]
    if search is not None:
        text += [f"## One query among {search['photos']:,} x {search['dimension']}", ""]
        text += table(
            ("index", "effort", "recall@5", "ms", "95 % below", "built in s", "MB"),
            [
                (
                    r["what"], r["effort"], f"{r['recall']:.4f}", f"{r['ms']:.3f}",
                    f"{r['ms_95']:.3f}", f"{r['build_seconds']:.0f}", f"{r['memory_mb']:,.0f}",
                )
                for r in search["rows"]
            ],
        )  # fmt: skip
        text += [f"![Recall, speed and memory of indexes]({plots_at}/search.png)", ""]
        text += ["Enrolling one photograph, with its commit to disk:", ""]
        text += table(
            ("gallery", "ms", "building anew, s"),
            [
                (f"{r['photos']:,}", f"{r['enroll_ms']:.1f}", f"{r['rebuild_s']:.1f}")
                for r in search["enrolling"]
            ],
        )
        opening = "; ".join(f"{what}: {took:.2f} s" for what, took in search["opening"].items())
        text += [f"The stored gallery of {search['photos']:,}: {opening}.", ""]
    return text


def _with_unit(row: dict[str, Any]) -> str:
    return f"{number(row['median'])} {row.get('unit', '')}".strip()


def draw(all_of: dict[str, Result | None], folder: Path) -> None:
    """Draw the plots."""
    search, embedding, exact = all_of["search"], all_of["embedding"], all_of["exact_search"]
    panels: dict[str, tuple[str, str, dict[str, list[plots.Point]]]] = {}
    if embedding is not None:
        points = [(row["photographs"], row["seconds"]) for row in embedding["growth"]]
        panels["Embedding"] = (
            "photographs", "seconds", {"EfficientNet-Lite0, 224 px": points},
        )  # fmt: skip
    if exact is not None:
        curves: dict[str, list[plots.Point]] = {}
        for row in exact["growth"]:
            size = row.get("photographs", row.get("photos"))
            curves.setdefault(str(row.get("what", "exact")), []).append(
                (size, row.get("seconds", row.get("median")))
            )
        panels["Exact search"] = ("photographs in the gallery", "seconds", curves)
    if search is not None:
        enrolling = search["enrolling"]
        panels["One more photograph"] = (
            "photographs in the gallery", "seconds",
            {
                "enroll": [(row["photos"], row["enroll_ms"] / 1000) for row in enrolling],
                "build anew": [(row["photos"], row["rebuild_s"]) for row in enrolling],
            },
        )  # fmt: skip
        front: dict[str, list[tuple[float, float, float]]] = {}
        for row in search["rows"]:
            front.setdefault(row["what"], []).append(
                (row["recall"], 1000 / row["ms"], row["memory_mb"])
            )
        plots.front(front, folder / "search.png", recall=RECALL)
    if panels:
        plots.growth(panels, folder / "growth.png")


def machines(all_of: dict[str, Result | None]) -> tuple[dict[str, Any], list[str]]:
    """The machine of most results, and the others with the names of what was measured there.

    Raises SystemExit where there are no results.
    """
    parts: dict[str, list[str]] = {}
    for name, found in all_of.items():
        if found is not None:
            parts.setdefault(machine_name(found["machine"]), []).append(name)
    if not parts:
        raise SystemExit("nothing has been measured yet; run without --render")
    most = max(parts, key=lambda machine: len(parts[machine]))
    last = all_of[parts[most][-1]]
    assert last is not None
    others = [f"{', '.join(names)} on {at}" for at, names in parts.items() if at != most]
    return last["machine"], others


def machine_name(machine: dict[str, Any]) -> str:
    """Processor, cores and instruction sets."""
    return f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['instructions'])})"


def render(quick: bool) -> None:
    """Write the page and the plots from the result files."""
    ran = QUICK if quick else SCRIPTS
    all_of = {name: result(name, quick) if name in ran else None for name in SCRIPTS}
    machine, elsewhere = machines(all_of)
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    page = RESULTS / "speed-quick.md" if quick else REPORTS / "speed.md"
    folder, plots_at = (RESULTS / "plots-quick", "plots-quick") if quick else (PLOTS, "../plots")
    missing = [name for name in ran if all_of[name] is None]
    text = [
        "# How fast it is",
        "",
        f"{machine_name(machine)}, no GPU; Python {machine['python']}, {versions}.",
        "",
        *([f"On other machines: {'; '.join(elsewhere)}.", ""] if elsewhere else []),
        "Made by `make bench`. Contestants take turns in one run; medians of five rounds or more, "
        "of three for growth and for several processes; some long runs are timed once. Absolute "
        "numbers are of a shared, noisy machine; "
        "ratios are what to look at.",
        "",
        *([f"Not measured: {', '.join(missing)}.", ""] if missing else []),
        "## What was aimed at",
        "",
        *targets(all_of),
        *decoding_share(all_of, machine["cores"]),
        f"![How costs grow]({plots_at}/growth.png)",
        "",
        *chapters(all_of, plots_at),
    ]
    page.write_text("\n".join(text).rstrip() + "\n")
    draw(all_of, folder)
    print(f"written: {page}")
