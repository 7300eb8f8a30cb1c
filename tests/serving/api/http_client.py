"""Requests to a served API over HTTP, checks of its answers, and photographs to send."""

import hashlib
import io
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from flukeprint.identifier.verdict import Verdict
from tests.serving.served import TOKEN, Served, photo

SECRET = "sECRETsECRET"  # in photographs and their names; no answer may repeat it
POSITION = (41.0, 24.0, 12.34)
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WORK = ("identify", "embed", "verify")


def connected(server: Served, at: str | None = None) -> httpx2.Client:
    """A client, whose address may be another one of this machine."""
    transport = httpx2.HTTPTransport(local_address=at)
    return httpx2.Client(base_url=server.url, timeout=60, transport=transport)


def post(
    client: httpx2.Client, work: str, *photos: bytes, name: str = "photos", **more: Any
) -> httpx2.Response:
    files = [(name, (f"{SECRET}.jpg", data, f"image/{SECRET}")) for data in photos]
    return client.post(f"/v1/{work}", files=files, **more)


def well(answered: httpx2.Response, status: int = 200) -> Any:
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/json"
    return answered.json()


def refused(answered: httpx2.Response, status: int, kind: str) -> str:
    """The detail of a problem."""
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.headers["x-content-type-options"] == "nosniff"
    problem = answered.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert problem["type"] == f"urn:flukeprint:problem:{kind}"
    return str(problem["detail"])


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Of each file, but for the lock and those of an open database, its time and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock" and not path.name.endswith(("-wal", "-shm"))
    }  # fmt: skip


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def noise(side: int, seed: int = 0) -> bytes:
    """A picture that does not compress: 3 bytes a pixel."""
    return png(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def expected(verdict: Verdict, photos: int, new_label: str) -> dict[str, Any]:
    """What the API says of a verdict, in plain words."""
    names = verdict.ranking.identities[0]
    chances: Any = verdict.probabilities or [None] * len(names)
    placed = verdict.placement
    return {
        "photos": photos,
        "unknown": verdict.outside or names[0] is None,
        "verdict": "outside" if verdict.outside else "new" if names[0] is None else "known",
        "answers": [
            {
                "identity": name,
                "label": name or new_label,
                "score": score,
                "probability": chance,
                "photos": [{"photo": near.row, "score": near.score} for near in nearest],
            }
            for name, score, chance, nearest in zip(
                names, verdict.ranking.scores[0].tolist(), chances, verdict.nearest, strict=True
            )
        ],
        "probability_unknown": verdict.new,
        "closeness": verdict.nearest_cosine,
        "placement": None
        if placed is None
        else {"rank": placed.rank, "name": placed.name, "probability": placed.probability},
    }


def secretive() -> bytes:
    """A JPEG that tells of its place and of much more."""
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = SECRET
    exif.get_ifd(0x8825).update({1: "N", 2: POSITION, 3: "E", 4: POSITION})
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(2, 9))).save(file, "JPEG", exif=exif, comment=SECRET)
    assert SECRET.encode() in file.getvalue()
    return file.getvalue()


def form(*photos: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return (
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\n%b\r\n'
            % data
            for data in photos
        )
        + end
    )


def head(body: bytes, work: str = "identify", *more: str) -> bytes:
    lines = [
        f"POST /v1/{work} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
        "Content-Type: multipart/form-data; boundary=x", *more,
    ]  # fmt: skip
    return "\r\n".join((*lines, "", "")).encode()
