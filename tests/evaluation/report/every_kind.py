"""Charts and blocks of every kind, with names that could do harm."""

from io import BytesIO

import numpy as np
from PIL import Image

from flukeprint.evaluation.report.charts import (
    Bars,
    Chart,
    Heatmap,
    Histogram,
    Line,
    Listing,
    Mark,
    Part,
    PhotoRow,
    PhotoRows,
    Picture,
    Points,
    Shown,
    Table,
)
from tests.evaluation.report.drawn_run import HOSTILE


def jpeg(seed: int, side: int = 160) -> bytes:
    """A photograph of noise, which no encoder makes small."""
    rng = np.random.default_rng(seed)
    file = BytesIO()
    pixels = rng.integers(0, 255, (side * 3 // 4, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return file.getvalue()


def charts(photos: int = 4) -> tuple[Chart, ...]:
    """A chart of every kind of layer."""
    x = np.linspace(0.1, 1, 6)
    rng = np.random.default_rng(0)
    thumbnails = tuple(jpeg(seed, 40) for seed in range(photos))
    places = tuple(place % photos for place in range(7)) if photos else ()
    hover = tuple(HOSTILE[place % 4] for place in range(7))
    return (
        Chart(
            "line", HOSTILE[0], HOSTILE[1],
            (Line(HOSTILE[0], x, x**2, x**2 - 0.1, x**2 + 0.1, hover=("<b>",) * 6),
             Line(HOSTILE[2], x, x, style="steps"), Line("dashed", x, 1 - x, style="dashed"),
             Line("points", x, x, x - 0.2, x + 0.2, style="markers")),
            x=HOSTILE[0], y="y", marks=(Mark("x", 0.5, HOSTILE[0]), Mark("y", 0.3, "low")),
            x_limits=(0.05, 1.2), y_limits=(-0.2, 1.2), log_x=True,
        ),
        Chart(
            "bars", "Bars", "Two kinds",
            (Bars("a", ("2020-01-01", "10", HOSTILE[0]), x[:3], x[:3] - 0.05, x[:3] + 0.05,
                  ("n=1", "n=2", HOSTILE[1])),
             Bars("b", ("10", "last"), x[:2])),
        ),
        Chart(
            "histograms", "Histograms", "Two",
            (Histogram("one", np.arange(4.0), np.array([0.2, 0.5, 0.3])),
             Histogram(HOSTILE[1], np.arange(4.0) + 0.5, np.array([0.1, 0.1, 0.8]))),
            marks=(Mark("x", 1.0, "here"),),
        ),
        Chart(
            "points", "Points", "In a plane",
            (Points(HOSTILE[0], rng.normal(size=(7, 2)), hover, places),
             Points("no photographs", rng.normal(size=(3, 2)), symbol="cross")),
            photos=thumbnails,
        ),
        Chart(
            "solid", "Points", "In space",
            (Points("cloud", rng.normal(size=(7, 3)), hover, places, "diamond"),),
            x="1st", y="2nd", z="3rd", photos=thumbnails,
        ),
        Chart(
            "heatmap", "Heatmap", "With a gap",
            (Heatmap("share", HOSTILE[:2], ("a", "b", HOSTILE[0]),
                     np.array([[0.1, np.nan, 1.0], [0.5, 0.0, 0.3]]),
                     (("1", "", HOSTILE[0]), ("2", "3", "4"))),),
        ),
    )  # fmt: skip


def parts(photos: int = 4) -> tuple[Part, ...]:
    """Two sections with every kind of block."""
    rows = tuple(
        PhotoRow(
            HOSTILE[row % 4],
            (Shown((HOSTILE[0], "is this"), jpeg(row), "query"),
             Shown((HOSTILE[1],), jpeg(row + 100), "right"), Shown(("?",), None, "wrong")),
        )
        for row in range(3)
    )  # fmt: skip
    picture = Picture("picture", HOSTILE[1], HOSTILE[0], jpeg(7))
    return (
        Part("charts", HOSTILE[0], (HOSTILE[0], HOSTILE[3]), charts(photos)),
        Part(
            "others", "Others", (),
            (Table(HOSTILE[1], ("a", HOSTILE[0]), ((HOSTILE[0], HOSTILE[1]), ("x", "y"))),
             picture, PhotoRows(HOSTILE[0], HOSTILE[1], rows), Listing(HOSTILE[0], HOSTILE[0])),
        ),
    )  # fmt: skip
