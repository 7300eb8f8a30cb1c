"""Makes the flat fluke of one whale: its outline, pigmentation, scars and relief.

A fluke is drawn in its own plane.  u runs from the left tip (-1) to the right tip (+1), v
upwards from the root of the median notch (about 0) to the tail stock (-1.3), both in half
spans.  Seen from behind at the dive, the trailing edge is the upper rim, the two leading edges
sweep down to the tail stock, and the underside faces the camera.  All that distinguishes one
humpback from another is here: trailing edge, pigmentation, scars (Katona et al. 1979,
"Identification of humpback whales by fluke photographs"); camera, sea and light are elsewhere.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats, Values

Shape = tuple[int, int]  # rows, columns
U_EDGE = 1.08  # the plane spans -U_EDGE..U_EDGE and V_LOW..V_HIGH
V_HIGH, V_LOW = 0.42, -1.32
_LOBE_POINTS = 420  # of one trailing edge


@dataclass(frozen=True)
class Fluke:
    """The flat fluke of one whale, sampled on (h, w) pixels of `scale` px per half span.

    outline: (n, 2) float32 u, v of the rim, a closed polygon.
    cover: (h, w) float32 0..1, 1 inside the outline.
    white: (h, w) float32 0..1 reflectance of the underside, scars included.
    slope_u, slope_v: (h, w) float32 slope of the body's relief, for light that falls aslant.
    """

    outline: Floats
    cover: Floats
    white: Floats
    slope_u: Floats
    slope_v: Floats
    scale: float

    def __post_init__(self) -> None:
        for plane in (self.white, self.slope_u, self.slope_v):
            if plane.shape != self.cover.shape:
                raise ValueError(f"planes differ in shape: {plane.shape} and {self.cover.shape}")


def grow_fluke(identity_seed: int, width: int) -> Fluke:
    """Make the fluke of one whale, a function of `identity_seed` alone, sampled `width` px wide.

    Planes are (round(width * 1.74 / 2.16), width).  The same seed at another width gives the
    same animal at another resolution.
    """
    rng = np.random.default_rng([identity_seed, 0xF1])
    scale = width / (2 * U_EDGE)
    height = round(scale * (V_HIGH - V_LOW))
    outline = _outline(rng)
    cover = np.zeros((height, width), np.uint8)
    cv2.fillPoly(cover, [_fixed_point(outline, scale)], 255, cv2.LINE_AA, _SHIFT)
    # Smooth fields are made at half the resolution and enlarged before they are thresholded.
    small = (max(2, height // 2), max(2, width // 2))
    inside = cv2.distanceTransform((cover > 127).astype(np.uint8), cv2.DIST_L2, 5)
    inside = np.asarray(inside / np.float32(scale), np.float32)
    coarse = cv2.resize(inside, small[::-1], interpolation=cv2.INTER_AREA)
    rim = np.asarray(coarse, np.float32)
    u = np.linspace(-U_EDGE, U_EDGE, small[1], dtype=np.float32)[None, :]
    v = np.linspace(V_HIGH, V_LOW, small[0], dtype=np.float32)[:, None]
    white = _pigmentation(rng, u, v, rim, (height, width))
    white = _scarred(rng, white, outline, scale)
    slope_u, slope_v = _slopes(u, v, rim, scale / 2, (height, width))
    share = np.asarray(cover / np.float32(255), np.float32)
    return Fluke(outline, share, white, slope_u, slope_v, scale)


def smooth_noise(rng: np.random.Generator, shape: Shape, cells: Shape) -> Floats:
    """(h, w) noise of about unit variance whose features are h/cells[0] by w/cells[1] px."""
    grid = rng.standard_normal((max(2, cells[0]), max(2, cells[1])), dtype=np.float32)
    return np.asarray(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def smoothstep(values: Floats, low: float, high: float) -> Floats:
    """0 below `low`, 1 above `high`, 3t^2 - 2t^3 between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


_SHIFT = 5  # fractional bits of OpenCV's sub-pixel coordinates


def _fixed_point(points: Floats, scale: float) -> npt.NDArray[np.int32]:
    """(n, 2) u, v to OpenCV's fixed-point pixels."""
    pixels = np.stack([(points[:, 0] + U_EDGE) * scale, (V_HIGH - points[:, 1]) * scale], axis=1)
    return np.asarray(np.round((pixels - 0.5) * 2**_SHIFT), np.int32)


def _outline(rng: np.random.Generator) -> Floats:
    """(n, 2) rim: two lobes of the same shape but for small differences, the left mirrored."""
    shared = {
        "notch": rng.uniform(0.05, 0.15),
        "notch_width": rng.uniform(0.025, 0.07),
        "arch": rng.uniform(0.02, 0.15),
        "arch_at": rng.uniform(0.65, 1.2),
        "bow": rng.normal(0, 0.025),
        "tip": rng.uniform(-0.14, 0.16),
        "hook": rng.uniform(0.0, 0.10),
        "chord": rng.uniform(0.86, 1.14),
        "stock": rng.uniform(0.095, 0.13),
        "rough": rng.gamma(2.6, 0.26) + 0.12,
    }
    right, left = (_lobe(rng, shared) for _ in range(2))
    left = left * np.array([-1, 1], np.float32)
    return np.concatenate([right, left[::-1]]).astype(np.float32)


def _lobe(rng: np.random.Generator, shared: dict[str, float]) -> Floats:
    """(n, 2) rim of one lobe, u >= 0, from the notch to the tip and down to the tail stock."""
    own = {k: value * (1 + rng.normal(0, 0.07)) for k, value in shared.items()}
    t = np.linspace(0, 1, _LOBE_POINTS)
    edge = own["arch"] * np.sin(np.pi * t ** own["arch_at"]) + own["bow"] * np.sin(2 * np.pi * t)
    edge += own["tip"] * t**2.2 + own["hook"] * t**9
    edge += shared["notch"] * (1 - np.exp(-((t / shared["notch_width"]) ** 1.3))) - shared["notch"]
    edge += own["rough"] * _serration(rng, t)
    span = 1 + rng.normal(0, 0.012)
    u = span * t
    if rng.random() < 0.14:  # a lost tip
        cut = rng.uniform(0.90, 0.965)
        torn = (t > cut).astype(float)
        u = np.minimum(u, cut * span + 0.008 * torn * rng.standard_normal(t.size))
        edge -= torn * (t - cut) * rng.uniform(0.6, 1.6)
    tip = edge[-1]
    c, s = own["chord"], own["stock"]
    sweep = rng.normal(0, 0.02, 4)
    end = u[-1]
    lead = np.array(
        [
            (end, tip),
            (end * 0.975, tip - 0.05),
            (0.88 * end, 0.62 * tip - 0.165 * c + sweep[0]),
            (0.66, 0.25 * tip - 0.325 * c + sweep[1]),
            (0.38, -0.455 * c + sweep[2]),
            (0.20, -0.55 * c + sweep[3] / 2),
            (s * 1.15, -0.66 * c),
            (s, -0.66 * c - 0.14),
            (s * 1.4, -1.02),
            (s * 2.3, -1.32),
        ]
    )
    return np.concatenate([np.stack([u, edge], axis=1), _spline(lead, 10)[1:]]).astype(np.float32)


def _serration(rng: np.random.Generator, t: Values) -> Values:
    """Height of the serrated rim over t in 0..1: scallops between points, knobs and nicks."""
    knots = np.concatenate([[0], np.sort(rng.uniform(0.04, 0.99, rng.integers(9, 26))), [1]])
    depth = rng.gamma(1.5, 0.012, knots.size) * np.sqrt(np.diff(knots, append=1.05) * 14)
    place = np.clip(np.searchsorted(knots, t, side="right") - 1, 0, knots.size - 2)
    between = (t - knots[place]) / np.maximum(np.diff(knots)[place], 1e-6)
    height = -depth[place] * np.sin(np.pi * np.clip(between, 0, 1)) ** rng.uniform(0.7, 1.3)
    for cells, size in ((7, 0.012), (19, 0.007), (55, 0.004)):
        grid = rng.normal(0, size, cells)
        height += np.interp(t * (cells - 1), np.arange(cells), grid)
    for _ in range(rng.poisson(1.6)):  # nicks: bites of shark and killer whale, tears
        at, half = rng.uniform(0.08, 0.97), rng.uniform(0.006, 0.03)
        shape = np.clip(1 - np.abs(t - at) / half, 0, 1) ** rng.uniform(0.5, 1.2)
        height -= rng.uniform(0.03, 0.10) * shape
    return np.asarray(height * (1 - 0.75 * t**12))


def _spline(points: Values, steps: int) -> Values:
    """(m, 2) uniform Catmull-Rom curve through (k, 2) points, `steps` a segment."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        line = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
        pieces.append(line)
    return np.concatenate([*pieces, points[-1:]])


def _pigmentation(
    rng: np.random.Generator, u: Floats, v: Floats, rim: Floats, shape: Shape
) -> Floats:
    """(h, w) whiteness of the underside before scars, from all-black to almost white whales.

    u (1, m), v (n, 1) and rim (n, m), the distance to the outline, are on a coarser grid.
    """
    small = (rim.shape[0], rim.shape[1])
    kind = rng.choice(4, p=(0.2, 0.25, 0.3, 0.25))  # black, marked, mottled, white
    bias = float(np.array([-1.75, -0.75, 0.05, 0.95])[kind] + rng.normal(0, 0.22))
    field = np.full(small, bias, np.float32)
    for cells, size, symmetry in (((4, 6), 0.55, 0.6), ((9, 13), 0.38, 0.35), ((26, 36), 0.2, 0.0)):
        noise = smooth_noise(rng, small, cells)
        field += size * (symmetry * noise[:, ::-1] + (1 - symmetry) * noise)
    for side in (-1, 1):  # one patch a lobe, similar on both sides
        at = (side * rng.uniform(0.3, 0.62), rng.uniform(-0.28, -0.05))
        wide, high = rng.uniform(0.15, 0.4), rng.uniform(0.08, 0.2)
        patch = np.exp(-(((u - at[0]) / wide) ** 2)) * np.exp(-(((v - at[1]) / high) ** 2))
        field += np.float32(rng.uniform(0.3, 1.1)) * patch
    # Streaks fan out from the tail stock, like the fibres of the fluke.
    fan = rng.standard_normal((6, 140), dtype=np.float32)
    angle = (np.arctan2(u, np.maximum(v + 0.95, 1e-3)) / np.pi + 0.5) * 139
    radius = np.sqrt(u * u + (v + 0.95) ** 2) * 3.2
    streak = cv2.remap(fan, angle, radius, cv2.INTER_CUBIC, None, cv2.BORDER_REFLECT)
    field += np.float32(rng.uniform(0.05, 0.45)) * streak
    ragged = rng.uniform(0.015, 0.07) * np.exp(0.5 + 0.18 * smooth_noise(rng, small, (12, 18)))
    field -= np.float32(rng.uniform(0.5, 1.8)) * np.exp(-rim / ragged.astype(np.float32))
    wander = 1 + 0.35 * smooth_noise(rng, (small[0], 1), (9, 2))
    middle = np.maximum(np.float32(rng.uniform(0.05, 0.17)) * wander, 0.02)
    field -= np.float32(rng.uniform(0.6, 2.4)) * np.exp(-((u / middle) ** 2))
    field -= 2.2 * smoothstep(-v, 0.45, 0.72)  # the tail stock is dark
    soft = rng.uniform(0.1, 0.5)
    field = np.asarray(cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC))
    white = smoothstep(field, -soft, soft)
    grain = np.clip(smooth_noise(rng, shape, (44, 60)), -1.5, 1.5)
    dark = rng.uniform(0.035, 0.075)
    return np.asarray(dark * (1 + 0.14 * grain) + white * (0.72 + 0.07 * grain), np.float32)


def _scarred(rng: np.random.Generator, white: Floats, outline: Floats, scale: float) -> Floats:
    """Add scars to the underside: pale on black skin, dark on white."""
    scars = np.zeros(white.shape, np.uint8)

    def draw(points: Values, half_span_width: float, strength: float) -> None:
        thick = max(1, round(half_span_width * scale))
        ink = round(255 * strength * min(1.0, half_span_width * scale / thick + 0.35))
        line = _fixed_point(points.astype(np.float32), scale)
        cv2.polylines(scars, [line], False, ink, thick, cv2.LINE_AA, _SHIFT)

    def somewhere() -> Values:
        side = rng.choice((-1, 1))
        along = rng.beta(1.6, 1.6)
        inside = 0.42 * rng.random() * (1.05 - along)  # below the trailing edge
        return np.array([side * (0.08 + 0.8 * along), 0.08 - inside])

    s = np.linspace(-1, 1, 12)
    for _ in range(rng.poisson(3.2)):  # single scratches
        length, turn, bend = rng.uniform(0.05, 0.3), rng.uniform(0, np.pi), rng.normal(0, 0.15)
        line = _arc(somewhere(), length, turn, bend, s)
        draw(line, rng.uniform(0.003, 0.010), rng.uniform(0.45, 0.95))
    for _ in range(rng.poisson(1.0)):  # rake marks: the teeth of a killer whale
        at, turn, bend = somewhere(), rng.uniform(0, np.pi), rng.normal(0, 0.12)
        length, gap = rng.uniform(0.06, 0.16), rng.uniform(0.016, 0.03)
        across = np.array([-np.sin(turn), np.cos(turn)])
        for tooth in range(rng.integers(3, 7)):
            start = at + across * gap * tooth + rng.normal(0, 0.006, 2)
            line = _arc(start, length * rng.uniform(0.7, 1.1), turn, bend, s)
            draw(line, rng.uniform(0.004, 0.009), rng.uniform(0.5, 0.9))
    circle = np.linspace(0, 2 * np.pi, 14)
    for _ in range(rng.poisson(rng.choice((1.5, 7)))):  # barnacles leave rings
        at, size = somewhere(), rng.uniform(0.01, 0.032)
        ring = at + size * np.stack([np.cos(circle), 0.9 * np.sin(circle)], axis=1)
        draw(ring, rng.uniform(0.004, 0.009), rng.uniform(0.55, 0.95))
    for _ in range(rng.poisson(rng.choice((2, 10)))):  # spots
        at = somewhere()
        draw(np.stack([at, at + rng.normal(0, 0.006, 2)]), rng.uniform(0.01, 0.03), 0.8)
    ink = scars.astype(np.float32) / 255
    against = np.where(white > 0.42, np.float32(0.13), np.float32(0.62))
    return np.asarray(white + ink * (against - white), np.float32)


def _arc(at: Values, length: float, turn: float, bend: float, s: Values) -> Values:
    """(n, 2) bowed line of `length` half spans through `at`; s runs from -1 to 1."""
    along, across = length / 2 * s, length * bend * (1 - s * s)
    cos, sin = np.cos(turn), np.sin(turn)
    bowed = np.stack([cos * along - sin * across, sin * along + cos * across], axis=1)
    return np.asarray(at + bowed)


def _slopes(u: Floats, v: Floats, rim: Floats, scale: float, shape: Shape) -> tuple[Floats, Floats]:
    """(h, w) slopes of the relief: thick lobes, and a keel that runs into the tail stock."""
    body = 0.24 * np.sqrt(np.clip(rim, 0, 0.25))
    keel = 0.15 * np.exp(-((u / 0.15) ** 2)) * smoothstep(-v, 0.0, 0.75)
    relief = cv2.GaussianBlur((body + keel).astype(np.float32), (0, 0), max(0.6, 0.03 * scale))
    slopes = (
        cv2.Sobel(relief, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=sign * scale / 8)
        for dx, sign in ((1, 1), (0, -1))
    )
    u_slope, v_slope = (cv2.resize(slope, shape[::-1]) for slope in slopes)
    return np.asarray(u_slope, np.float32), np.asarray(v_slope, np.float32)
