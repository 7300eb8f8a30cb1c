"""Uploads: a multipart/form-data request (RFC 7578) enters, the bytes of its photographs leave.

They stay in memory: starlette's own form parser would write parts over 1 MiB to a temporary
file.  File names, declared types and all else that the parts say of themselves are ignored.
"""

import contextlib
import logging
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image
from python_multipart import MultipartParser
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from flukeprint.config.schema import MEBIBYTE, ServeConfig
from flukeprint.data import decoding
from flukeprint.serving.api.problems import RefusedError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


PHOTO_PARTS = ("photos", "photo")
FIELD_BYTES = 1000  # of a text field, in UTF-8

# Of a JPEG: each scan costs as much as decoding a photograph (editors write about ten), and
# Pillow takes segments and the fill bytes between them one by one (cameras write some dozens).
MOST_SCANS, MOST_SEGMENTS, MOST_FILL = 100, 10_000, 1 << 16

# Of a PPM written as text: Pillow takes each out of the pixels anew, which takes minutes for many.
MOST_COMMENTS = 100

# Of these, two letters at the beginning are all that tells them from a text.
_WEAK = ("BMP", "PPM")

# A marker that is neither a stuffed zero, a fill byte nor a restart (ITU T.81, B.1.1.2).
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01

# The parser's own would log characters of the request; this one belongs to no hierarchy.
_MUTE = logging.Logger("multipart", level=logging.CRITICAL + 1)


@dataclass(frozen=True)
class Upload:
    """The photographs of a request as they were sent, in their order, and its text fields."""

    photos: tuple[bytes, ...] = field(repr=False)
    fields: dict[str, str] = field(repr=False)


async def read_photos(
    request: Request, limits: ServeConfig, *, fields: tuple[str, ...] = ()
) -> Upload:
    """The parts `photos` (or `photo`), one or more, and each text field of `fields` once.

    Raises RefusedError as soon as it is known: unsupported_media_type (415), invalid (422: a
    broken form, an unknown part, a field that is missing, empty, repeated, not printable or
    over FIELD_BYTES), no_photograph, too_many_photographs (422), too_many_bytes (413); and
    starlette's ClientDisconnect when the sender leaves.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise RefusedError(
            "unsupported_media_type",
            "photographs are taken as multipart/form-data, in parts called photos",
        )
    if not options.get(b"boundary"):
        raise _broken("its Content-Type names no boundary")
    form = _Form(limits, fields)
    try:
        parser = MultipartParser(options[b"boundary"], form.callbacks())
    except ValueError as error:
        raise _broken("its boundary is too long") from error
    parser.logger = _MUTE
    async with contextlib.aclosing(request.stream()) as stream:
        async for chunk in stream:
            try:
                parser.write(chunk)
            except RefusedError:
                raise
            except Exception as error:  # a parser of foreign bytes may fail in any way
                raise _broken("it does not follow RFC 7578") from error
    return form.upload()


class _Form:
    """Collects the parts of a form as the parser finds them."""

    def __init__(self, limits: ServeConfig, wanted: tuple[str, ...]) -> None:
        self._limits, self._wanted = limits, wanted
        self._photos: list[bytes] = []
        self._fields: dict[str, str] = {}
        self._ended = False
        self._begin()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._take,
            "on_part_end": self._close,
            "on_end": self._end,
        }

    def upload(self) -> Upload:
        if not self._ended:
            raise _broken("its end is missing")
        if not self._photos:
            raise RefusedError(
                "no_photograph", "the form has no photograph; send it in a part called photos"
            )
        for name in self._wanted:
            if name not in self._fields:
                raise RefusedError("invalid", f"the form lacks the field {name}")
        return Upload(tuple(self._photos), self._fields)

    def _begin(self) -> None:
        self._header, self._value, self._data = bytearray(), bytearray(), bytearray()
        self._disposition = b""
        self._name: str | None = None  # of the text field; None for a photograph

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _open(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise _broken("a part has no Content-Disposition: form-data with a name")
        if name in PHOTO_PARTS:
            if len(self._photos) == self._limits.photos:
                raise RefusedError(
                    "too_many_photographs",
                    f"at most {self._limits.photos} photographs go into one request; send the "
                    "others in another",
                )
        elif name not in self._wanted:
            parts = ", ".join((PHOTO_PARTS[0], *self._wanted))
            raise RefusedError("invalid", f"the form has an unknown part; its parts are: {parts}")
        elif name in self._fields:
            raise RefusedError("invalid", f"the form has the field {name} twice")
        else:
            self._name = name

    def _take(self, data: bytes, start: int, end: int) -> None:
        size = len(self._data) + end - start
        if self._name is not None and size > FIELD_BYTES:
            raise RefusedError("invalid", f"field {self._name}: more than {FIELD_BYTES} bytes")
        if self._name is None and size > self._limits.photo_bytes:
            raise _too_many_bytes(f"photograph {len(self._photos) + 1}", self._limits)
        self._data += data[start:end]

    def _close(self) -> None:
        if self._name is None:
            self._photos.append(bytes(self._data))
        else:
            self._fields[self._name] = _text(self._name, self._data)
        self._data = bytearray()

    def _end(self) -> None:
        self._ended = True


def sniff(data: bytes) -> str | None:
    """Pillow's name of the format that the photograph begins with, such as "JPEG".

    Only its header is read; None where it is none of `decoding.formats()`, where the header is
    broken, and where it tells of more pixels than Pillow opens.
    """
    return _header(data)[0]


def check_photo(data: bytes, limits: ServeConfig, *, name: str = "the photograph") -> None:
    """Refuse what must not be decoded, by its header; `name` is what the refusal calls it.

    Raises RefusedError: no_photograph (422) for 0 bytes, too_many_bytes (413), not_a_photograph
    (415), too_many_pixels (413), damaged_photograph (422) for a header that breaks off, for
    a JPEG of more than MOST_SCANS scans, MOST_SEGMENTS segments or MOST_FILL bytes between them,
    and for a PPM of more than MOST_COMMENTS comments.
    Takes milliseconds, for hostile bytes up to seconds: not for the event loop.
    """
    if not data:
        raise RefusedError("no_photograph", f"{name} is empty (0 bytes)")
    if len(data) > limits.photo_bytes:
        raise _too_many_bytes(name, limits)
    if data.startswith(b"\xff\xd8\xff"):
        _check_markers(jpeg_markers(data), name)
    if data.startswith((b"P1", b"P2", b"P3")) and data.count(b"#") > MOST_COMMENTS:
        raise RefusedError(
            "damaged_photograph", f"{name} is a PPM of more than {MOST_COMMENTS} comments"
        )
    pixels = _header(data)[1]
    if pixels == 0:
        if any(_claims(data, known) for known in decoding.formats() if known not in _WEAK):
            raise RefusedError("damaged_photograph", f"{name} is damaged or truncated; replace it")
        raise RefusedError(
            "not_a_photograph",
            f"{name} is not a photograph that can be read ({', '.join(decoding.formats())})",
        )
    # Decoding refuses what Pillow would, however much the configuration allows.
    most = min(limits.photo_pixels, Image.MAX_IMAGE_PIXELS or limits.photo_pixels)
    if pixels > most:
        raise RefusedError("too_many_pixels", f"{name} has more than {most} pixels; scale it down")


@dataclass(frozen=True)
class Markers:
    """Of a JPEG: start-of-scan markers, segments in all, fill bytes before the first scan."""

    scans: int
    segments: int
    fill: int


def jpeg_markers(data: bytes) -> Markers:
    """Counted up to the end of the picture, thumbnails within segments left out.

    Stops soon after MOST_SEGMENTS.  Source: ITU T.81, B.1 and B.2.
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
        if marker not in (_SOI, _TEM):  # these stand alone; others begin with their length
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

    No pixels where it cannot be read, infinitely many where Pillow declines it for its size.
    """
    try:
        with Image.open(BytesIO(data), formats=decoding.formats()) as image:
            width, height = image.size
            kind = image.format
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None, float("inf")
    except Exception:  # a parser of foreign bytes may fail in any way
        return None, 0
    if width < 1 or height < 1:
        return None, 0
    # A camera's JPEG with further pictures behind it; the first is what is decoded.
    return "JPEG" if kind == "MPO" else kind, width * height


def _claims(data: bytes, known: str) -> bool:
    """Whether the first bytes are those of the format."""
    accept = Image.OPEN[known][1] if known in Image.OPEN else None
    return accept is not None and accept(data[:16]) is True


def _text(name: str, data: bytearray) -> str:
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise RefusedError("invalid", f"field {name}: not UTF-8 text") from error
    if not text or not text.isprintable():
        raise RefusedError("invalid", f"field {name}: must be one line of printable text")
    return text


def _too_many_bytes(name: str, limits: ServeConfig) -> RefusedError:
    most = f"{limits.photo_bytes / MEBIBYTE:.4g} MiB"
    return RefusedError("too_many_bytes", f"{name} has more than {most}; save it smaller")


def _broken(why: str) -> RefusedError:
    return RefusedError("invalid", f"the form cannot be read: {why}")
