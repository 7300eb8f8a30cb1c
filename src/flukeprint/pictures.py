"""Pictures that people show: their size, and the format that the suffix of their file names.

Drawn at 1920 x 1080 px, so that text of 12 points or more is readable on a slide.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flukeprint.errors import FlukeprintError, nearest
from flukeprint.files import check_writable, written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 16.0, 9.0, 120  # inches, inches, px an inch
DRAWN = ("png", "jpg", "jpeg", "webp", "tif", "tiff", "pdf", "svg")  # by matplotlib
CONVERTED = ("bmp", "gif")
_STYLE: Any = {  # keys of matplotlib
    "font.size": 14,
    "axes.titlesize": 15,
    "figure.titlesize": 20,
    "legend.fontsize": 13,
    "svg.fonttype": "none",
}


def check_picture(target: Path) -> str:
    """Refuse a file that no picture can be written to, before anything is drawn.

    Returns:
        The format that its suffix names, such as png.

    Raises:
        FlukeprintError: so.
    """
    kind = target.suffix.lower().removeprefix(".")
    known = (*DRAWN, *CONVERTED)
    if kind not in known:
        named = f"the suffix .{kind}" if kind else "no suffix"
        raise FlukeprintError(
            f"{target} has {named}, which names no format of pictures; {nearest(kind, known)}"
        )
    if target.is_dir():
        raise FlukeprintError(f"{target} is a folder; name a file for the picture")
    check_writable(target.parent)
    return kind


@contextmanager
def slide(target: Path, title: str, *, arranged: bool = True) -> Iterator["Figure"]:
    """Give a figure of the size of a slide to draw into, and write it to `target` at the end.

    arranged: find room for all labels, which takes a second with many axes.

    Raises:
        FlukeprintError: as `check_picture`; or a full disk, which leaves no file.
    """
    kind = check_picture(target)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI)
        if arranged:
            figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.12)
        figure.suptitle(title, parse_math=False)
        yield figure
        with written_whole(target) as path:
            if kind in CONVERTED:
                path.write_bytes(_converted(figure, kind))
            else:
                figure.savefig(path, format=kind)


def _converted(figure: "Figure", kind: str) -> bytes:
    from PIL import Image

    png, out = BytesIO(), BytesIO()
    figure.savefig(png, format="png")
    with Image.open(png) as picture:
        picture.convert("RGB").save(out, format=kind)
    return out.getvalue()


def shortened(text: str, most: int) -> str:
    """Shorten a name to `most` characters, with dots in its middle.

    >>> shortened("a_very_long_name.jpg", 11)
    'a_ver….jpg'
    """
    flat = " ".join(text.split())
    if len(flat) <= most:
        return flat
    head = most // 2
    return f"{flat[:head]}…{flat[len(flat) - (most - head - 1) :]}"
