"""Classes, cards, map, thumbnails, neighbours and examples over HTTP."""

import csv
import io
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from flukeprint.identifier.identifier import Identifier
from tests.serving.api.http_client import SECRET, connected, secretive, well
from tests.serving.served import Served


def test_classes_and_cards_are_those_of_the_tables(
    client: httpx2.Client, known: Identifier, identifier: Path
) -> None:
    tables = identifier.parents[3]
    with (tables / "cards.csv").open(newline="") as file:
        cards = {row["class"]: row for row in csv.DictReader(file)}
    with (tables / "taxonomy.csv").open(newline="") as file:
        lineages = {row.pop("class"): row for row in csv.DictReader(file)}
    names = list(known.gallery.identities)
    found = []
    while page := well(client.get(f"/v1/classes?offset={len(found)}&limit=23")):
        assert page["total"] == len(set(names))
        assert page["offset"] == len(found)
        if not page["classes"]:
            break
        found += page["classes"]
    assert [one["identity"] for one in found] == sorted(set(names))
    for one in found:
        name = one["identity"]
        assert one["photos"] == names.count(name)
        assert one["photo"] == names.index(name)
        row = cards.get(name)
        if row is None:
            assert one["card"] is None
            continue
        assert one["card"] == {
            "name": row["name"],
            "rank": "genus",
            "common_name": {"en": row["common_en"], "es": row["common_es"]},
            "lineage": lineages[name],
            "where": {"en": "In tests", "es": "En pruebas"},
            "medically_important": row["medical"] or None,
            "note": None,
            "advice": None,
            "call": None,
            "source": None,
            "credit": None,
        }
    assert sum(one["card"] is None for one in found) == 1


def test_similar_photographs_by_plain_arithmetic(client: httpx2.Client, known: Identifier) -> None:
    vectors = known.gallery.vectors.astype(np.float64)
    for row, most in ((0, 48), (60, 1), (len(vectors) - 1, 12)):
        cosines = vectors @ vectors[row]
        order = [i for i in np.argsort(-cosines, kind="stable").tolist() if i != row][:most]
        found = well(client.get(f"/v1/photos/{row}/similar?most={most}"))
        assert (found["photo"], found["identity"]) == (row, known.gallery.identities[row])
        assert [one["photo"] for one in found["similar"]] == order
        for one in found["similar"]:
            assert one["score"] == pytest.approx(cosines[one["photo"]], abs=1e-6)
            assert one["identity"] == known.gallery.identities[one["photo"]]


def test_pictures_and_map_are_the_showcases(client: httpx2.Client, known: Identifier) -> None:
    shown = known.showcase
    assert shown is not None
    for row in (0, 17, len(shown) - 1):
        picture = client.get(f"/v1/photos/{row}")
        assert picture.headers["content-type"] == "image/jpeg"
        assert picture.content == shown.thumbnails[row]
    assert well(client.get("/v1/examples")) == {"count": len(shown.examples)}
    for number in range(len(shown.examples)):
        assert client.get(f"/v1/examples/{number}").content == shown.examples[number]
    places = well(client.get("/v1/map"))
    assert places["photos"] == list(range(len(known.gallery)))
    assert places["identities"] == list(known.gallery.identities)
    drawn = np.stack([places["x"], places["y"]], axis=1)
    assert drawn == pytest.approx(shown.xy, abs=5.1e-5)


def test_examples_of_a_folder_tell_nothing_but_their_pixels(limited: Served) -> None:
    with connected(limited) as client:
        assert well(client.get("/v1/examples")) == {"count": 2}
        first, second = (client.get(f"/v1/examples/{number}").content for number in range(2))
        assert Image.open(io.BytesIO(second)).size == (99, 99)
        assert Image.open(io.BytesIO(first)).size == Image.open(io.BytesIO(secretive())).size
        assert SECRET.encode() not in first
        assert not Image.open(io.BytesIO(first)).getexif()
