"""The facts of the service, of a complete identifier and of one that lacks most of them."""

import json
from dataclasses import replace

import httpx2
from fastapi.testclient import TestClient

from flukeprint.config.schema import ServeConfig
from flukeprint.identifier.identifier import Identifier
from flukeprint.serving.server import assemble
from flukeprint.serving.service import Service
from tests.serving.api.http_client import noise, well
from tests.serving.served import photo


def test_about_tells_the_facts(client: httpx2.Client, known: Identifier) -> None:
    found = well(client.get("/v1/about"))
    card = known.card
    assert card.measured is not None
    assert card.verifier is not None
    assert card.outside is not None
    wanted = {
        "name": "shapes", "title": "shapes", "backbone": "test_resnet", "model": card.stamp,
        "embedding_dim": known.gallery.vectors.shape[1], "classes": len(known.identities),
        "photos": len(known.gallery), "thumbnails": True, "new_label": "new_whale",
        "threshold": card.threshold, "outside": card.outside.floor, "confidence": 0.5,
        "ranks": ["genus", "family"], "calibrated": True, "enroll": False,
        "max_bytes": 20 * 2**20, "max_pixels": 60_000_000, "max_photos": 8,
        "max_request_bytes": 64 * 2**20, "accuracy": json.loads(card.measured.model_dump_json()),
        "measured_by": None,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    assert found["parameters"] == sum(p.numel() for p in known.net.parameters())
    assert found["verify"]["threshold"] == card.verifier.at(0.01).threshold
    assert {"JPEG", "HEIF", "AVIF"} <= set(found["formats"])
    assert well(client.get("/v1/health")) == {"status": "ok"}
    assert well(client.get("/v1/ready")) == {"status": "ready"}


def test_an_identifier_that_knows_less_is_served_as_well(known: Identifier) -> None:
    """Without thumbnails, calibration, threshold and pairs, as an earlier version saved it."""
    nothing = dict.fromkeys(("calibration", "threshold", "verifier", "outside", "measured"))
    bare = replace(known, showcase=None, card=known.card.model_copy(update=nothing))
    with TestClient(assemble(Service(bare, ServeConfig())), "http://localhost") as client:
        about = client.get("/v1/about").json()
        for name in ("threshold", "outside", "confidence", "accuracy", "verify"):
            assert about[name] is None
        assert (about["thumbnails"], about["calibrated"], about["ranks"]) == (False, False, [])
        assert client.get("/v1/examples").json() == {"count": 0}
        for path in ("map", "photos/0", "examples/0"):
            assert client.get(f"/v1/{path}").status_code == 404
        files = [("photos", noise(48)), ("photos", photo())]
        assert client.post("/v1/verify", files=files).status_code == 409
        found = client.post("/v1/identify", files=files).json()
        assert found["verdict"] == "known"
        assert found["placement"] is found["probability_unknown"] is None
        assert len(found["answers"]) == 5
        for one in found["answers"]:
            assert one["identity"] == one["label"]
            assert one["probability"] is None
