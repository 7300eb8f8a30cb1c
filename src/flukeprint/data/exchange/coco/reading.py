"""Reads COCO, and what camera traps and Wild Me added to it: places, series, individuals, views.

Formats: https://cocodataset.org/#format-data, https://lila.science/coco-camera-traps, and the
exports of WBIA (Wild Me) and Wildbook.  Boxes are pixels, or shares as `bbox_relative`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.coco.boxes import (
    SHARE_DECIMALS,
    FileSize,
    Rectangle,
    file_size,
    is_there,
    rectangle_around,
    shares_of,
    upright_by_boxes,
    uprighted,
)
from flukeprint.data.exchange.coco.fields import (
    MACHINE,
    NAME,
    NO_FILE,
    NO_SPECIES,
    bearers_of,
    date_of,
    fields_of,
    identity_of,
    unambiguous,
)
from flukeprint.data.exchange.json_files import (
    box_name,
    file_of,
    keys_in,
    number,
    numbers,
    objects,
    posix_name,
    read_object,
    text,
)
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.errors import counted
from flukeprint.storage import join

FORM = "COCO"
_WHAT = "COCO"
_EMPTY = {"empty", "blank"}
_NO_ANIMALS = {"person", "people", "human", "homo sapiens", "homo_sapiens", "vehicle"}
_ROOT_TRIES = 20  # names that are looked for


def recognises(path: Path) -> bool:
    """Whether a file looks like COCO; it is searched, not parsed."""
    found = keys_in(path, ("images", "file_name", "annotations", "categories"))
    return {"images", "file_name"} < found


def read_coco(path: Path, *, root: Path | None = None, look: bool = True) -> Observed:
    """Read a COCO file: one row an annotation, or one a photograph that has none.

    root: where relative names of files begin; by default the folder of `path`, or the one of
        photographs that stands beside it or beside its folder.
    look: compare the sizes with those of the photographs that are there, which may be turned.

    Raises FlukeprintError for a file that is not COCO.
    """
    return read_with_trees(path, root=root, look=look).observed


@dataclass(frozen=True)
class ReadTrees:
    """What was read: the file's tree, its rows, and for each row its image and its annotation.

    The annotation is None where a photograph has none.  Both are parts of `tree`.
    """

    tree: dict[str, Any]
    observed: Observed
    images: tuple[Mapping[str, Any], ...]
    annotations: tuple[Mapping[str, Any] | None, ...]


def read_with_trees(path: Path, *, root: Path | None = None, look: bool = True) -> ReadTrees:
    """Read a COCO file like `read_coco`, with the objects that each row was read from."""
    tree = read_object(path, _WHAT)
    images = objects(tree, "images", path, _WHAT)
    annotations = objects(tree, "annotations", path, _WHAT) if "annotations" in tree else []
    categories = tree.get("categories")
    notes = []
    folder = root or _folder(path, images)
    if root is None and folder != path.parent:
        notes.append(f"photographs are looked for in {folder}")
    reader = _Reader(folder, categories if isinstance(categories, list) else [], annotations)
    reader.gather(images, annotations)
    notes += reader.measured(look)
    photos = tuple(reader.photos())
    notes += reader.notes()
    if isinstance(parts := tree.get("parts"), list) and parts:
        notes.append(f"{counted(len(parts), 'part')} of animals are not read")
    info = tree["info"] if isinstance(tree.get("info"), dict) else {}
    observed = Observed(
        _form(info, images), str(info.get("version") or ""), photos,
        reader.left.counts, reader.left.examples, tuple(notes),
    )  # fmt: skip
    return ReadTrees(
        tree,
        observed,
        tuple(draft.picture.tree for draft in reader.taken),
        tuple(draft.annotation or None for draft in reader.taken),
    )


@dataclass
class _Picture:
    """An image of the file.

    size: width and height that the source gives.  file: what its file tells, where it was asked.
    stored: whether boxes are those of the stored picture, to be turned as EXIF says.
    """

    name: str
    path: Path | None
    tree: Mapping[str, Any]
    size: tuple[float, float] | None
    file: FileSize | None = None
    stored: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        """What images of one file share; two without a file are never one."""
        return self.name, self.path is None


@dataclass
class _Draft:
    """A row that is to be: a rectangle of pixels, a box of shares, or the whole photograph."""

    image: str
    picture: _Picture
    annotation: Mapping[str, Any]
    rectangle: Rectangle | None = None
    box: Box | None = None


class _Reader:
    """Gathers the rows of one file."""

    def __init__(self, root: Path, categories: list[Any], annotations: list[Any]) -> None:
        self.left = LeftOut()
        self._root = root
        self._categories = {
            str(one.get("id")): text(one.get("name")) or ""
            for one in categories
            if isinstance(one, dict)
        }
        self._bearers = bearers_of(annotations)
        self.taken: list[_Draft] = []  # of the rows, in their order
        self._drafts: list[_Draft] = []
        self._told: Counter[str] = Counter()

    def gather(self, images: list[Any], annotations: list[Any]) -> None:
        """Bring annotations to their images, in the order of these."""
        by_id: dict[str, _Picture] = {}
        for place, tree in enumerate(images, 1):
            picture = self._picture(tree, place)
            if picture is not None and str(tree["id"]) in by_id:
                self.left.note("images whose id is given twice", picture.name)
            elif picture is not None:
                by_id[str(tree["id"])] = picture
        # By their files, as one may be listed under several ids.
        rows: dict[tuple[str, bool], list[tuple[_Picture, Any]]] = {}
        first: dict[tuple[str, bool], _Picture] = {}
        for picture in by_id.values():
            first.setdefault(picture.key, picture)
            rows[picture.key] = []
        for place, one in enumerate(annotations, 1):
            of = by_id.get(str(one.get("image_id"))) if isinstance(one, dict) else None
            if of is None:
                self.left.note("annotations of no image that is listed", f"annotation {place}")
            else:
                rows[of.key].append((of, one))
        taken: set[str] = set()
        for key, found in rows.items():
            name = key[0]
            if not found:
                found = [(first[key], {})]
                self._told["photographs without an annotation, which are taken whole"] += 1
            for place, (picture, annotation) in enumerate(found, 1):
                draft = self._draft(picture, annotation, box_name(name, place, len(found)))
                if draft is not None and draft.image in taken:
                    self.left.note("boxes whose name another photograph has", draft.image)
                elif draft is not None:
                    taken.add(draft.image)
                    self._drafts.append(draft)

    def _picture(self, tree: Any, place: int) -> _Picture | None:
        name = tree.get("file_name") if isinstance(tree, dict) else None
        if not isinstance(name, str) or not name or tree.get("id") is None:
            self.left.note("images without an id or a file's name", f"image {place}")
            return None
        name = posix_name(name)
        if tree.get("corrupt") is True:
            self.left.note("photographs that their source calls corrupt", name)
            return None
        path = None if tree.get(NO_FILE) is True else file_of(name, self._root)
        width, height = number(tree.get("width")), number(tree.get("height"))
        known = width is not None and height is not None and width > 0 and height > 0
        return _Picture(name, path, tree, (width, height) if known else None)  # type: ignore[arg-type]

    def _draft(self, picture: _Picture, annotation: Mapping[str, Any], name: str) -> _Draft | None:
        category = self._category(annotation).casefold()
        if category in _EMPTY:
            self.left.note("photographs marked as empty", picture.name)
            return None
        if category in _NO_ANIMALS and identity_of(annotation) is None:
            self.left.note(f"annotations of {category}", name)
            return None
        if annotation.get("iscrowd") in (1, True):
            self.left.note("groups of animals in one box", name)
            return None
        image = text(annotation.get(NAME)) or text(picture.tree.get(NAME)) or name
        draft = _Draft(image, picture, annotation)
        if annotation.get("sequence_level_annotation") is True:
            self._told["annotations of a series, not of each of its photographs"] += 1
        if annotation.get("bbox_relative") is not None:
            sides = numbers(annotation["bbox_relative"], 4)
            if sides is not None:
                draft.box = shares_of(Rectangle(*sides), 1.0, 1.0, SHARE_DECIMALS)
            if draft.box is None:
                self.left.note(_why_not(sides), name)
                return None
            return draft
        if annotation.get("bbox") in (None, []):
            draft.rectangle = rectangle_around(annotation.get("segmentation"))
            return draft
        sides = numbers(annotation["bbox"], 4)
        if sides is None or sides[2] <= 0 or sides[3] <= 0:
            self.left.note("malformed boxes", name)
            return None
        draft.rectangle = Rectangle(*sides)
        if theta := number(annotation.get("theta")):
            draft.rectangle = draft.rectangle.turned(theta)
            self._told["turned boxes, of which the upright box around each is taken"] += 1
        return draft

    def measured(self, look: bool) -> list[str]:
        """Find the sizes of photographs with boxes of pixels; lines on what was found."""
        told: Counter[str] = Counter()
        drafts = [one for one in self._drafts if one.rectangle is not None]
        pictures = {id(one.picture): one.picture for one in drafts}.values()
        for picture in pictures:
            if picture.path is None or not (look or picture.size is None):
                continue
            picture.file = file_size(picture.path) if is_there(picture.path) else None
            if picture.file is None:
                continue
            if picture.size is None:
                picture.size = picture.file.width, picture.file.height
                told["sizes that are missing and were read from the photographs"] += 1
            elif picture.file.is_of_another(*picture.size):
                told["photographs of another shape than is written, perhaps other files"] += 1
            else:
                picture.stored = picture.file.is_stored(*picture.size)
        lying = [one for one in drafts if one.picture.stored]
        if upright_by_boxes(
            (one.rectangle, *one.picture.size)
            for one in lying
            if one.rectangle is not None and one.picture.size is not None
        ):
            how = "are upright, as some leave the stored picture"
            for one in lying:
                one.picture.stored = False
            for picture in {id(one.picture): one.picture for one in lying}.values():
                assert picture.size is not None  # it was compared
                picture.size = picture.size[::-1]
        else:
            how = "were turned with them"
        if count := len({id(one.picture) for one in lying}):
            told[f"sizes of photographs before EXIF turns them, whose boxes {how}"] = count
        return [f"{what}: {number:,}" for what, number in told.items()]

    def photos(self) -> list[ObservedPhoto]:
        """The rows."""
        found = []
        for draft in self._drafts:
            box, picture = draft.box, draft.picture
            if draft.rectangle is not None:
                if picture.size is None:
                    self.left.note("boxes of photographs of unknown size", draft.image)
                    continue
                box = shares_of(draft.rectangle, *picture.size)
                if box is None:
                    self.left.note(_why_not(draft.rectangle), draft.image)
                    continue
                if picture.stored and picture.file is not None:
                    box = uprighted(box, picture.file.turn)
            draft.box = box
            self.taken.append(draft)
            found.append(self._photo(draft))
        return found

    def _photo(self, draft: _Draft) -> ObservedPhoto:
        trees = draft.annotation, draft.picture.tree
        if (when := date_of(trees)) is None:
            self._told["dates that could not be read, as years are to stand first"] += 1
        date, offset = when or (None, None)
        species = self._category(draft.annotation)
        return ObservedPhoto(
            draft.image, draft.picture.path, box=draft.box, date=date, offset=offset,
            identity=unambiguous(draft.annotation, self._bearers),
            species=None if species.casefold() in NO_SPECIES else species,
            machine=draft.annotation.get(MACHINE) is True,
            **fields_of(trees),
        )  # fmt: skip

    def _category(self, annotation: Mapping[str, Any]) -> str:
        return self._categories.get(str(annotation.get("category_id")), "")

    def notes(self) -> list[str]:
        """What else is to be said, a line each."""
        shared = sum(len(uuids) > 1 for uuids in self._bearers.values())
        if shared:
            self._told["names of several individuals, whose ids stand behind them"] = shared
        return [f"{what}: {number:,}" for what, number in self._told.items()]


def _why_not(sides: Sequence[float] | None) -> str:
    if sides is None or sides[2] <= 0 or sides[3] <= 0:
        return "malformed boxes"
    return "boxes that hold nothing of their photograph"


def _folder(path: Path, images: list[Any]) -> Path:
    """The folder where the first photographs are, of those where such files have them."""
    names = [
        posix_name(one["file_name"])
        for one in images[:_ROOT_TRIES]
        if isinstance(one, dict) and isinstance(one.get("file_name"), str)
    ]
    names = [name for name in names if "://" not in name and not PurePosixPath(name).is_absolute()]
    here, above = path.parent, path.parent.parent
    # instances_train2020.json of Wild Me is beside a folder images/train2020.
    part = path.stem.removeprefix("instances_")
    for folder in (here, here / "images", above / "images", above / "images" / part, above):
        if any(is_there(join(folder, name)) for name in names):
            return folder
    return here


def _form(info: Mapping[str, Any], images: list[Any]) -> str:
    """Which of the kinds of COCO it is."""
    maker = f"{info.get('contributor')} {info.get('description')}".casefold()
    if "wild me" in maker or "wildme" in maker or "wildbook" in maker:
        return "WildMe COCO"
    traps = ("location", "seq_id", "datetime")
    if any(isinstance(one, dict) and any(key in one for key in traps) for one in images):
        return "COCO Camera Traps"
    return FORM
