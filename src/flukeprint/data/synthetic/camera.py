"""Simulates the light and the camera of a drawn photograph.

`draw_light` chooses how the scene is lit, before it is drawn; `expose` turns its linear RGB into
pixels, with haze, exposure, colour, blur, grain and burnt-in text.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeprint.data.decoding import Pixels
from flukeprint.data.embeddings import Floats
from flukeprint.data.synthetic.whale import smooth_noise


@dataclass(frozen=True)
class Light:
    """The lighting of a scene.  Colours are (3,) float32 linear RGB.

    across, up: direction of the key light on the fluke's plane, about -1..1.
    key, ambient, gloss, white_water: strengths; key near 0 is a backlit fluke.
    sun: colour of the key light.
    skin_tint: colour cast of the skin; diatoms make it yellow.
    """

    across: float
    up: float
    key: float
    ambient: float
    gloss: float
    white_water: float
    sun: Floats
    skin_tint: Floats


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a lighting at random: front-lit, overcast or backlit."""
    turn = rng.uniform(0, 2 * np.pi)
    backlit = rng.random() < 0.16
    warm = rng.normal(0, 0.10)
    diatoms = max(0.0, rng.normal(0, 0.14))
    return Light(
        across=float(np.cos(turn)),
        up=float(np.sin(turn)) * 0.6 + 0.4,
        key=float(rng.uniform(0.03, 0.14) if backlit else rng.uniform(0.25, 1.0)),
        ambient=float(rng.uniform(0.12, 0.3) if backlit else rng.uniform(0.2, 0.6)),
        gloss=float(rng.gamma(1.2, 0.03)),
        white_water=float(rng.uniform(0.65, 1.15)),
        sun=np.array([1 + warm, 1, 1 - warm], np.float32),
        skin_tint=np.array([1 - 0.2 * diatoms, 1 - 0.35 * diatoms, 1 - 1.3 * diatoms], np.float32),
    )


def expose(rng: np.random.Generator, picture: Floats, light: Light, long_side: int) -> Pixels:
    """Photograph the linear RGB `picture` with a random camera: (h, w, 3) uint8 RGB.

    Blur and grain are in units of `long_side`, so that a small drawing looks like a large one.
    """
    height, width = picture.shape[:2]
    grey_level = float(np.clip(picture.mean(), 0.02, 2))
    # The camera meters towards middle grey, neither fully nor exactly.
    gain = (0.19 / grey_level) ** rng.uniform(0.35, 0.85) * np.exp2(rng.normal(0.05, 0.5))
    image = np.maximum(picture, 0) * np.float32(gain)
    if rng.random() < 0.25:  # haze, salt on the lens
        image += np.float32(rng.uniform(0.01, 0.1)) * (0.9 + 0.1 * light.sun)
    if rng.random() < 0.35:  # vignette
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        image *= (1 - np.float32(rng.uniform(0.1, 0.45)) * (x * x + y * y) / 2)[..., None]
    image = image / (1 + np.float32(0.18) * image)  # film's shoulder
    image = np.clip(image, 0, 1) ** np.float32(rng.uniform(0.38, 0.58))
    image = _blurred(rng, image, long_side)
    image *= np.exp(rng.normal(0, (0.04, 0.02, 0.05))).astype(np.float32)  # white balance
    luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)[..., None]
    if rng.random() < 0.16:  # black-and-white film, some of it toned
        toned = 0.02 if rng.random() < 0.4 else 0.0
        image = luma * np.exp(toned * rng.standard_normal(3)).astype(np.float32)
        coloured = toned > 0
    else:
        image = luma + np.float32(rng.uniform(0.35, 1.15)) * (image - luma)
        coloured = True
    contrast = np.float32(rng.uniform(0.8, 1.25))
    image = 0.45 + contrast * (image - 0.45)
    image += _grain(rng, height, width, coloured)
    pixels = np.asarray(np.clip(np.round(image * 255), 0, 255), np.uint8)
    if rng.random() < 0.13:
        _burn_text(rng, pixels)
    return pixels


def jpeg_quality(photo_seed: int) -> int:
    """JPEG quality of a photo, 38..94, a function of its seed."""
    return int(np.random.default_rng([photo_seed, 0x19E6]).triangular(38, 85, 95))


def _blurred(rng: np.random.Generator, image: Floats, long_side: int) -> Floats:
    """Add defocus to all photographs and camera shake to some."""
    sigma = rng.gamma(1.3, 0.42) * long_side / 320
    if sigma > 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), min(sigma, 2.2 * long_side / 320)))
    if rng.random() < 0.18:
        reach = rng.uniform(1.5, 6) * long_side / 320
        turn = rng.uniform(0, np.pi)
        half = int(np.ceil(reach / 2)) + 1
        kernel = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        end = np.array([np.cos(turn), np.sin(turn)]) * reach / 2
        start, stop = (np.round((half + sign * end) * 16).astype(int).tolist() for sign in (-1, 1))
        cv2.line(kernel, start, stop, 255, 1, cv2.LINE_AA, 4)
        weights = kernel.astype(np.float32) / kernel.sum()
        image = np.asarray(cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_REFLECT))
    return image


def _grain(rng: np.random.Generator, height: int, width: int, coloured: bool) -> Floats:
    """(h, w, 3) or (h, w, 1) noise of sensor or film."""
    size = np.float32(rng.gamma(1.5, 0.012))
    if not coloured or rng.random() < 0.5:
        return rng.standard_normal((height, width, 1), dtype=np.float32) * size
    noise = rng.standard_normal((height, width, 3), dtype=np.float32) * (0.7 * size)
    blotch = smooth_noise(rng, (height, width), (height // 3, width // 3))
    return np.asarray(noise + (0.5 * size * blotch)[..., None], np.float32)


def _burn_text(rng: np.random.Generator, pixels: Pixels) -> None:
    """Print a date, film or catalogue number in a corner, independent of the whale."""
    height, width = pixels.shape[:2]
    text = (
        f"{rng.integers(1, 29):02d}/{rng.integers(1, 13):02d}/{rng.integers(1984, 2018)}",
        f"HW-{rng.integers(1, 10000):04d}",
        f"Roll {rng.integers(1, 60)} Frame {rng.integers(1, 37)}",
        f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d} #{rng.integers(1000)}",
    )[rng.integers(4)]
    size = max(0.2, width / 800 * rng.uniform(0.8, 1.8))
    font = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)[
        rng.integers(3)
    ]
    (wide, high), _ = cv2.getTextSize(text, font, size, 1)
    x = (4, max(4, width - wide - 4))[rng.integers(2)]
    y = (high + 4, height - 5)[rng.integers(2)]
    colour = ((255, 255, 255), (255, 190, 60), (10, 10, 10), (230, 40, 30))[rng.integers(4)]
    cv2.putText(pixels, text, (x, y), font, size, colour, 1, cv2.LINE_AA)
