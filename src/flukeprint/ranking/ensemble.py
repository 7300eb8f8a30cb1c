"""Combine the embeddings of several networks into one."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flukeprint.data.embeddings import PRECISIONS, Embeddings
from flukeprint.errors import FlukeprintError


def ensemble(parts: Sequence[Embeddings], weights: Sequence[float] | None = None) -> Embeddings:
    """Concatenate several networks' embeddings of the same photographs, weighted.

    The cosine of two results is the weighted mean of the networks' cosines: each part is
    multiplied by the root of its weight's share.  The stamp is a digest of stamps and shares.

    Args:
        parts: (n, d_i) of the same photographs in the same order.
        weights: one positive number for each part; None: equal weights.

    Raises:
        FlukeprintError: different photographs, identities or views, or weights that do not fit.
    """
    if not parts:
        raise FlukeprintError("an ensemble needs the embeddings of one network or more")
    shares = shares_of(weights, len(parts))
    first = parts[0]
    for number, part in enumerate(parts[1:], start=2):
        for name in ("images", "identities", "views"):
            if getattr(part, name) != getattr(first, name):
                raise FlukeprintError(
                    f"part {number} of the ensemble has other {name} than part 1; "
                    "embed the same photos in the same order with every network"
                )
    facts = [[part.stamp, f"{share:.9f}"] for part, share in zip(parts, shares, strict=True)]
    return Embeddings(
        vectors=np.concatenate(
            [
                part.vectors * np.float32(np.sqrt(share))
                for part, share in zip(parts, shares, strict=True)
            ],
            axis=1,
        ),
        images=first.images,
        identities=first.identities,
        views=first.views,
        stamp=hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16],
        precision=max((part.precision for part in parts), key=PRECISIONS.index),
    )


def ensemble_centers(
    parts: Sequence[Embeddings], weights: Sequence[float] | None = None
) -> Embeddings:
    """Combine the class centres of several networks, as `ensemble` does the photographs.

    A class may have other numbers of centres in each network: every choice of one of each is a
    row.  So the cosine of a photograph to the nearest row of a class is the weighted mean of its
    cosines to the nearest centre of each network.  Classes that a network lacks are left out.

    Args:
        parts: (m_i, d_i), `identities` naming the classes.
        weights: as of `ensemble`.
    """
    places: list[dict[str, list[int]]] = []
    for part in parts:
        places.append({})
        for row, name in enumerate(part.identities):
            if name is not None:
                places[-1].setdefault(name, []).append(row)
    common = sorted(set.intersection(*(set(rows) for rows in places)))
    chosen = [
        (name, rows)
        for name in common
        for rows in itertools.product(*(of_part[name] for of_part in places))
    ]
    names = tuple(name for name, _ in chosen)
    images = tuple(f"centers {rows} of {name}" for name, rows in chosen)
    picked = [
        replace(
            part.take(np.array([rows[place] for _, rows in chosen], dtype=np.int64)),
            images=images, identities=names, views=None,
        )
        for place, part in enumerate(parts)
    ]  # fmt: skip
    return ensemble(picked, weights)


def shares_of(weights: Sequence[float] | None, parts: int) -> list[float]:
    """The share of each of `parts` networks; equal ones without weights.

    Raises:
        FlukeprintError: not one weight above 0 for each.
    """
    given = [1.0] * parts if weights is None else [float(weight) for weight in weights]
    if len(given) != parts or not all(0 < weight < np.inf for weight in given):
        raise FlukeprintError(f"an ensemble of {parts} needs as many weights above 0, not {given}")
    return [weight / sum(given) for weight in given]


def read_weights(text: str | None, parts: int) -> list[float] | None:
    """The weights of a command's `--weights 2,1`, one for each of `parts` networks.

    Raises:
        FlukeprintError: something else.
    """
    if text is None:
        return None
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        raise FlukeprintError(
            f"--weights {text}: expected numbers with commas between, such as 2,1"
        ) from None
    if parts < 2:
        raise FlukeprintError(f"--weights {text}: one alone has no weight; name several")
    shares_of(weights, parts)
    return weights
