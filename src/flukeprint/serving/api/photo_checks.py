"""Checks a photograph by its header, before anything is decoded."""

import re
from dataclasses import dataclass

from PIL import Image

from flukeprint.config.schema import MEBIBYTE, ServeConfig
from flukeprint.data.decoding import header
from flukeprint.data.formats.photo_formats import format_claimed, formats
from flukeprint.serving.api.problems import RefusedError

# Limits for a JPEG.  Each scan costs as much as decoding a photograph (editors write about ten);
# Pillow reads segments, and the fill bytes between them, one by one (cameras write some dozens).
MOST_SCANS, MOST_SEGMENTS, MOST_FILL = 100, 10_000, 1 << 16

# Limit for a PPM written as text: Pillow copies the pixels for each comment, minutes for many.
MOST_COMMENTS = 100

# A marker that is neither a stuffed zero, a fill byte nor a restart (ITU T.81, B.1.1.2).
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01


def sniff(data: bytes) -> str | None:
    """The format of encoded bytes by their header, as Pillow names it, such as "JPEG".

    None where it is none of `formats()`, where the header is broken, and where it
    claims more pixels than Pillow opens.
    """
    return _header(data)[0]


def check_photo(data: bytes, limits: ServeConfig, *, name: str = "the photograph") -> None:
    """Refuse a photograph whose header shows that it must not be decoded.

    name: what the refusal calls the photograph.

    It takes milliseconds, but seconds for hostile bytes: do not call it in the event loop.

    Raises:
        RefusedError: no_photograph (422) for 0 bytes, too_many_bytes (413), not_a_photograph
            (415), too_many_pixels (413), damaged_photograph (422) for a header that breaks off,
            for a JPEG of more than MOST_SCANS scans, MOST_SEGMENTS segments or MOST_FILL bytes
            between them, and for a PPM of more than MOST_COMMENTS comments.
    """
    if not data:
        raise RefusedError("no_photograph", f"{name} is empty (0 bytes)")
    if len(data) > limits.photo_bytes:
        raise too_many_bytes(name, limits)
    if data.startswith(b"\xff\xd8\xff"):
        _check_markers(jpeg_markers(data), name)
    if data.startswith((b"P1", b"P2", b"P3")) and data.count(b"#") > MOST_COMMENTS:
        raise RefusedError(
            "damaged_photograph", f"{name} is a PPM of more than {MOST_COMMENTS} comments"
        )
    pixels = _header(data)[1]
    if pixels == 0:
        if format_claimed(data):
            raise RefusedError("damaged_photograph", f"{name} is damaged or truncated; replace it")
        raise RefusedError(
            "not_a_photograph",
            f"{name} is not a photograph that can be read ({', '.join(formats())})",
        )
    # Pillow has a limit of its own, which decoding keeps whatever the configuration allows.
    most = min(limits.photo_pixels, Image.MAX_IMAGE_PIXELS or limits.photo_pixels)
    if pixels > most:
        raise RefusedError("too_many_pixels", f"{name} has more than {most} pixels; scale it down")


@dataclass(frozen=True)
class Markers:
    """Marker counts of a JPEG: scans, all segments, and fill bytes before the first scan."""

    scans: int
    segments: int
    fill: int


def jpeg_markers(data: bytes) -> Markers:
    """Count the markers of a JPEG up to the end of the picture.

    Thumbnails inside segments are skipped; counting stops soon after MOST_SEGMENTS.
    Source: ITU T.81, B.1 and B.2.
    """
    scans = segments = fill = 0
    at = 2
    while segments <= MOST_SEGMENTS:
        found = _MARKER.search(data, at)
        if not scans:
            fill += (len(data) if found is None else found.start()) - min(at, len(data))
        if found is None:
            break
        at = found.end()
        marker = data[at - 1]
        if marker == _EOI:
            break
        segments += 1
        scans += marker == _SOS
        if marker not in (_SOI, _TEM):  # these stand alone; the others state their length
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return Markers(scans, segments, fill)


def _check_markers(found: Markers, name: str) -> None:
    for count, most, what in (
        (found.scans, MOST_SCANS, "scans"),
        (found.segments, MOST_SEGMENTS, "segments"),
        (found.fill, MOST_FILL, "fill bytes"),
    ):
        if count > most:
            raise RefusedError(
                "damaged_photograph", f"{name} is a JPEG of more than {most} {what}; save it anew"
            )


def _header(data: bytes) -> tuple[str | None, float]:
    """(format, pixels) by the header.

    pixels: 0 where the header cannot be read, infinity where Pillow refuses its size.
    """
    try:
        kind, width, height = header(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None, float("inf")
    except Exception:  # parsing untrusted bytes may fail in any way
        return None, 0
    if width < 1 or height < 1:
        return None, 0
    return kind, width * height


def too_many_bytes(name: str, limits: ServeConfig) -> RefusedError:
    """The refusal of a photograph of more than `limits.photo_bytes`."""
    most = f"{limits.photo_bytes / MEBIBYTE:.4g} MiB"
    return RefusedError("too_many_bytes", f"{name} has more than {most}; save it smaller")
