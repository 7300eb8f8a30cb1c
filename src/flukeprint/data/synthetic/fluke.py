"""Draws a photograph of a whale's fluke in the sea.

The fluke (`whale.Fluke`) is bent, rotated and set into a sea; water streams from it; then it is
lit and photographed.  All of this depends on the photo's seed alone, so only the fluke itself
shows which individual it is.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeprint.data.decoding import Pixels
from flukeprint.data.embeddings import Floats, Values
from flukeprint.data.synthetic.camera import Light, draw_light, expose
from flukeprint.data.synthetic.sea import Sea, draw_sea
from flukeprint.data.synthetic.whale import (
    U_EDGE,
    V_HIGH,
    Fluke,
    grow_fluke,
    smooth_noise,
    smoothstep,
)

_PLANE_SHARE = 1.15  # width of the flat fluke over the long side of its photo


def draw_fluke(identity_seed: int, photo_seed: int, long_side: int) -> Pixels:
    """Draw a photograph: (h, w, 3) uint8 RGB, max(h, w) <= long_side px, most about 2:1.

    The whale depends on `identity_seed`, everything else on `photo_seed`.
    """
    return photograph(flat_fluke(identity_seed, long_side), photo_seed, long_side)


def flat_fluke(identity_seed: int, long_side: int) -> Fluke:
    """Make the fluke of a whale, sampled finely enough for photographs of `long_side` px."""
    return grow_fluke(identity_seed, round(_PLANE_SHARE * long_side))


def photograph(fluke: Fluke, photo_seed: int, long_side: int) -> Pixels:
    """Photograph a fluke that is made already: `draw_fluke`'s second half, (h, w, 3) uint8 RGB."""
    rng = np.random.default_rng([photo_seed, 0x5EA])
    pose = _draw_pose(rng, fluke, long_side)
    light = draw_light(rng)
    sea = draw_sea(rng, pose.height, pose.width)
    cover, white, slope_u, slope_v = _seen(fluke, pose)
    skin = _lit_skin(rng, pose, sea, light, white, slope_u, slope_v)
    picture = _in_water(rng, pose, sea, light, cover, skin)
    return expose(rng, picture, light, long_side)


@dataclass(frozen=True)
class Pose:
    """Pose of the fluke in the frame.

    to_plane: (3, 3) homography from pixels to u, v before bending.
    droop: lift of the left and right lobe's tip, half spans.
    curl: how much the tips are turned out of view, 0 flat.
    waterline_row, foot_column: px where the tail stock enters the water.
    turn: yaw in radians, for the light.
    span: px of the half span in the picture.
    """

    height: int
    width: int
    to_plane: Values
    droop: tuple[float, float]
    curl: float
    waterline_row: float
    foot_column: float
    turn: float
    span: float


def _draw_pose(rng: np.random.Generator, fluke: Fluke, long_side: int) -> Pose:
    yaw = float(np.clip(rng.normal(0, 0.30), -0.85, 0.85))
    pitch = float(np.clip(rng.normal(0.22, 0.30), -0.6, 0.9))  # the top leans away from the camera
    roll = float(np.clip(rng.normal(0, 0.10), -0.35, 0.35))
    far = float(rng.uniform(3.5, 12))
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    lean = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation = tilt @ lean @ turn
    # Plane point (u, v, 1) about the fluke's middle to the camera, y still upwards.
    shift = np.array([[1, 0, 0], [0, 1, 0.15], [0, 0, 1]])
    project = np.column_stack([rotation[:, 0], rotation[:, 1], [0, 0, far]]) @ shift

    droop = rng.normal(0.0, 0.07) + rng.normal(0, 0.035, 2)
    curl = float(np.clip(rng.normal(0.05, 0.09), -0.12, 0.25))
    waterline = float(-rng.uniform(0.56, 1.15))
    rim = _bent(fluke.outline, (droop[0], droop[1]), curl)
    rim = rim[fluke.outline[:, 1] > max(waterline, -0.8)]  # a long stock may leave the frame
    image = np.column_stack([rim, np.ones(len(rim))]) @ project.T
    image = image[:, :2] / image[:, 2:]
    low, high = image.min(axis=0), image.max(axis=0)

    own = (high[0] - low[0]) / (high[1] - low[1])  # most photographs are cropped to the fluke
    aspect = float(np.clip(np.exp(rng.normal(0.35 * np.log(own) + 0.4, 0.22)), 1.0, 3.4))
    side = long_side if rng.random() < 0.6 else long_side * rng.uniform(0.72, 1)
    width, height = (side, side / aspect) if aspect >= 1 else (side * aspect, side)
    width, height = (max(16, round(float(length))) for length in (width, height))
    fill = rng.beta(4, 2) * 0.38 + 0.64  # of the frame; rarely a tip is cut off
    scale = fill * min(width / (high[0] - low[0]), height / (high[1] - low[1]) * 1.02)
    margin = np.array([width, height]) - scale * (high - low)
    place = margin * rng.beta(2.5, 2.5, 2)
    to_pixels = np.array(
        [[scale, 0, place[0] - scale * low[0]], [0, -scale, place[1] + scale * high[1]], [0, 0, 1]]
    )
    forward = to_pixels @ project
    foot = forward @ np.array([0, waterline, 1.0])
    return Pose(
        height=height,
        width=width,
        to_plane=np.linalg.inv(forward),
        droop=(float(droop[0]), float(droop[1])),
        curl=curl,
        waterline_row=float(foot[1] / foot[2]),
        foot_column=float(foot[0] / foot[2]),
        turn=yaw,
        span=float(scale / far),
    )


_BEND = 2.2  # tips droop more than roots


def _bent(points: Floats, droop: tuple[float, float], curl: float) -> Values:
    """(n, 2) plane points after bending: the inverse of what `_seen` does to pixels."""
    u, v = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    seen = u * (1 - curl * np.abs(u) / (1 + curl))
    lift = np.where(u < 0, droop[0], droop[1]) * np.abs(seen) ** _BEND
    return np.column_stack([seen, v + lift])


def _seen(fluke: Fluke, pose: Pose) -> tuple[Floats, Floats, Floats, Floats]:
    """Cover, whiteness and slopes of the fluke, each (h, w) float32 in the picture's pixels."""
    y, x = np.mgrid[0 : pose.height, 0 : pose.width].astype(np.float32)
    m = pose.to_plane.astype(np.float32)
    below = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    u = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / below
    v = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / below
    far = np.abs(u)
    v -= np.where(u < 0, np.float32(pose.droop[0]), np.float32(pose.droop[1])) * far**_BEND
    # Undo seen = u (1 - k |u|): the smaller root of a quadratic.
    k = np.float32(pose.curl / (1 + pose.curl))
    if abs(k) > 1e-4:
        u = np.sign(u) * (1 - np.sqrt(np.maximum(1 - 4 * k * far, 0))) / (2 * k)
    column = (u + U_EDGE) * fluke.scale - 0.5
    row = (V_HIGH - v) * fluke.scale - 0.5
    where, part = cv2.convertMaps(column, row, cv2.CV_16SC2)
    cover, white, slope_u, slope_v = (
        np.asarray(cv2.remap(plane, where, part, cv2.INTER_LINEAR), np.float32)
        for plane in (fluke.cover, fluke.white, fluke.slope_u, fluke.slope_v)
    )
    return cover, white, slope_u, slope_v


def _lit_skin(
    rng: np.random.Generator,
    pose: Pose,
    sea: Sea,
    light: Light,
    white: Floats,
    slope_u: Floats,
    slope_v: Floats,
) -> Floats:
    """(h, w, 3) linear RGB of the wet underside."""
    shape = (pose.height, pose.width)
    aslant = 2.4 * (light.across * slope_u + light.up * slope_v)
    facing = np.clip(1 - 0.35 * light.across * pose.turn + aslant, 0.25, 1.9)
    falling = light.ambient * (0.6 * sea.sky + 0.4) + light.key * facing[..., None] * light.sun
    skin = white[..., None] * light.skin_tint * falling
    # A film of water mirrors the sky in vertical streaks.
    film = smooth_noise(rng, shape, (5, max(8, round(pose.width / pose.span * 22))))
    film += 0.6 * smooth_noise(rng, shape, (14, max(8, round(pose.width / pose.span * 34))))
    gloss = light.gloss * np.clip(0.05 + 0.4 * film + 1.0 * (facing - 1), 0, 1.5)
    return np.asarray(skin + gloss[..., None] * sea.sky, np.float32)


def _in_water(
    rng: np.random.Generator, pose: Pose, sea: Sea, light: Light, cover: Floats, skin: Floats
) -> Floats:
    """(h, w, 3) linear RGB: the fluke before the sea, cut by the waterline, with foam and spray."""
    height, width, span = pose.height, pose.width, pose.span
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    swell = smooth_noise(rng, (1, width), (2, max(3, round(width / span * 4)))) * 0.018 * span
    line = pose.waterline_row + swell
    under = smoothstep(rows - line, -0.7, max(1.0, 0.02 * span))
    aside = (columns - pose.foot_column) / span
    # The dark fluke is mirrored below the line.
    glass = np.exp(-((aside / 0.5) ** 2)) * np.exp(-np.maximum(rows - line, 0) / (0.3 * span))
    broken = np.clip(0.55 + 0.35 * sea.chop, 0, 1)
    water = sea.picture * (1 - rng.uniform(0, 0.55) * glass * broken * under)[..., None]
    seen = (cover * (1 - under))[..., None]
    picture = water + seen * (skin - water)

    clear = 1 - _streams(rng, pose, cover * (1 - under), line)  # share not hidden by white water
    clear *= 1 - _drops(rng, pose)
    froth = 0.5 * smooth_noise(rng, (height, width), _cells(pose, 11, 9))
    froth += 0.6 * smooth_noise(rng, (height, width), _cells(pose, 30, 24))
    if rng.random() < 0.85:  # foam where the stock cuts the surface, mist above it
        wide, high = rng.uniform(0.1, 0.8), rng.uniform(0.015, 0.1)
        near = np.exp(-((aside / wide) ** 2)) * np.exp(-np.abs((rows - line) / (high * span)))
        foam = smoothstep(froth + 3.2 * near, 0.8, 2.8) * smoothstep(near, 0.0, 0.4)
        clear *= 1 - rng.uniform(0.5, 0.95) * foam
        mist = np.clip(0.7 + 0.4 * froth, 0, 1) * np.sqrt(near)
        clear *= 1 - rng.uniform(0, 0.55) * mist
    bright = light.white_water * (0.5 * sea.sky + 0.5 * light.sun)
    return np.asarray(bright + clear[..., None] * (picture - bright), np.float32)


def _cells(pose: Pose, down: float, across: float) -> tuple[int, int]:
    """Noise cells of a picture such that features keep their size on the animal."""
    return round(pose.height / pose.span * down), round(pose.width / pose.span * across)


def _streams(rng: np.random.Generator, pose: Pose, cover: Floats, line: Floats) -> Floats:
    """(h, w) 0..1 white water that falls from the leading edges."""
    shape = (pose.height, pose.width)
    rows = np.arange(pose.height, dtype=np.float32)[:, None]
    solid = cover > 0.5
    lowest = (pose.height - 1 - np.argmax(solid[::-1], axis=0)).astype(np.float32)[None, :]
    wet = np.asarray(solid.any(axis=0))[None, :]
    per_span = pose.width / pose.span
    uneven = 0.6 + 0.6 * smooth_noise(rng, (1, shape[1]), (2, round(per_span * 9)))
    length = np.maximum(rng.gamma(1.6, 0.13) * uneven, 0.01) * pose.span
    fallen = (rows - lowest) / length
    falling = wet & (fallen > -0.12) & (fallen < 1)
    strands = smooth_noise(rng, shape, (round(pose.height / pose.span * 5), round(per_span * 42)))
    strands += 0.6 * smooth_noise(rng, shape, _cells(pose, 16, 60))
    body = smoothstep(strands + rng.uniform(-0.9, 0.7), 0.1, 1.5) * np.clip(1 - fallen, 0, 1)
    return np.asarray(rng.uniform(0.15, 0.8) * body * falling * (rows < line + 1), np.float32)


def _drops(rng: np.random.Generator, pose: Pose) -> Floats:
    """(h, w) 0..1 flying drops, some torn into short strokes."""
    spray = np.zeros((pose.height, pose.width), np.uint8)
    count = int(rng.gamma(0.9, 50))
    x = pose.foot_column + pose.span * rng.normal(0, 0.5, count)
    y = pose.waterline_row + pose.span * (rng.normal(0, 0.12, count) - rng.exponential(0.2, count))
    radius = np.minimum(0.002 * rng.pareto(2.4, count) + 0.001, 0.012) * pose.span
    fall = rng.uniform(0, 0.04) * pose.span * rng.random(count)
    for i in range(count):
        thick = max(1, round(2 * radius[i]))
        ink = round(225 * min(1.0, 2 * radius[i] / thick + 0.15))
        start = (round(x[i] * 16), round(y[i] * 16))
        end = (round(x[i] * 16), round((y[i] + fall[i]) * 16))
        cv2.line(spray, start, end, ink, thick, cv2.LINE_AA, 4)
    return np.asarray(spray / np.float32(255), np.float32)
