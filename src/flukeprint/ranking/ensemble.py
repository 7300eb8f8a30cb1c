"""Combine the embeddings of several networks into one."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from flukeprint.data.embeddings import Embeddings
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
    given = [1.0] * len(parts) if weights is None else [float(weight) for weight in weights]
    if len(given) != len(parts) or not all(0 < weight < np.inf for weight in given):
        raise FlukeprintError(
            f"an ensemble of {len(parts)} needs as many weights above 0, not {given}"
        )
    first = parts[0]
    for number, part in enumerate(parts[1:], start=2):
        for name in ("images", "identities", "views"):
            if getattr(part, name) != getattr(first, name):
                raise FlukeprintError(
                    f"part {number} of the ensemble has other {name} than part 1; "
                    "embed the same photos in the same order with every network"
                )
    shares = [weight / sum(given) for weight in given]
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
    )
