"""Section: what the network looked at in some pairs, beside the keypoints that agree in them."""

import tempfile
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.decoding import Pixels, decode_row
from flukeprint.data.embeddings import Values
from flukeprint.embedding.photos import PhotoCache, varied
from flukeprint.errors import counted
from flukeprint.evaluation.plots import draw_matches
from flukeprint.evaluation.report.charts import Part, Picture
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.answers import nearest_of, pick
from flukeprint.identifier.build import measured_identifier
from flukeprint.identifier.reports.attention import cosine_of, gradient_map, occlusion_map
from flukeprint.identifier.runs import Run
from flukeprint.models.network import FlukeNet
from flukeprint.pictures import shortened
from flukeprint.ranking.local.lightglue import keypoint_backend

RED, BLUE = (206, 34, 34), (33, 102, 204)
WIDTH = 1000  # px of a picture
QUALITY = 80
STRONGEST = 0.8  # opacity of the largest value of a map


@dataclass(frozen=True)
class _Pair:
    """A query and a photograph of the gallery, as rows of the catalogue."""

    name: str
    title: str
    query: int
    answer: int


def looked_at(run: RunMaterial) -> Part | None:
    """Maps and keypoints of a few pairs; None where no query has a known animal as first answer."""
    pairs = _chosen(run)
    if not pairs:
        return None
    # The network to which these queries were new.
    net = measured_identifier(Run(run.folder)).net.eval()
    cache = PhotoCache(run.catalog, run.config.image)
    pictures = []
    for pair in pairs:
        seen = (_input(run, cache, pair.query), _input(run, cache, pair.answer))
        shown = (_display(run, pair.query, seen[0]), _display(run, pair.answer, seen[1]))
        picture = _maps(run, net, pair, seen, shown)
        matches, said = _keypoints(run, pair)
        if matches is None:
            pictures.append(replace(picture, caption=f"{picture.caption} {said}"))
        else:
            pictures += [picture, matches]
    return Part("looked-at", "What the network looked at", _explained(net), tuple(pictures))


def _explained(net: FlukeNet) -> tuple[str, ...]:
    gradient = (
        " The gradient map shows what each cell of the network's last feature map adds to the "
        "similarity, to first order; it is coarse, and a cell sees more of the photograph than its "
        "place."
        if net.layout.kind != "tokens"
        else " This backbone has no feature map, so there is no gradient map."
    )
    return (
        "For a pair, a patch of one photograph is covered with its mean colour, and the cosine of "
        "the two embeddings is computed again (occlusion map). Red: covering it makes the two less "
        "alike, so the network relies on what is there. Blue: covering it makes them more alike. "
        "No colour: it does not matter; the strongest colour is the largest change of the pair."
        f"{gradient}",
        "Such maps show where, not why: they cannot tell whether a stripe, its shape or the light "
        "on it counts. Where two parts carry the same information, covering one of them changes "
        "little, and a grey patch is itself something that the network never saw. Red, or "
        "keypoints that agree, on the background are a warning: a place or a day may be "
        "recognised instead of an animal.",
    )


def _chosen(run: RunMaterial) -> list[_Pair]:
    """The surest right, the surest wrong and a random right answer, where there are such."""
    names = run.validation.ranking.identities

    def right(truth: str | None, first: str | None) -> bool:
        return truth is not None and first == truth

    def wrong(truth: str | None, first: str | None) -> bool:
        return first is not None and first != truth

    rights, wrongs = pick(run, right, True, len(names)), pick(run, wrong, True, 1)
    drawn = rights[1:]
    rng = np.random.default_rng(0)
    wanted = [
        ("right", "Surest right answer", rights[:1]),
        ("wrong", "Surest wrong answer", wrongs),
        (
            "random", "A right answer, drawn at random",
            [drawn[int(rng.integers(len(drawn)))]] if drawn else [],
        ),
    ]  # fmt: skip
    pairs = []
    for name, title, places in wanted:
        for place in places:
            first = names[place][0]
            assert first is not None
            answer = nearest_of(run, place, first)
            pairs.append(_Pair(name, title, int(run.queries[place]), answer))
    return pairs


def _input(run: RunMaterial, cache: PhotoCache, row: int) -> Pixels:
    """What the network sees of a photograph (h, w, 3), without test-time augmentation."""
    image = run.config.image
    turned = run.catalog.in_views(image.mirror_views)[row]
    seen = varied(cache[row], (image.height, image.width), mirrored=turned, zoom=1)
    return np.ascontiguousarray(seen)


def _display(run: RunMaterial, row: int, seen: Pixels) -> Pixels:
    """The photograph in its own shape where the network's input is all of it, else that input."""
    if run.config.image.resize != "stretch":
        return seen
    return _oriented(run, row)


def _oriented(run: RunMaterial, row: int) -> Pixels:
    pixels = decode_row(run.catalog, row)
    turned = run.catalog.in_views(run.config.image.mirror_views)[row]
    return np.ascontiguousarray(pixels[:, ::-1]) if turned else pixels


def _maps(
    run: RunMaterial,
    net: FlukeNet,
    pair: _Pair,
    seen: tuple[Pixels, Pixels],
    shown: tuple[Pixels, Pixels],
) -> Picture:
    """The picture of a pair's maps."""
    covered = [occlusion_map(net.embed, seen[i], seen[1 - i]) for i in (0, 1)]
    gradients = [gradient_map(net, seen[i], seen[1 - i]) for i in (0, 1)]
    cosine = cosine_of(net.embed, *seen)
    columns: list[tuple[str, list[Pixels]]] = [("photograph", list(shown))]
    columns.append(("occlusion map", _overlaid(shown, covered)))
    if gradients[0] is not None and gradients[1] is not None:
        columns.append(("gradient map", _overlaid(shown, [gradients[0], gradients[1]])))
    label = run.config.data.new_label
    names = [run.catalog.identities[row] or label for row in (pair.query, pair.answer)]
    below = (f"query: {shortened(names[0], 24)}", f"answer: {shortened(names[1], 24)}")
    file = _drawn(columns, below)
    most = max(float(one.max()) for one in covered)
    least = min(float(one.min()) for one in covered)
    said = (
        f"{pair.title}: {shortened(names[0], 40)} is taken for {shortened(names[1], 40)}, cosine "
        f"{cosine:.2f} without test-time augmentation. Covering the most important part takes "
        f"{most:.2f} of it"
        + (f"; covering another part adds {-least:.2f}." if least < -0.005 else ".")
    )
    alt = f"Maps of a query of {names[0]} and its answer {names[1]}. {said}"
    return Picture(f"looked-at-{pair.name}", alt, said, file)


def _overlaid(photos: tuple[Pixels, Pixels], maps: list[Values]) -> list[Pixels]:
    """Both photographs in grey under their maps, in one scale of colour for both."""
    scale = max(float(np.abs(values).max()) for values in maps)
    return [overlay(photo, values, scale) for photo, values in zip(photos, maps, strict=True)]


def overlay(photo: Pixels, values: Values, scale: float) -> Pixels:
    """A photograph (h, w, 3) in grey under a map of any size: red above 0, blue below.

    scale: the absolute value with the strongest colour; 0 shows the photograph alone.
    """
    height, width = photo.shape[:2]
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    smooth = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    strength = np.clip(smooth / scale, -1, 1) if scale > 0 else np.zeros((height, width))
    opacity = STRONGEST * np.abs(strength)[..., None]
    colour = np.where(strength[..., None] > 0, np.array(RED), np.array(BLUE))
    return np.rint((1 - opacity) * grey + opacity * colour).astype(np.uint8)


def _drawn(columns: list[tuple[str, list[Pixels]]], rows: tuple[str, str]) -> bytes:
    """A grid of photographs as a JPEG."""
    aspects = [min(1.6, max(0.4, h / w)) for h, w, _ in (photo.shape for photo in columns[0][1])]
    dpi = 100
    side = WIDTH / dpi / len(columns)
    size = (WIDTH / dpi, side * sum(aspects) + 0.9)
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    ratios: Any = {"height_ratios": aspects}
    axes = figure.subplots(2, len(columns), squeeze=False, gridspec_kw=ratios)
    for column, (title, photos) in enumerate(columns):
        axes[0][column].set_title(title, fontsize=13)
        for row, photo in enumerate(photos):
            axis = axes[row][column]
            axis.imshow(photo)
            axis.set(xticks=[], yticks=[])
            if column == 0:
                axis.set_xlabel(rows[row], fontsize=12, parse_math=False)
    out = BytesIO()
    figure.savefig(out, format="jpeg", pil_kwargs={"quality": QUALITY})
    return out.getvalue()


def _keypoints(run: RunMaterial, pair: _Pair) -> tuple[Picture | None, str]:
    """The keypoints that agree in a pair as a picture, None where there are none; and in words."""
    local = run.config.rank.local
    settings = local if local.candidates else LocalConfig()
    backend = keypoint_backend(settings)
    photos = (_oriented(run, pair.query), _oriented(run, pair.answer))
    keypoints = (backend.extract(photos[0]), backend.extract(photos[1]))
    found = backend.match(*keypoints)
    used = "" if local.candidates else ", which this run does not rank by"
    if not found.count:
        return None, (
            f"No keypoints ({settings.matcher}{used}) of this pair agree in one geometry, of "
            f"{len(keypoints[0]):,} and {len(keypoints[1]):,}."
        )
    said = (
        f"{counted(found.count, 'keypoint')} of this pair ({settings.matcher}{used}) agree in one "
        f"geometry, of {len(keypoints[0]):,} and {len(keypoints[1]):,}."
    )
    names = (run.catalog.images[pair.query], run.catalog.images[pair.answer])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "matches.png"
        draw_matches(photos, keypoints, found, names, target, title=pair.title)
        file = _smaller(target)
    return Picture(f"keypoints-{pair.name}", f"{pair.title}: {said}", said, file), said


def _smaller(picture: Path) -> bytes:
    out = BytesIO()
    with Image.open(picture) as drawn:
        height = round(drawn.height * WIDTH / drawn.width)
        small = drawn.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
        small.save(out, format="jpeg", quality=QUALITY)
    return out.getvalue()
