"""Plot measured costs as PNG files."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Point = tuple[float, float]


def slope(points: Sequence[Point]) -> float:
    """Slope of the least-squares line through log-log points: 1 is linear growth, 0 none."""
    xs = [math.log10(x) for x, _ in points]
    ys = [math.log10(y) for _, y in points]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread


def growth(
    panels: Mapping[str, tuple[str, str, Mapping[str, Sequence[Point]]]], path: Path
) -> None:
    """Plot how costs grow: title -> (x label, y label, curve -> points), a log-log panel each."""
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(6.2 * columns, 4.3 * rows), squeeze=False)
    for axis, (title, (across, up, curves)) in zip(axes.flat, panels.items(), strict=False):
        for name, points in curves.items():
            ordered = sorted(points)
            label = f"{name} (slope {slope(ordered):.2f})" if len(ordered) > 1 else name
            axis.loglog(*zip(*ordered, strict=True), marker="o", markersize=4, label=label)
        axis.set_title(title)
        axis.set_xlabel(across)
        axis.set_ylabel(up)
        axis.grid(True, which="major", alpha=0.3)
        axis.legend(fontsize=8)
    for axis in list(axes.flat)[len(panels) :]:
        axis.remove()
    _write(figure, path)


def front(
    curves: Mapping[str, Sequence[tuple[float, float, float]]], path: Path, *, recall: float
) -> None:
    """Plot recall against speed and memory of indexes.

    Args:
        curves: index -> (recall, queries a second, MB) at each search effort.
        recall: memory is shown at the fastest effort that reaches this recall.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.4, 5))
    for number, (name, points) in enumerate(curves.items()):
        ordered = sorted(points)
        colour, marker = f"C{number}", "os^vDPX*"[number % 8]
        kind = {"color": colour, "marker": marker, "label": name}
        left.plot([p[0] for p in ordered], [p[1] for p in ordered], linewidth=1, **kind)
        reached = [p for p in ordered if p[0] >= recall]
        if reached:
            best = max(reached, key=lambda p: p[1])
            right.scatter([best[2]], [best[1]], s=60, **kind)
            right.annotate(
                f"{name}\n{best[0]:.3f}", (best[2], best[1]), fontsize=8,
                xytext=(6, 4), textcoords="offset points",
            )  # fmt: skip
    left.set_yscale("log")
    left.set_xlabel("recall@5")
    left.set_ylabel("queries a second, one at a time")
    left.axvline(recall, color="grey", linewidth=0.8, linestyle=":")
    left.grid(True, alpha=0.3)
    left.legend(fontsize=8)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("main memory of the index, MB")
    right.set_ylabel(f"queries a second at recall@5 of at least {recall:g}")
    right.grid(True, alpha=0.3)
    low, high = right.get_xlim()
    right.set_xlim(low, 2.5 * high)  # space for the names
    _write(figure, path)


def _write(figure: plt.Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"written: {path}")
