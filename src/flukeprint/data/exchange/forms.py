"""The formats of the field that are read and written.

A new format is a module of this package and a row of `FORMS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flukeprint.data.exchange import megadetector
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
from flukeprint.errors import FlukeprintError, listed, nearest

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
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Path | None], Observed]
    write: Writer | None = None
    read_with: Callable[[Path, Path | None, ReadOptions], Observed] | None = None


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
    # The last one, as most programs' tables could be taken for it.
    TABLE: Form(
        "a table whose headers name photographs", any_table.recognises, any_table.read_any_table,
        write_any_table, any_table.read_any_table,
    ),
}  # fmt: skip


def recognised(path: Path) -> Form | None:
    """The format that a file or folder looks like; None for none."""
    return next((form for form in FORMS.values() if form.recognises(path)), None)


def form_of(path: Path, options: ReadOptions | None = None) -> Form:
    """The format of a file or folder.

    options: where they can be meant for a table only, it is one.

    Raises:
        FlukeprintError: it is missing, or of no format that is read.
    """
    if not path.exists():
        raise FlukeprintError(f"{path} is missing; check the path")
    if options is not None and options.of_table:
        return FORMS[TABLE]
    form = recognised(path)
    if form is not None:
        return form
    known = ", ".join(form.name for form in FORMS.values())
    headers = headers_of(path)  # which says what is wrong with a damaged table
    hint = ""
    if headers:
        hint = f"; say what its columns {listed(filter(None, headers))} are, at least the image"
    elif path.is_dir():
        hint = "; for a folder of photographs give a pattern, such as {identity}/*"
    raise FlukeprintError(f"{path} is of no format that is read: {known}{hint}")


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
    if form.read_with is None or options is None:
        return form.read(path, root)
    return form.read_with(path, root, options)


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
    if path.exists():
        raise FlukeprintError(f"{path} is there already; name another")
    return write(observed, path)
