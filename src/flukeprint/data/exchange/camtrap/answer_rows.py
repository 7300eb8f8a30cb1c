"""Observations that say which individual another observation shows, joined to it when read.

A machine's answer is an observation of its own, since the standard has one classifier for each.
Its tag `sameAs:ID` says that it is of the same animal as observation ID; without that, an animal
would be counted twice.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

import pandas as pd

from flukeprint.data.exchange.answered import MAKER
from flukeprint.data.exchange.camtrap.cells import Columns, number_in
from flukeprint.data.exchange.observed import ObservedPhoto

_SAME = re.compile(r"(?:^|\|)\s*sameAs:\s*([^|]*?)\s*(?:$|\|)")


@dataclass(frozen=True)
class Named:
    """An individual that a machine named, with the probability."""

    identity: str
    probability: float | None
    by: str


def same_as(observation: str) -> str:
    """The tag for observations of the same animal."""
    return f"sameAs:{quote(observation, safe='')}"


def told_same(tags: str | None) -> str | None:
    """The observation that a tag names; None where none does."""
    found = _SAME.search(tags) if tags else None
    return unquote(found[1]) if found and found[1] else None


def is_ours(method: str | None, by: str | None) -> bool:
    """Whether an observation is an answer that `answers.py` wrote."""
    return method == "machine" and (by or "").startswith(MAKER)


def without_answers(observations: pd.DataFrame) -> tuple[pd.DataFrame, Mapping[str, Named]]:
    """The observations without those of the same animal as others, and what these told.

    Only answers to observations that are there are taken out.
    """
    tags = observations["observationTags"]
    if not tags.str.contains("sameAs:", regex=False, na=False).any():
        return observations, {}
    cells = Columns(observations)
    there = {str(key) for key in cells["observationID"][:-1] if key is not None}
    names = ("observationTags", "classificationMethod", "classifiedBy", "individualID",
             "classificationProbability")  # fmt: skip
    keep: list[bool] = []
    named: dict[str, Named] = {}
    for tag, method, by, identity, share in zip(*(cells[name][:-1] for name in names), strict=True):
        of = told_same(tag) if is_ours(method, by) else None
        keep.append(of is None or of not in there)
        if of is not None and of in there and identity is not None:
            named[of] = Named(identity, number_in(share), by)
    return observations[keep].reset_index(drop=True), named


def with_names(
    photos: list[ObservedPhoto], ids: Sequence[str | None], named: Mapping[str, Named]
) -> list[ObservedPhoto]:
    """The photographs with the individuals that answers named, where no person did."""
    if not named:
        return photos
    found = []
    for photo, key in zip(photos, ids, strict=True):
        one = None if key is None else named.get(key)
        if one is not None and (photo.identity is None or photo.machine):
            photo = replace(
                photo, identity=one.identity, probability=one.probability, by=one.by, machine=True
            )
        found.append(photo)
    return found
