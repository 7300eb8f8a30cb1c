"""Reads the photographs and text fields of a multipart/form-data request (RFC 7578).

Everything stays in memory: starlette's own form parser would write parts over 1 MiB to a
temporary file.  File names, declared types and other headers of the parts are ignored.
"""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from flukeprint.config.schema import ServeConfig
from flukeprint.serving.api.photo_checks import too_many_bytes
from flukeprint.serving.api.problems import RefusedError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


PHOTO_PARTS = ("photos", "photo")
FIELD_BYTES = 1000  # most of a text field, in UTF-8

# The parser's own logger would log characters of the request; this one has no handlers.
_MUTE = logging.Logger("multipart", level=logging.CRITICAL + 1)


@dataclass(frozen=True)
class Upload:
    """The encoded photographs of a request, in their order, and its text fields.

    lists: texts of the fields that may come several times, in their order.
    """

    photos: tuple[bytes, ...] = field(repr=False)
    fields: dict[str, str] = field(repr=False)
    lists: dict[str, tuple[str, ...]] = field(repr=False)


async def read_photos(
    request: Request,
    limits: ServeConfig,
    *,
    fields: tuple[str, ...] = (),
    optional: Mapping[str, str] | None = None,
    lists: tuple[str, ...] = (),
) -> Upload:
    """Read one or more photographs (parts `photos` or `photo`) and each text field of `fields`.

    optional: further fields with the text that stands for one that is missing.
    lists: further fields, each of which may come as often as photographs may.

    Raises:
        RefusedError: as soon as the reason is known.  unsupported_media_type (415), invalid
            (422: a broken form, an unknown part, a field that is missing, empty, repeated, not
            printable or over FIELD_BYTES), no_photograph and too_many_photographs (422),
            too_many_bytes (413).
        ClientDisconnect: starlette's, when the client disconnects.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise RefusedError(
            "unsupported_media_type",
            "photographs are taken as multipart/form-data, in parts called photos",
        )
    if not options.get(b"boundary"):
        raise _broken("its Content-Type names no boundary")
    form = _Form(limits, fields, optional or {}, lists)
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
            except Exception as error:  # parsing untrusted bytes may fail in any way
                raise _broken("it does not follow RFC 7578") from error
    return form.upload()


class _Form:
    """Collects the parts of a form from the callbacks of the parser."""

    def __init__(
        self,
        limits: ServeConfig,
        wanted: tuple[str, ...],
        optional: Mapping[str, str],
        lists: tuple[str, ...],
    ) -> None:
        self._limits, self._wanted, self._optional = limits, wanted, optional
        self._lists: dict[str, list[str]] = {name: [] for name in lists}
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
        lists = {name: tuple(texts) for name, texts in self._lists.items()}
        return Upload(tuple(self._photos), {**self._optional, **self._fields}, lists)

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
        elif name in self._lists:
            if len(self._lists[name]) == self._limits.photos:
                raise RefusedError(
                    "invalid",
                    f"the form has the field {name} more than {self._limits.photos} times",
                )
            self._name = name
        elif name not in self._wanted and name not in self._optional:
            parts = ", ".join((PHOTO_PARTS[0], *self._wanted, *self._optional, *self._lists))
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
            raise too_many_bytes(f"photograph {len(self._photos) + 1}", self._limits)
        self._data += data[start:end]

    def _close(self) -> None:
        if self._name is None:
            self._photos.append(bytes(self._data))
        elif self._name in self._lists:
            self._lists[self._name].append(_text(self._name, self._data))
        elif self._data.strip() or self._optional.get(self._name) != "":
            self._fields[self._name] = _text(self._name, self._data)
        # Else it is as good as missing: forms and generated clients send empty fields.
        self._data = bytearray()

    def _end(self) -> None:
        self._ended = True


def _text(name: str, data: bytearray) -> str:
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise RefusedError("invalid", f"field {name}: not UTF-8 text") from error
    if not text or not text.isprintable():
        raise RefusedError("invalid", f"field {name}: must be one line of printable text")
    return text


def _broken(why: str) -> RefusedError:
    return RefusedError("invalid", f"the form cannot be read: {why}")
