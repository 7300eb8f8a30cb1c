"""The page's own files, at addresses that hold a digest of them, so that browsers keep them.

They are compressed once, when the server starts.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import brotli
from starlette.requests import Request
from starlette.responses import Response

FOLDER: Final = Path(__file__).parent / "static"
PREFIX: Final = "/assets/"
KINDS: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _File:
    kind: str
    etag: str
    plain: bytes
    packed: Mapping[str, bytes]  # by Content-Encoding, the preferred one first


class Assets:
    """The files of `static/`, each at an address of its own that changes with its content."""

    def __init__(self, folder: Path = FOLDER) -> None:
        texts = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        whole = hashlib.sha256(b"\0".join(name.encode() + data for name, data in texts.items()))
        self._digest = whole.hexdigest()[:16]
        self._files = {name: _file(name, data) for name, data in texts.items()}

    def url(self, name: str) -> str:
        """The address of a file.  Files name each other relatively, so all share the digest."""
        if name not in self._files:
            raise KeyError(name)
        return f"{PREFIX}{self._digest}/{name}"

    def names(self) -> tuple[str, ...]:
        """Names of all files."""
        return tuple(self._files)

    def source(self, name: str) -> str:
        """What a file says."""
        return self._files[name].plain.decode()

    @property
    def digest(self) -> str:
        """Of all files together."""
        return self._digest

    def response(self, request: Request, digest: str, name: str) -> Response | None:
        """The file, or 304 where the browser has it; None where there is none of this name."""
        file = self._files.get(name)
        if file is None:
            return None
        # An old address still gives the file, but nobody may keep it for that address.
        keep = _FOREVER if digest == self._digest else "no-cache"
        headers = {"Cache-Control": keep, "ETag": file.etag, "Vary": "Accept-Encoding"}
        if file.etag in (request.headers.get("if-none-match") or ""):
            return Response(status_code=304, headers=headers)
        accepted = request.headers.get("accept-encoding", "")
        for encoding, data in file.packed.items():
            if encoding in accepted:
                headers["Content-Encoding"] = encoding
                return Response(data, media_type=file.kind, headers=headers)
        return Response(file.plain, media_type=file.kind, headers=headers)


def _file(name: str, data: bytes) -> _File:
    packed = {"br": brotli.compress(data), "gzip": gzip.compress(data, mtime=0)}
    smaller = {encoding: found for encoding, found in packed.items() if len(found) < len(data)}
    etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    return _File(KINDS[Path(name).suffix], etag, data, smaller)
