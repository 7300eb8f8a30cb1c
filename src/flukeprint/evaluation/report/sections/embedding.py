"""Section: the embedding in two and three dimensions, to turn, and whether it has collapsed.

Photographs of the gallery and of the queries, of each map the same ones.
"""

from collections import Counter

import numpy as np

from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.data.synthetic.coloured_shapes import hexadecimal
from flukeprint.errors import counted
from flukeprint.evaluation.collapse import measure_spread
from flukeprint.evaluation.report.charts import Block, Chart, Layer, Part, Points, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.projections import (
    NEIGHBOURS,
    Projection,
    principal_axes,
    project,
    same_nearest,
    trustworthiness,
    umap_installed,
)

MOST_POINTS = (
    1200  # t-SNE in both dimensions takes 7 s of one core; it grows faster than their number
)
MOST_PHOTOS = 600  # on hover
NAMED = 4  # animals with a colour of their own
COLLAPSED_COSINE, COLLAPSED_RANK = 0.9, 2.0
_AXES = {"PCA": ("principal component 1", "component 2", "component 3")}
_OTHERS = 6  # colour of all other animals: grey
_NEW = 5

Kind = str  # gallery, query or new


def embedding(material: RunMaterial) -> Part | None:
    """The section of the embedding; None where fewer than two photographs are there."""
    rows, kinds = shown_rows(material)
    if len(rows) < 2:
        return None
    vectors = material.embeddings.vectors[rows]
    names = [material.catalog.identities[row] for row in rows]
    number = {name: i for i, name in enumerate(dict.fromkeys(n for n in names if n is not None))}
    animals = np.array([-1 if name is None else number[name] for name in names])
    axes, shares = principal_axes(vectors)
    maps = project(axes)
    photos, places = _photos(material, rows, kinds)
    hover = tuple(_hover(material, row, kind) for row, kind in zip(rows, kinds, strict=True))
    colours = _coloured(material)
    blocks: list[Block] = []
    for found in maps:
        for at in (found.flat, found.solid):
            layers = _layers(at, names, kinds, colours, hover, places)
            blocks.append(_chart(found, at, layers, photos, len(rows), shares))
    blocks.append(_table(maps, vectors, animals))
    return Part(
        anchor="embedding",
        title="The embedding",
        lines=(*_spread_lines(material), *_map_lines(material, rows, shares, maps)),
        blocks=tuple(blocks),
    )


def shown_rows(material: RunMaterial) -> tuple[Ints, list[Kind]]:
    """The photographs of the maps, as rows of the catalogue, and what each is in the fold.

    Queries and gallery; where they are more than MOST_POINTS, a part of each at random, always the
    same one: as many queries as gallery photographs, while there are.
    """
    split = material.split
    rng = np.random.default_rng(0)
    queries, gallery = rng.permutation(split.queries), rng.permutation(split.gallery)
    few = max(MOST_POINTS // 2, MOST_POINTS - len(gallery))
    queries = queries[:few]
    rows = np.sort(np.concatenate([queries, gallery[: MOST_POINTS - len(queries)]]))
    new = {
        int(row) for row, answer in zip(split.queries, split.answers, strict=True) if answer is None
    }
    asked = set(split.queries.tolist())
    kinds = [
        "new" if row in new else "query" if row in asked else "gallery" for row in rows.tolist()
    ]
    return rows, kinds


def different_cosine(vectors: Floats, animals: Ints) -> float | None:
    """Mean cosine of two photographs of different animals; None where there is one animal.

    animals: (n,) numbers; -1 is an animal of its own each time.
    """
    rows = vectors.astype(np.float64)
    total = rows.sum(axis=0)
    own = animals.copy()
    unknown = animals < 0
    own[unknown] = int(animals.max(initial=-1)) + 1 + np.arange(int(unknown.sum()))
    counts = np.bincount(own)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, own, rows)
    pairs = len(rows) ** 2 - int((counts**2).sum())
    if pairs == 0:
        return None
    return float((total @ total - (sums * sums).sum()) / pairs)


def _spread_lines(material: RunMaterial) -> tuple[str, ...]:
    every = np.concatenate([material.split.gallery, material.split.queries])
    vectors = material.embeddings.vectors[every]
    vocabulary = {name: i for i, name in enumerate(material.catalog.vocabulary())}
    named = [material.catalog.identities[row] for row in every]
    animals = np.array([-1 if name is None else vocabulary[name] for name in named])
    spread = measure_spread(vectors)
    cosine = different_cosine(vectors, animals)
    lines = [
        f"Effective rank: {spread.effective_rank:.1f} of {spread.dimensions} dimensions. It is the "
        "number of directions that the photographs use, 1 where all lie on one line (Roy and "
        "Vetterli 2007)."
    ]
    if cosine is not None:
        lines.append(
            f"Mean cosine of two photographs of different animals: {cosine:.3f}. Near 0 they "
            "point in all directions; near 1 the network gives nearly one answer for every animal."
        )
    high = cosine is not None and cosine > COLLAPSED_COSINE
    if high or spread.effective_rank < COLLAPSED_RANK:
        lines.append(
            "So the embedding has collapsed: animals can hardly be told apart by it. A smaller "
            "learning rate, another loss or easier triplets at the beginning may help."
        )
    return tuple(lines)


def _map_lines(
    material: RunMaterial, rows: Ints, shares: Values, maps: list[Projection]
) -> tuple[str, ...]:
    every = len(material.split.gallery) + len(material.split.queries)
    lines = []
    if len(rows) < every:
        lines.append(
            f"The maps show {len(rows):,} of {every:,} photographs, drawn at random (always the "
            "same ones)."
        )
    if shares.any():
        enough = int(np.searchsorted(np.cumsum(shares), 0.9 - 1e-9)) + 1
        lines.append(
            f"PCA turns the embedding so that its widest directions come first: the first two "
            f"hold {shares[:2].sum():.0%} of the variance, the first three {shares[:3].sum():.0%}, "
            f"and {counted(enough, 'direction')} would hold 90%. What the map leaves out, it does "
            "not show: animals that overlap here may be apart in the other directions."
        )
    if any(found.name == "t-SNE" for found in maps):
        lines.append(
            "t-SNE and UMAP keep neighbours together. They may tell which photographs the network "
            "takes for similar. They may not tell how far apart two groups are, how wide a group "
            "is, or how well unknown animals would be rejected: distances between groups, sizes "
            "and the axes mean nothing, and groups may be torn apart that are one."
        )
    if not umap_installed():
        lines.append("UMAP is not installed: pip install umap-learn adds its maps.")
    return tuple(lines)


def _coloured(material: RunMaterial) -> dict[str, int | str]:
    """The animals with most photographs, each with its colour; a class named red is red."""
    rows = np.concatenate([material.split.gallery, material.split.queries])
    counts = Counter(n for row in rows if (n := material.catalog.identities[row]) is not None)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: hexadecimal(name) or place for place, name in enumerate(order[:NAMED])}


def _layers(
    at: Values,
    names: list[str | None],
    kinds: list[Kind],
    colours: dict[str, int | str],
    hover: tuple[str, ...],
    places: tuple[int, ...],
) -> tuple[Layer, ...]:
    """The other animals first, so that the coloured ones lie above them."""
    wanted: list[tuple[str, str | None, Kind, int | str]] = [
        ("other animals, gallery", None, "gallery", _OTHERS),
        ("other animals, queries", None, "query", _OTHERS),
        ("queries of new animals", None, "new", _NEW),
    ]
    for animal, colour in colours.items():
        wanted += [(f"{animal}, gallery", animal, "gallery", colour)]
        wanted += [(f"{animal}, queries", animal, "query", colour)]
    symbols = {"gallery": "circle", "query": "diamond", "new": "cross"}
    layers = []
    for title, name, kind, colour in wanted:
        chosen = [
            place
            for place, (one, of) in enumerate(zip(names, kinds, strict=True))
            if of == kind and (one == name if name else kind == "new" or one not in colours)
        ]
        if chosen:
            layers.append(
                Points(
                    title, at[chosen], tuple(hover[i] for i in chosen),
                    tuple(places[i] for i in chosen), symbols[kind], colour,  # type: ignore[arg-type]
                )
            )  # fmt: skip
    return tuple(layers)


def _chart(
    found: Projection,
    at: Values,
    layers: tuple[Layer, ...],
    photos: tuple[bytes, ...],
    points: int,
    shares: Values,
) -> Chart:
    solid = at.shape[1] == 3
    where = "space, to turn" if solid else "the plane"
    x, y, z = _AXES.get(found.name, (f"{found.name} 1", f"{found.name} 2", f"{found.name} 3"))
    held = ""
    if found.name == "PCA" and shares.any():
        held = f" {shares[: at.shape[1]].sum():.0%} of the variance is seen."
    return Chart(
        name=f"embedding-{found.name.lower()}-{at.shape[1]}d",
        title=f"{found.name} in {where}",
        caption=f"{counted(points, 'photograph')}; circles are of the gallery, diamonds queries, "
        f"crosses queries of animals that the gallery lacks. The {NAMED} animals with most "
        f"photographs have a colour, all others are grey.{held} Photographs appear on hover.",
        layers=layers, x=x, y=y, z=z if solid else "", photos=photos,
    )  # fmt: skip


def _table(maps: list[Projection], vectors: Floats, animals: Ints) -> Table:
    wide = vectors.astype(np.float64)

    def share(at: Values) -> str:
        found = same_nearest(at, animals)
        return "none has two" if found is None else f"{found:.0%}"

    rows = [("embedding", f"all {vectors.shape[1]}", "1.00", share(wide))]
    rows += [
        (found.name, str(at.shape[1]), f"{trustworthiness(vectors, at):.2f}", share(at))
        for found in maps
        for at in (found.flat, found.solid)
    ]
    return Table(
        caption="How far the maps may be trusted. Trustworthiness (Venna and Kaski 2001) is 1 "
        f"where the {NEIGHBOURS} nearest photographs on the map are near in the embedding too, and "
        "about 0.5 where they are any.",
        header=("map", "dimensions", "trustworthiness", "nearest photograph is of the same animal"),
        rows=tuple(rows),
    )


def _photos(
    material: RunMaterial, rows: Ints, kinds: list[Kind]
) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """Thumbnails, and for each photograph the place of its own, -1 for none.

    Those of the animals with a colour and of queries come first.
    """
    coloured = _coloured(material)
    order = sorted(
        range(len(rows)),
        key=lambda i: (
            material.catalog.identities[rows[i]] not in coloured, kinds[i] == "gallery", i
        ),
    )[:MOST_PHOTOS]  # fmt: skip
    chosen = [int(rows[i]) for i in sorted(order)]
    material.photographs.prepare(chosen)
    photos: list[bytes] = []
    places = [-1] * len(rows)
    for i, row in zip(sorted(order), chosen, strict=True):
        photo = material.photographs.thumbnail(row)
        if photo is not None:
            places[i] = len(photos)
            photos.append(photo)
    return tuple(photos), tuple(places)


def _hover(material: RunMaterial, row: int, kind: Kind) -> str:
    catalog = material.catalog
    said = {"gallery": "gallery", "query": "query", "new": "query, not in the gallery"}[kind]
    view = catalog.views[row] if catalog.views is not None else None
    name = catalog.identities[row] or material.config.data.new_label
    return f"{name}, {view}: {catalog.images[row]} ({said})" if view else (
        f"{name}: {catalog.images[row]} ({said})"
    )  # fmt: skip
