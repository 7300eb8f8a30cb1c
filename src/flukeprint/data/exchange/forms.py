"""The formats of the field that are read and written.

A new format is a module of this package and a row of `FORMS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flukeprint.data.exchange import megadetector, wildlife_frames
from flukeprint.data.exchange.any_table import reading as any_table
from flukeprint.data.exchange.any_table.sheets import headers_of
from flukeprint.data.exchange.any_table.writing import write_any_table
from flukeprint.data.exchange.camtrap import reading as camtrap
from flukeprint.data.exchange.camtrap.writing import write_camtrap_dp
from flukeprint.data.exchange.coco import reading as coco
from flukeprint.data.exchange.coco.writing import write_coco
from flukeprint.data.exchange.darwin_core import reading as darwin_core
from flukeprint.data.exchange.darwin_core.writing import write_darwin_core
from flukeprint.data.exchange.megadetector import read_megadetector
from flukeprint.data.exchange.observed import Observed
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.data.exchange.wildbook import reading as wildbook
from flukeprint.data.exchange.wildbook.writing import write_wildbook
from flukeprint.data.exchange.wildlife_frames import read_wildlife_frame, write_wildlife_frame
from flukeprint.data.exchange.xmp import reading as xmp
from flukeprint.data.exchange.xmp.writing import write_xmp
from flukeprint.errors import FlukeprintError, listed, nearest

# How a command calls what `ReadOptions` holds.
OPTION_NAMES = {
    "columns": "--column", "dates": "--dates", "sheet": "--sheet", "decimal": "--decimal",
    "box_unit": "--box-unit", "pattern": "--pattern", "keywords": "--keywords",
}  # fmt: skip
TABLE = "table"  # key of any table, and of folders with a pattern

# Writes what is known of photographs to a path that is not there; returns lines for people.
Writer = Callable[[Observed, Path], tuple[str, ...]]


@dataclass(frozen=True)
class Form:
    """A format: whether a path is of it, by a look, what it tells, and how it is written.

    name: what people call it.
    read: from the path and the folder in which relative names begin, None for the usual one.
    write: None for a format that is only read.
    read_with: like `read`, as options say; None for a format that leaves nothing open.
    options: names of those of `ReadOptions` that `read_with` follows.
    into_existing: whether a folder that is there may be written into.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Path | None], Observed]
    write: Writer | None = None
    read_with: Callable[[Path, Path | None, ReadOptions], Observed] | None = None
    options: frozenset[str] = frozenset()
    into_existing: bool = False

    def read_as(self, path: Path, root: Path | None, options: ReadOptions) -> Observed:
        """Read a path as options say, where the format leaves something open."""
        if self.read_with is None:
            return self.read(path, root)
        return self.read_with(path, root, options)


def _camtrap_dp(observed: Observed, path: Path) -> tuple[str, ...]:
    root = write_camtrap_dp(observed, path)
    return () if root == path else (f"names of photographs begin in {root}",)


def _darwin_core(observed: Observed, path: Path) -> tuple[str, ...]:
    root = write_darwin_core(observed, path)
    here = path.parent if path.suffix.lower() == ".zip" else path
    return () if root == here else (f"names of photographs begin in {root}",)


# The first one that recognises a path reads it.
FORMS: Mapping[str, Form] = {
    "camtrap-dp": Form("Camtrap DP", camtrap.recognises, camtrap.read_camtrap_dp, _camtrap_dp),
    "megadetector": Form(
        "MegaDetector",
        megadetector.recognises,
        lambda path, root: read_megadetector(path, root=root),
    ),
    "coco": Form(
        "COCO", coco.recognises, lambda path, root: coco.read_coco(path, root=root), write_coco
    ),
    "darwin-core": Form(
        "Darwin Core", darwin_core.recognises, darwin_core.read_darwin_core, _darwin_core
    ),
    "wildbook": Form(
        "Wildbook", wildbook.recognises, wildbook.read_wildbook, write_wildbook
    ),
    "wildlife-datasets": Form(
        "wildlife-datasets", wildlife_frames.recognises, read_wildlife_frame, write_wildlife_frame
    ),
    "xmp": Form(
        "XMP keywords", xmp.recognises, xmp.read_xmp, write_xmp,
        lambda path, root, options: xmp.read_xmp(path, root, options.keywords),
        frozenset({"keywords"}), into_existing=True,
    ),
    # The last one, as most programs' tables could be taken for it.
    TABLE: Form(
        "a table whose headers name photographs", any_table.recognises, any_table.read_any_table,
        write_any_table, any_table.read_any_table,
        frozenset({"columns", "dates", "sheet", "decimal", "box_unit", "pattern"}),
    ),
}  # fmt: skip


def is_of(key: str, path: Path, options: ReadOptions | None = None) -> bool:
    """Whether a path is of the format `key`: by what the options can be meant for, else by a look.

    Raises:
        FlukeprintError: it is read to find out, and damaged.
    """
    if options is not None and options.of_table:
        return key == TABLE
    if options is not None and options.keywords and path.is_dir():
        return key == "xmp"
    return FORMS[key].recognises(path)


def recognised(path: Path) -> Form | None:
    """The format that a file or folder looks like; None for none."""
    return _found(path, None)


def _found(path: Path, options: ReadOptions | None) -> Form | None:
    return next((form for key, form in FORMS.items() if is_of(key, path, options)), None)


def form_of(path: Path, options: ReadOptions | None = None) -> Form:
    """The format of a file or folder.

    options: where they can be meant for a table only, it is one.

    Raises:
        FlukeprintError: it is missing, or of no format that is read.
    """
    if not path.exists():
        raise FlukeprintError(f"{path} is missing; check the path")
    form = _found(path, options)
    if form is not None:
        return form
    raise no_form(path)


def no_form(path: Path) -> FlukeprintError:
    """The error of a path that is of no format: which ones are read, and what could be said."""
    known = ", ".join(form.name for form in FORMS.values())
    headers = headers_of(path)  # which says what is wrong with a damaged table
    hint = ""
    if headers:
        hint = f"; say what its columns {listed(filter(None, headers))} are, at least the image"
    elif path.is_dir():
        hint = "; for a folder of photographs give a pattern, such as {identity}/*"
    return FlukeprintError(f"{path} is of no format that is read: {known}{hint}")


def unused_options(path: Path, options: ReadOptions) -> tuple[str, ...]:
    """Names of the options that are given and of no use to the format of a file or folder.

    Raises:
        FlukeprintError: it is missing, or of no format that is read.
    """
    if not options.given:  # no file need be looked at
        return ()
    return _unused(form_of(path, options), options)


def _unused(form: Form, options: ReadOptions) -> tuple[str, ...]:
    of_folders = {"pattern", "dates", "decimal"}
    follows = form.options & of_folders if options.pattern is not None else form.options
    return tuple(name for name in options.given if name not in follows)


def check_options(path: Path, options: ReadOptions) -> None:
    """Raise FlukeprintError for options that would have no effect on a file or folder."""
    if not options.given:
        return
    form = form_of(path, options)
    unused = _unused(form, options)
    if unused:
        table = form is FORMS[TABLE] or path.is_dir()
        hint = "" if table else "; --column image=HEADER reads it as any table"
        raise FlukeprintError(
            f"{path} is read as {form.name}, to which "
            f"{listed(OPTION_NAMES[name] for name in unused)} means nothing; leave it out{hint}"
        )


def read_observed(
    path: Path, root: Path | None = None, options: ReadOptions | None = None
) -> Observed:
    """Read what a file or folder tells, in whichever format of `FORMS` it is.

    root: where relative names of photographs begin; the usual place of the format by default.
    options: how, where the format leaves something open.

    Raises:
        FlukeprintError: it is missing, of no format that is read, or damaged.
    """
    form = form_of(path, options)
    return form.read(path, root) if options is None else form.read_as(path, root, options)


def writer_of(key: str) -> Writer:
    """The writer of a format by its key in `FORMS`.

    Raises:
        FlukeprintError: there is no such format, or it is only read.
    """
    writers = {name: form.write for name, form in FORMS.items() if form.write is not None}
    if key not in writers:
        raise FlukeprintError(f"nothing is written as {key!r}; {nearest(key, writers)}")
    return writers[key]


def write_observed(observed: Observed, path: Path, key: str) -> tuple[str, ...]:
    """Write what is known of photographs in the format `key` of `FORMS`.

    Returns:
        Lines for people: what is not as every program expects it.

    Raises:
        FlukeprintError: no such writer, something is there already, or it cannot be written.
    """
    write = writer_of(key)
    if path.exists() and not (path.is_dir() and FORMS[key].into_existing):
        raise FlukeprintError(f"{path} is there already; name another")
    return write(observed, path)
