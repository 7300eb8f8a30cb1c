"""Section: the hardest triplets of the training photographs, which another training can draw."""

import numpy as np

from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import (
    Chart,
    Histogram,
    Mark,
    Part,
    PhotoRow,
    PhotoRows,
    Shown,
)
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.studies.triplets import MOST, TRIPLETS

SHOWN = 12  # triplets with photographs
EACH = 2  # most of them with one photograph in them


def hardest_triplets(run: RunMaterial) -> Part | None:
    """The worst triplets with their distances; None where no photograph can be an anchor."""
    found = run.triplets
    if not found.anchors:
        return None
    margin = f"margin {found.margin:g}"
    lines = [
        "A triplet is an anchor, another photograph of its animal (the positive) and one of "
        "another animal (the negative). The anchor should be nearer to its positive, by the "
        f"{margin} at least. By how much it is not is the violation: distance to the positive - "
        "distance to the negative + margin; a distance is 0 for equal embeddings and 2 for "
        "opposite ones.",
        f"Of {counted(found.anchors, 'training photograph')} that can be an anchor, {len(found):,} "
        f"({len(found) / found.anchors:.0%}) violate the {margin} with their furthest positive and "
        "nearest negative. Copies and photographs of one burst are no positives. The queries of "
        "the fold are not among them.",
    ]
    if not len(found):
        lines.append("So there is nothing to export for another training.")
        return Part("triplets", "Hardest triplets", tuple(lines))
    wrong = int((found.violation > found.margin).sum())
    lines += [
        f"For {counted(wrong, 'anchor')} of these the negative is even nearer than the positive.",
        f"The worst {min(MOST, len(found)):,} are in {TRIPLETS}, beside this page: "
        f"sampler.triplets=RUN/{TRIPLETS}, with the folder of this run for RUN, lets another "
        "training of the same fold draw them. Look first: the worst triplets are often wrong "
        "labels or photographs that show little, and drawing those teaches mistakes.",
    ]
    return Part("triplets", "Hardest triplets", tuple(lines), (_violations(run), _worst(run)))


def _violations(run: RunMaterial) -> Chart:
    found = run.triplets
    edges = np.linspace(0, max(float(found.violation.max()), found.margin) * (1 + 1e-9), 31)
    shares = np.histogram(found.violation, edges)[0] / found.anchors
    return Chart(
        name="triplet-violations",
        title="How far the margin is violated",
        caption=f"Each of {counted(len(found), 'anchor')} with its hardest triplet, as shares of "
        f"the {found.anchors:,} that have one. Right of the line the negative is nearer than the "
        f"positive. The median is {np.median(found.violation):.2f}, the worst "
        f"{found.violation[0]:.2f}.",
        layers=(Histogram("hardest triplets", edges, np.asarray(shares, dtype=np.float64)),),
        x="violation",
        y="share of anchors",
        marks=(Mark("x", found.margin, "negative as near as positive"),),
    )


def _worst(run: RunMaterial) -> PhotoRows:
    found = run.triplets
    used: dict[int, int] = {}
    chosen = []
    for place, row in enumerate(found.rows.tolist()):
        if all(used.get(photo, 0) < EACH for photo in row):
            chosen.append(place)
            used.update({photo: used.get(photo, 0) + 1 for photo in row})
        if len(chosen) == SHOWN:
            break
    run.photographs.prepare(found.rows[chosen].ravel().tolist())
    rows = []
    for place in chosen:
        anchor, positive, negative = found.rows[place].tolist()
        near, far = found.positive_distance[place], found.negative_distance[place]
        rows.append(
            PhotoRow(
                f"violated by {found.violation[place]:.2f}",
                (
                    _shown(run, anchor, "anchor", "query"),
                    _shown(run, positive, f"positive, distance {near:.2f}", "right"),
                    _shown(run, negative, f"negative, distance {far:.2f}", "wrong"),
                ),
            )
        )
    return PhotoRows(
        "The worst triplets",
        f"Anchor, positive and negative; no photograph is in more than {EACH} of these rows.",
        tuple(rows),
    )


def _shown(run: RunMaterial, row: int, said: str, mark: str) -> Shown:
    catalog = run.catalog
    name = catalog.identities[row] or run.config.data.new_label
    view = catalog.views[row] if catalog.views is not None else None
    return Shown(
        (f"{name}, {view}" if view else name, said, catalog.images[row]),
        run.photographs.thumbnail(row),
        mark,  # type: ignore[arg-type]
    )
