"""The icons of the installed page as PNG: the fluke of `static/favicon.svg`, drawn by Pillow."""

from functools import cache
from io import BytesIO

from PIL import Image, ImageDraw

TIDE, PALE = "#0b5d63", "#f4f6f3"
SIZES = (180, 192, 512)  # pixels; 180 is what Apple's devices take
# The path of the SVG, in its square of 64: a start, then cubic Bezier curves of three points each.
_START = (32.0, 61.0)
_CURVES = (
    ((29.5, 50), (27.5, 43), (22, 37.5)), ((14.5, 30), (7, 26.5), (1.5, 12)),
    ((12.5, 10.5), (26, 12.5), (32, 23.5)), ((38, 12.5), (51.5, 10.5), (62.5, 12)),
    ((57, 26.5), (49.5, 30), (42, 37.5)), ((36.5, 43), (34.5, 50), (32, 61)),
)  # fmt: skip
_RIDGES = (5.0, 13.5, 22.0, 30.5, 39.0)  # radii around (32, 46)
_FINER = 4  # it is drawn so much larger first


@cache
def icon(size: int, *, whole: bool = False) -> bytes:
    """A PNG of size x size pixels.

    whole: fills the square, with the fluke in its middle, so that a system may cut it to any shape.
    """
    side = size * _FINER
    unit = side / 64
    scale, left, top = (0.62, 12.2, 11.0) if whole else (0.86, 4.5, 3.0)

    def at(x: float, y: float) -> tuple[float, float]:
        return (left + scale * x) * unit, (top + scale * y) * unit

    picture = Image.new("RGBA", (side, side), TIDE if whole else "#0000")
    if not whole:
        ImageDraw.Draw(picture).rounded_rectangle((0, 0, side - 1, side - 1), 14 * unit, TIDE)
    fluke = Image.new("L", (side, side), 0)
    ImageDraw.Draw(fluke).polygon([at(*point) for point in _outline()], 255)
    inside = Image.new("RGBA", (side, side), PALE)
    pen = ImageDraw.Draw(inside)
    for radius in _RIDGES:
        wide = radius + 1.7
        corners = (*at(32 - wide, 46 - wide), *at(32 + wide, 46 + wide))
        pen.ellipse(corners, outline=TIDE, width=round(3.4 * scale * unit))
    picture.paste(inside, (0, 0), fluke)
    file = BytesIO()
    picture.resize((size, size), Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()


def _outline(steps: int = 24) -> list[tuple[float, float]]:
    points, (x0, y0) = [_START], _START
    for (x1, y1), (x2, y2), (x3, y3) in _CURVES:
        for step in range(1, steps + 1):
            t = step / steps
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
            xs, ys = (x0, x1, x2, x3), (y0, y1, y2, y3)
            points.append(
                (
                    sum(w * x for w, x in zip(weights, xs, strict=True)),
                    sum(w * y for w, y in zip(weights, ys, strict=True)),
                )
            )
        x0, y0 = x3, y3
    return points
