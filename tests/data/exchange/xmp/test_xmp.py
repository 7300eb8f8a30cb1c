"""XMP keywords: what programs write is read, and what is written they would find."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from flukeprint.data.exchange.forms import read_observed, recognised, write_observed
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.data.exchange.xmp.patterns import keyword_patterns
from flukeprint.data.exchange.xmp.reading import read_xmp, recognises
from flukeprint.data.exchange.xmp.writing import write_xmp
from flukeprint.errors import FlukeprintError
from tests.data.exchange.drawn import by_image, pictures, sightings
from tests.refusals import refused

RDF = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:lr="http://ns.adobe.com/lightroom/1.0/" '
    'xmlns:digiKam="http://www.digikam.org/ns/1.0/" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
    'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
    'xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" '
    'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" '
    'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"'
)


def packet(inside: str = "", attributes: str = "", *, wrapped: bool = True) -> str:
    tree = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core"><rdf:RDF {RDF}>'
        f'<rdf:Description rdf:about="" {attributes}>{inside}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )
    if not wrapped:
        return tree
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{tree}<?xpacket end="w"?>'


def listed(name: str, *texts: str, kind: str = "Bag") -> str:
    items = "".join(f"<rdf:li>{text}</rdf:li>" for text in texts)
    return f"<{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>"


def photo(path: Path, xmp: str | None = None, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if xmp is not None and path.suffix == ".png":
        more["pnginfo"] = PngInfo()
        more["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
    elif xmp is not None and path.suffix == ".tif":
        more["tiffinfo"] = {700: xmp.encode()}
    elif xmp is not None:
        more["xmp"] = xmp.encode()
    Image.new("RGB", (80, 40)).save(path, **more)
    return path


LIGHTROOM = packet(
    listed("lr:hierarchicalSubject", "Animals|Leopard|Zoë", "Sex|female", "Places|Mara")
    + listed("dc:subject", "Zoë", "Leopard", "female"),
    'photoshop:DateCreated="2024-05-03T14:02:31.00+02:00" '
    'exif:GPSLatitude="27,3.5S" exif:GPSLongitude="32,24,36E"',
)
DIGIKAM = packet(listed("digiKam:TagsList", "Animals/Leopard/Ægir", "View/left", kind="Seq"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_keywords_in_photographs_are_read(tmp_path: Path, suffix: str) -> None:
    photo(tmp_path / f"a{suffix}", LIGHTROOM)
    photo(tmp_path / f"deep/b{suffix}", DIGIKAM)
    photo(tmp_path / f"c{suffix}")
    assert recognises(tmp_path)
    found = read_observed(tmp_path)
    first, second = found.photos
    assert (first.identity, first.sex, first.date, first.offset) == (
        "Zoë", "female", "2024-05-03T14:02:31", "+02:00",
    )  # fmt: skip
    assert first.latitude == pytest.approx(-(27 + 3.5 / 60))
    assert first.longitude == pytest.approx(32 + 24 / 60 + 36 / 3600)
    assert (second.image, second.identity, second.view) == (f"deep/b{suffix}", "Ægir", "left")
    assert found.left_out == {"photographs without XMP": 1}


def test_a_list_of_one_may_be_a_text_or_an_attribute(tmp_path: Path) -> None:
    for name, xmp in (
        ("a", packet("<lr:hierarchicalSubject>Individual|Ann</lr:hierarchicalSubject>")),
        ("b", packet(attributes='lr:hierarchicalSubject="Individual|Bo"')),
        ("c", packet(listed("lr:hierarchicalSubject", "Individual|Cy", kind="Alt"))),
    ):
        (tmp_path / f"{name}.xmp").write_text(xmp, encoding="utf-8")
        photo(tmp_path / f"{name}.jpg")
    assert [one.identity for one in read_xmp(tmp_path).photos] == ["Ann", "Bo", "Cy"]


def test_both_names_of_sidecars_are_found_and_count_more_than_the_file(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", LIGHTROOM)
    photo(tmp_path / "a.png")
    photo(tmp_path / "b.jpg", LIGHTROOM)
    (tmp_path / "a.xmp").write_text(DIGIKAM, encoding="utf-8")
    (tmp_path / "a.png.xmp").write_text(
        packet(listed("digiKam:TagsList", "Individual/Png")), encoding="utf-8"
    )
    found = read_xmp(tmp_path)
    assert [(one.image, one.identity) for one in found.photos] == [
        ("a.jpg", "Ægir"), ("a.png", "Png"), ("b.jpg", "Zoë"),
    ]  # fmt: skip
    assert "1 photograph with other keywords in the sidecar" in found.text()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-be", "utf-16", "utf-32-le"])
def test_packets_of_any_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    photo(tmp_path / "a.jpg")
    declared = '<?xml version="1.0" encoding="UTF-16"?>' if encoding == "utf-16" else ""
    (tmp_path / "a.xmp").write_bytes((declared + LIGHTROOM).encode(encoding))
    assert [one.identity for one in read_xmp(tmp_path).photos] == ["Zoë"]


def test_own_patterns_and_flat_keywords(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", packet(listed("dc:subject", "ID 17", "dusk")))
    assert read_xmp(tmp_path).photos == ()
    assert recognised(tmp_path) is None
    found = read_observed(tmp_path, options=ReadOptions(keywords=("id {identity}",)))
    assert [one.identity for one in found.photos] == ["17"]
    levels = keyword_patterns(["Survey|*|{place}|{identity} ({sex})"])[0]
    assert levels.match(("survey", "2024", "Mara", "Ann (f)")) == {
        "place": "Mara", "identity": "Ann", "sex": "f",
    }  # fmt: skip
    assert levels.match(("survey", "2024", "Mara")) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("Animals||{identity}", "an empty level"), ("Animals|Leopard", "names no field"),
        ("{name}", "no field name"), ("{identity}|{identity}x{identity}", "twice"),
        ("{identity", "stray brace"), ("a}b|{identity}", "stray brace"), ("{}", "stray brace"),
    ],
)  # fmt: skip
def test_patterns_that_say_nothing_are_refused(pattern: str, words: str) -> None:
    refused(lambda: keyword_patterns([pattern]), words)


def region(name: str, kind: str, x: float, y: float, w: float, h: float) -> str:
    return (
        f'<rdf:li><rdf:Description mwg-rs:Name="{name}" mwg-rs:Type="{kind}"><mwg-rs:Area '
        f'stArea:x="{x}" stArea:y="{y}" stArea:w="{w}" stArea:h="{h}" stArea:unit="normalized"/>'
        "</rdf:Description></rdf:li>"
    )


def regions(*items: str, size: str = 'stDim:w="80" stDim:h="40"') -> str:
    return (
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions '
        f'{size} stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag>{"".join(items)}</rdf:Bag>'
        "</mwg-rs:RegionList></mwg-rs:Regions>"
    )


def test_several_animals_and_named_regions(tmp_path: Path) -> None:
    xmp = packet(
        listed("lr:hierarchicalSubject", "Individual|Ann", "Individual|Bo", "View|left")
        + regions(
            region("Ann", "Face", 0.25, 0.5, 0.3, 0.4), region("Rex", "Pet", 0.9, 0.5, 0.4, 0.2),
            region("Eve", "Face", 0.5, 0.5, 0.1, 0.1),
        )
    )  # fmt: skip
    photo(tmp_path / "a.jpg", xmp)
    found = {one.identity: one for one in read_xmp(tmp_path).photos}
    assert set(found) == {"Ann", "Bo", "Rex"}  # Eve is a person
    assert found["Ann"].box == pytest.approx((0.1, 0.3, 0.4, 0.7))
    assert found["Bo"].box is None
    assert found["Rex"].box == pytest.approx((0.7, 0.4, 1.0, 0.6))
    assert {one.view for one in found.values()} == {"left"}
    assert [one.image for one in found.values()] == ["a.jpg#1", "a.jpg#2", "a.jpg#3"]


@pytest.mark.parametrize("orientation", [6, 8])
def test_regions_of_the_stored_picture_are_turned_with_it(tmp_path: Path, orientation: int) -> None:
    upright = (0.1, 0.2, 0.3, 0.6)  # of the picture as it is shown, 40 x 80
    x0, y0, x1, y1 = upright
    # 6: what is stored at the left is shown at the top; 8: at the bottom.
    stored = (y0, 1 - x1, y1, 1 - x0) if orientation == 6 else (1 - y1, x0, 1 - y0, x1)
    for name, box, size in (
        ("stored", stored, 'stDim:w="80" stDim:h="40"'),
        ("shown", upright, 'stDim:w="40" stDim:h="80"'),
    ):
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        item = region(name, "Animal", *middle, box[2] - box[0], box[3] - box[1])
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo(tmp_path / f"{name}.jpg", packet(regions(item, size=size)), exif=exif)
    for one in read_xmp(tmp_path).photos:
        assert one.box == pytest.approx(upright), one.image


def test_damaged_and_hostile_packets_are_named_and_left_out(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", LIGHTROOM)
    photo(tmp_path / "b.jpg")
    (tmp_path / "b.xmp").write_text("<x:xmpmeta")
    photo(tmp_path / "c.jpg")
    (tmp_path / "c.xmp").write_text(
        '<!DOCTYPE x [<!ENTITY e "Individual|Eve">]>' + packet(wrapped=False), encoding="utf-8"
    )
    (tmp_path / "d.jpg").write_bytes(b"no photograph")
    found = read_xmp(tmp_path)
    assert [one.identity for one in found.photos] == ["Zoë"]
    assert sum(found.left_out.values()) == 3
    assert {name for names in found.examples.values() for name in names} == {
        "b.jpg", "c.jpg", "d.jpg",
    }  # fmt: skip


# ---------------------------------------------------------------- writing


def texts_of(path: Path, name: str) -> list[str]:
    """The items of a property, by a parser of their own."""
    tree = ElementTree.parse(path)
    (found,) = [one for one in tree.iter() if one.tag.endswith("}" + name)]
    return [item.text or "" for item in found.iter() if item.tag.endswith("}li")]


def test_what_stood_in_a_sidecar_stays_and_photographs_are_not_touched(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", LIGHTROOM)
    before = path.read_bytes()
    (tmp_path / "a.xmp").write_text(
        packet(listed("lr:hierarchicalSubject", "Places|Mara"), 'crs:Exposure2012="+0.35"'),
        encoding="utf-8",
    )
    seen = ObservedPhoto("a.jpg", path, identity="Ann", view="left", box=(0.1, 0.2, 0.5, 0.9))
    for _ in range(2):  # twice gives no keyword twice
        assert write_xmp(Observed("any", "", (seen,)), tmp_path) == ()
        assert path.read_bytes() == before
        said = (tmp_path / "a.xmp").read_text(encoding="utf-8")
        assert "+0.35" in said
        assert texts_of(tmp_path / "a.xmp", "hierarchicalSubject") == [
            "Places|Mara", "Individual|Ann", "View|left",
        ]  # fmt: skip
        assert texts_of(tmp_path / "a.xmp", "TagsList") == ["Individual/Ann", "View/left"]
        assert texts_of(tmp_path / "a.xmp", "subject") == ["Ann", "left"]
    assert read_xmp(tmp_path).photos == (seen,)
    # Named otherwise, the keyword of before goes.
    write_xmp(Observed("any", "", (ObservedPhoto("a.jpg", path, identity="Bo"),)), tmp_path)
    assert texts_of(tmp_path / "a.xmp", "hierarchicalSubject") == ["Places|Mara", "Individual|Bo"]
    # A person renames it in a program that knows nothing of the records.
    said = (tmp_path / "a.xmp").read_text(encoding="utf-8")
    (tmp_path / "a.xmp").write_text(re.sub(r"(Individual[|/])Bo", r"\1Cleo", said), "utf-8")
    assert [one.identity for one in read_xmp(tmp_path).photos] == ["Cleo"]


def test_sidecars_may_lie_in_a_tree_of_their_own(tmp_path: Path) -> None:
    paths = [photo(tmp_path / "photos" / name) for name in ("x/a.jpg", "x/a.png", "y/b.jpg")]
    photos = tuple(
        ObservedPhoto(path.name, path, identity=f"n {number}") for number, path in enumerate(paths)
    )
    out = tmp_path / "out"
    write_observed(Observed("any", "", photos), out, "xmp")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.xmp")) == [
        "x/a.jpg.xmp", "x/a.png.xmp", "y/b.xmp",
    ]  # fmt: skip
    assert not list((tmp_path / "photos").rglob("*.xmp"))
    assert read_xmp(out, tmp_path / "photos").photos == photos


def test_nothing_is_written_where_a_sidecar_is_damaged(tmp_path: Path) -> None:
    photos = tuple(
        ObservedPhoto(f"{name}.jpg", photo(tmp_path / f"{name}.jpg"), identity=name)
        for name in "ab"
    )
    (tmp_path / "b.xmp").write_text("<x:xmpmeta")
    refused(lambda: write_xmp(Observed("any", "", photos), tmp_path), "b.xmp", "mend or remove")
    assert not (tmp_path / "a.xmp").exists()
    nowhere = ObservedPhoto("c", None, identity="c")
    refused(lambda: write_xmp(Observed("any", "", (nowhere,)), tmp_path), "nothing was written")
    with pytest.raises(FlukeprintError, match="missing"):
        read_xmp(tmp_path / "none")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_in_and_out_and_in_again(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        root = Path(name)
        photos: list[ObservedPhoto] = []
        names = st.sampled_from(["a.jpg", "été/ü.png", "a.png", "d..e.jpg", "NA.jpg", "x#2.jpg"])
        for file in data.draw(st.lists(names, unique=True, max_size=4)):
            path, where = photo(root / file), data.draw(pictures())
            for number, seen in enumerate(data.draw(st.lists(sightings(), min_size=1, max_size=3))):
                photos.append(ObservedPhoto(f"{file}#{number}", path, **where, **seen))
        if not photos:
            return
        lines = write_xmp(Observed("any", "", tuple(photos)), root, root=root)
        assert lines == ()
        assert by_image(read_xmp(root).photos) == by_image(photos)
        for path in root.rglob("*.xmp"):
            for record in json.loads(ElementTree.parse(path).findtext(
                ".//{urn:flukeprint:xmp:1}records") or "")["photographs"]:  # fmt: skip
                assert not Path(record["path"]).is_absolute()
