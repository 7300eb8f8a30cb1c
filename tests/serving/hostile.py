"""Hostile files, made in memory: pairs of a name and bytes, in several sorts."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, PngImagePlugin

from flukeprint.data.synthetic.shapes import draw_shape

SIDE = 64
HUGE = 50_000


def picture(mode: str = "RGB", width: int = SIDE, height: int = SIDE) -> Image.Image:
    """A drawn shape of any mode and size."""
    drawn = Image.fromarray(np.ascontiguousarray(draw_shape(1, 1, SIDE)))
    return drawn.resize((width, height)).convert(mode)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def heic(image: Image.Image) -> bytes:
    """A picture as HEIC, the format of many telephones."""
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=80)
    return file.getvalue()


@cache
def whole() -> dict[str, bytes]:
    """A valid photograph of each format that is read."""
    files = {
        form: encoded(picture(), form)
        for form in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
    }
    return {**files, "HEIF": heic(picture())}


# PNG ---------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG (ISO 15948, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG of hand-made chunks."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", head), *chunks, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zeros(size: int) -> bytes:
    """`size` zeros, deflated."""
    squeeze = zlib.compressobj(1)
    block = bytes(1 << 20)
    parts = [squeeze.compress(block) for _ in range(size >> 20)]
    parts += [squeeze.compress(bytes(size & (1 << 20) - 1)), squeeze.flush()]
    return b"".join(parts)


def _pngs() -> Iterator[tuple[str, bytes]]:
    lines = chunk(b"IDAT", zlib.compress(bytes(SIDE * (SIDE + 1))))

    def grey(*chunks: bytes) -> bytes:
        return png(SIDE, SIDE, 8, 0, *chunks, lines)

    yield "bomb", png(HUGE, HUGE, 1, 0, chunk(b"IDAT", zeros(HUGE * (HUGE // 8 + 1))))
    yield "bomb within the limit", png(7700, 7700, 1, 0, chunk(b"IDAT", zeros(7700 * 964)))
    yield "no pixels", png(0, 0, 8, 0, lines)
    yield "negative", png(0xFFFFFFFF, 0xFFFFFFFF, 8, 0, lines)
    yield "too few pixels", png(SIDE * 8, SIDE * 8, 8, 0, lines)
    yield "too many pixels", png(SIDE, SIDE, 8, 0, chunk(b"IDAT", zeros(50 << 20)))
    yield "no such colour", png(SIDE, SIDE, 3, 7, lines)
    yield "text bomb", grey(chunk(b"zTXt", b"Comment\0\0" + zeros(80 << 20)))
    yield "many texts", grey(*[chunk(b"tEXt", b"Comment\0" + bytes([65] * 900_000))] * 12)
    yield "very many texts", grey(*[chunk(b"tEXt", b"k%d\0x" % i) for i in range(20_000)])
    yield "international text bomb", grey(chunk(b"iTXt", b"C\0\1\0\0\0" + zeros(80 << 20)))
    yield "profile bomb", grey(chunk(b"iCCP", b"p\0\0" + zeros(80 << 20)))
    yield "profile of nonsense", grey(chunk(b"iCCP", b"p\0\0" + zlib.compress(b"no profile")))
    yield "exif of nonsense", grey(chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff" * 1000))
    yield "unknown critical chunk", grey(chunk(b"EVIL", b"echo me"))
    yield "damaged critical chunk", grey(struct.pack(">I", 4) + b"EVILecho\0\0\0\0")
    yield "palette without one", png(SIDE, SIDE, 8, 3, lines)
    animation = [picture("P").rotate(turn) for turn in range(0, 60, 10)]
    yield "animated", encoded(animation[0], "PNG", save_all=True, append_images=animation[1:])
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "<script>alert(1)</script>" * 1000)
    yield "script in a text", encoded(picture(), "PNG", pnginfo=text)


# JPEG --------------------------------------------------------------------------------------------


def segment(marker: int, data: bytes) -> bytes:
    """A marker segment of a JPEG (ITU T.81, B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segments(photo: bytes, *segments: bytes) -> bytes:
    """A JPEG with more segments after its first marker."""
    return photo[:2] + b"".join(segments) + photo[2:]


def resized(photo: bytes, width: int, height: int) -> bytes:
    """A JPEG that claims another size."""
    at = next(at for at in range(len(photo)) if photo[at : at + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return photo[: at + 5] + struct.pack(">HH", height, width) + photo[at + 9 :]


def scans(count: int) -> bytes:
    """A progressive JPEG of many scans, each of which a decoder goes through whole."""
    photo = encoded(picture("L", 1024, 1024), "JPEG", progressive=True)
    at = photo.rindex(b"\xff\xda")
    end = photo.rindex(b"\xff\xd9")
    return photo[:at] + photo[at:end] * count + photo[end:]


def exif(*entries: bytes, after: bytes = b"\0\0\0\0", count: int | None = None) -> bytes:
    """An EXIF segment of one hand-made directory."""
    number = len(entries) if count is None else count
    return segment(
        0xE1, b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", number) + b"".join(entries) + after
    )


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    """An entry of a TIFF directory, little-endian."""
    return struct.pack("<HHII", tag, kind, count, value)


def _jpegs() -> Iterator[tuple[str, bytes]]:
    plain = encoded(picture(), "JPEG")
    yield "huge", resized(plain, 65_500, 65_500)
    yield "no pixels", resized(plain, 0, 0)
    yield "no height", resized(plain, SIDE, 0)
    yield "taller than its data", resized(plain, SIDE, 4096)
    yield "1 x 40000", encoded(picture("RGB", 1, 40_000), "JPEG")
    yield "40000 x 1", encoded(picture("RGB", 40_000, 1), "JPEG")
    yield "80 scans", scans(80)
    yield "400 scans", scans(400)
    yield "20,000 segments", with_segments(plain, *[segment(0xFE, b"")] * 20_000)
    yield "fill bytes", plain[:2] + b"\xff" * 200_000 + plain[2:]
    yield "junk before markers", plain[:2] + b"\0" * 200_000 + plain[2:]
    block = segment(0xE1, b"Exif\0\0" + b"A" * 65_000)
    yield "huge exif", with_segments(plain, *[block] * 40)
    profile = [
        segment(0xE2, b"ICC_PROFILE\0%c%c" % (i, 200) + b"P" * 60_000) for i in range(1, 200)
    ]
    yield "huge profile", with_segments(plain, *profile)
    yield "exif without end", with_segments(plain, exif(count=65_535))
    yield (
        "exif in a circle",
        with_segments(plain, exif(entry(0x8769, 4, 1, 8), after=struct.pack("<I", 8))),
    )
    far = entry(0x8769, 4, 1, 0xFFFFFFF0) + entry(0x010F, 2, 0x7FFFFFFF, 0x7FFFFFFF)
    yield "exif far away", with_segments(plain, exif(far, count=2))
    yield "exif of a rotation that is text", with_segments(plain, exif(entry(0x0112, 2, 4, 0)))
    yield "exif of rotations", with_segments(plain, exif(entry(0x0112, 3, 3, 6)))
    yield "exif of rotation 0/0", with_segments(plain, exif(entry(0x0112, 5, 1, 8)))
    yield "pictures behind", plain + plain * 3
    pages = [picture("RGB", 64, 48), picture("RGB", 32, 32)]
    yield "MPO", encoded(pages[0], "MPO", save_all=True, append_images=pages[1:])
    yield "broken MPO", with_segments(plain, segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"))
    yield "CMYK", encoded(picture("CMYK"), "JPEG")
    yield "Adobe of nonsense", with_segments(plain, segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07"))
    yield "no tables", plain.replace(b"\xff\xdb", b"\xff\xfe")
    yield "no codes", plain.replace(b"\xff\xc4", b"\xff\xfe")
    yield "lossless", plain.replace(b"\xff\xc0", b"\xff\xc3")
    yield "arithmetic", plain.replace(b"\xff\xc0", b"\xff\xc9")
    yield "12 bits", plain.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c")


# TIFF --------------------------------------------------------------------------------------------


def tiff(*entries: bytes, after: int = 0, data: bytes = b"", count: int | None = None) -> bytes:
    """A TIFF of one hand-made directory, which stands first, and what follows it."""
    number = len(entries) if count is None else count
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", number)
    return head + b"".join(entries) + struct.pack("<I", after) + data


def grey_tiff(width: int, height: int, size: int, **more: Any) -> bytes:
    """An uncompressed grey TIFF that claims a strip of `size` bytes."""
    entries = [
        entry(256, 4, 1, width),
        entry(257, 4, 1, height),
        entry(258, 3, 1, 8),
        entry(259, 3, 1, 1),
        entry(262, 3, 1, 1),
        entry(273, 4, 1, 8 + 2 + 9 * 12 + 4),
        entry(277, 3, 1, 1),
        entry(278, 4, 1, height),
        entry(279, 4, 1, size),
    ]
    return tiff(*entries, **more)


def _tiffs() -> Iterator[tuple[str, bytes]]:
    body = bytes(SIDE * SIDE)
    yield "plain", grey_tiff(SIDE, SIDE, SIDE * SIDE, data=body)
    yield "huge", grey_tiff(HUGE, HUGE, HUGE * HUGE, data=body)
    yield "huge strip", grey_tiff(SIDE, SIDE, 0xFFFFFFFF, data=body)
    yield "short strip", grey_tiff(SIDE * 16, SIDE * 16, SIDE, data=body)
    yield "circle", grey_tiff(SIDE, SIDE, SIDE * SIDE, after=8, data=body)
    yield "directory without end", tiff(count=65_535)
    yield "no entries", tiff()
    yield "entries of nonsense", tiff(*[entry(tag, 99, 1, 1) for tag in range(256, 300)])
    yield "endless array", tiff(entry(256, 4, 0x7FFFFFFF, 8), entry(257, 4, 0xFFFFFFFF, 8))
    yield "8,000 entries", tiff(*[entry(30_000 + i % 9, 2, 4, 65) for i in range(8000)])
    for name, mode in (("16 bits", "I;16"), ("32 bits", "I"), ("float", "F"), ("1 bit", "1")):
        yield name, encoded(picture("L").convert(mode), "TIFF")
    for mode in ("CMYK", "P", "LA", "RGBA", "LAB", "YCbCr"):
        yield mode, encoded(picture(mode), "TIFF")
    for way in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        sound = encoded(picture(), "TIFF", compression=way)
        yield way, sound
        middle = len(sound) // 2
        yield f"damaged {way}", sound[:middle] + b"\xff" * 40 + sound[middle + 40 :]
    squeezed = encoded(Image.new("1", (7700, 7700)), "TIFF", compression="tiff_adobe_deflate")
    yield "bomb within the limit", squeezed
    yield "turned", encoded(picture("RGB", 64, 32), "TIFF", tiffinfo={274: 6})
    pages = [picture().rotate(turn) for turn in range(0, 90, 3)]
    yield "pages", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])


# Others ------------------------------------------------------------------------------------------


def patched(data: bytes, box: bytes, skip: int, width: int, height: int) -> bytes:
    """A file whose box claims another size, in 32-bit numbers `skip` bytes after its name."""
    at = data.index(box) + len(box) + skip
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def _moving() -> Iterator[tuple[str, bytes]]:
    """Animations, and formats that hold several pictures."""
    frames = [picture("P", 32, 32).rotate(turn) for turn in range(1000)]
    yield "GIF of 1,000 frames", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    colours = [picture("RGB", 32, 32).rotate(turn) for turn in range(60)]
    yield "WebP of 60 frames", encoded(colours[0], "WEBP", save_all=True, append_images=colours[1:])
    yield "AVIF of 6 frames", encoded(colours[0], "AVIF", save_all=True, append_images=colours[1:6])


def _sized() -> Iterator[tuple[str, bytes]]:
    """Files that claim far more pixels than they hold."""
    files = whole()
    yield "GIF of 65,535 px", files["GIF"][:6] + b"\xff\xff\xff\xff" + files["GIF"][10:]
    head = struct.pack("<II", HUGE, HUGE)
    yield "BMP of 50,000 px", files["BMP"][:18] + head + files["BMP"][26:]
    yield "BMP of -1 px", files["BMP"][:18] + b"\xff" * 8 + files["BMP"][26:]
    canvas = b"VP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2  # 16,384 px
    body = canvas + files["WEBP"][12:]
    yield "WebP of 16,384 px", b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    yield "WebP of 16 Mpx", encoded(Image.new("RGB", (4000, 4000)), "WEBP", quality=1)
    yield "AVIF of 50,000 px", patched(files["AVIF"], b"ispe", 4, HUGE, HUGE)
    yield "HEIF of 50,000 px", patched(files["HEIF"], b"ispe", 4, HUGE, HUGE)
    yield "HEIF of 0 px", patched(files["HEIF"], b"ispe", 4, 0, 0)
    jp2 = patched(files["JPEG2000"], b"ihdr", 0, HUGE, HUGE)
    yield "JPEG 2000 of 50,000 px", patched(jp2, b"\xff\x51", 4, HUGE, HUGE)
    yield "JPEG 2000 of two sizes", patched(files["JPEG2000"], b"\xff\x51", 4, 5000, 5000)
    yield "JPEG 2000 of tiny tiles", patched(files["JPEG2000"], b"\xff\x51", 20, 1, 1)
    for magic in (b"P1", b"P3", b"P4", b"P5", b"P6", b"Pf", b"P7"):
        yield f"{magic.decode()} of 50,000 px", magic + b"\n50000 50000\n255\n" + bytes(100)
    yield "P6 of 40 digits", b"P6 " + b"9" * 40 + b" 9 255\n"
    yield "P6 of a comment", b"P6 #" + b"x" * 1_000_000
    yield "P6 of 32 bits", b"P6 4 4 4294967295\n" + bytes(200)
    yield "P3 of long numbers", b"P3 4 4 255\n" + b"EVIL" * 25_000
    yield "P3 of 200 comments", b"P3 4 4 255\n" + b"#\n" * 200 + b"1 " * 48
    yield "float PFM", b"Pf\n4 4\n-1.0\n" + struct.pack("<16f", *[float("nan")] * 16)


def _polyglots() -> Iterator[tuple[str, bytes]]:
    """Photographs that are valid files of another format as well."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../evil.py", "import os")
    page = b"<!DOCTYPE html><script>alert(document.cookie)</script>"
    plain = encoded(picture(), "JPEG")
    yield "JPEG and ZIP", plain + file.getvalue()
    yield "JPEG and HTML", plain + page
    yield "JPEG with HTML in a comment", with_segments(plain, segment(0xFE, page))
    yield "JPEG and PDF", with_segments(plain, segment(0xFE, b"%PDF-1.7\n1 0 obj"))
    gif = encoded(picture("P"), "GIF")
    yield "GIF and JavaScript", gif[:6] + b"/*" + gif[8:] + b"*/=1;alert(1);//"  # 10,799 px wide
    yield "PNG and HTML", encoded(picture(), "PNG") + page
    yield "HTML and JPEG", page + plain
    yield "ZIP and JPEG", file.getvalue() + plain


def _others() -> Iterator[tuple[str, bytes]]:
    """Files that are not photographs."""
    yield "nothing", b""
    yield "one byte", b"\xff"
    yield (
        "SVG with a script",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    )
    yield (
        "SVG with an external entity",
        (
            b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            b'<svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>'
        ),
    )
    yield "HTML", b"<html><body><img src=x onerror=alert(1)></body></html>"
    yield "PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog>>\nendobj"
    yield "EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(%pipe%id) (w) file\n"
    yield "ICO", encoded(picture("RGB", 32, 32), "ICO")
    yield "TGA", encoded(picture(), "TGA")
    yield "PSD", b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(100)
    yield "ELF", b"\x7fELF\x02\x01\x01" + bytes(200)
    yield "gzip", b"\x1f\x8b\x08" + zeros(1 << 20)[2:]
    yield "text", "¡hola! ".encode() * 100
    yield "zeros", bytes(100_000)
    yield "ones", b"\xff" * 100_000
    yield "MP4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(200)
    yield "endless box", b"\0\0\0\x18ftypheic" + bytes(12) + b"\xff\xff\xff\xffmeta" + bytes(300)
    yield "boxes in a circle", b"\0\0\0\x18ftypavif" + bytes(12) + b"\0\0\0\0meta" * 300


def _truncated() -> Iterator[tuple[str, bytes]]:
    for form, data in whole().items():
        n = len(data)
        for length in sorted(
            {1, 2, 4, 8, 12, 16, 24, 40, *(n * i // 8 for i in range(1, 8)), n - 1}
        ):
            yield f"{form} cut at {length}", data[:length]


SORTS: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    "PNG": _pngs,
    "JPEG": _jpegs,
    "TIFF": _tiffs,
    "moving": _moving,
    "sized": _sized,
    "polyglot": _polyglots,
    "other": _others,
    "truncated": _truncated,
}
