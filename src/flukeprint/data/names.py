"""Names of animals: how they enter, when two may be one animal, and which cannot be written.

A name is kept in Unicode form C, without blanks at its ends.  A submission separates names by
blanks, so blanks inside are written as `_` there; galleries keep names one a line.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError, counted

_BREAKS = ("Cc", "Zl", "Zp")  # Unicode categories: control characters, line and paragraph ends
_SEPARATORS = (*_BREAKS, "Zs", "Pd", "Pc")  # and blanks, dashes, underscores
_ACCENTS = re.compile("[\u0300-\u036f]")


def identity_name(label: str) -> str:
    """The name of an animal as it is kept: in Unicode form C, without blanks at its ends."""
    return unicodedata.normalize("NFC", label).strip()


def spelling(name: str) -> str:
    """What two spellings of one name share: without case, accents, blanks, dashes and `_`.

    Between two digits a separator counts, so that n_1_12 is not n_11_2.
    """
    letters = _ACCENTS.sub("", unicodedata.normalize("NFKD", name)).casefold()
    plain = "".join(
        " " if unicodedata.category(letter) in _SEPARATORS else letter
        for letter in letters
        if unicodedata.category(letter) != "Cf"  # invisible characters
    )
    return re.sub(r"(?<=\d) +(?=\d)", "_", plain.strip()).replace(" ", "") or name


def near_equal(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of different names that share their spelling, each sorted."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        groups[spelling(name)].append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def written_label(label: str) -> str:
    """Format a label for a submission: blanks inside become one `_`."""
    return "_".join(label.split())


def unwritable(identities: Iterable[str], new_label: str) -> tuple[str, ...]:
    """Say of each name that no submission can hold why not; empty where all are fit."""
    if not new_label or written_label(new_label) != new_label:
        return (f"data.new_label {new_label!r} must be a word without blanks",)
    found: list[str] = []
    by_form: dict[str, str] = {new_label: "a new individual"}
    for name in sorted(set(identities)):
        form = written_label(name)
        if not form:
            found.append(f"an identity without a name cannot be written: {name!r}")
        elif form in by_form:
            found.append(
                f"identities {by_form[form]!r} and {name!r} would both be written {form}; "
                "rename one (blanks are written as _)"
            )
        else:
            by_form[form] = name
    return tuple(found)


def unfit_names(catalog: Catalog, new_label: str) -> tuple[str, ...]:
    """Say of each name in a catalogue that training or its results would refuse why they would."""
    names = catalog.vocabulary()
    found = list(unwritable(names, new_label))
    written = spelling(new_label)
    found += [
        f"identity {name!r} is data.new_label {new_label} in another spelling; write it alike"
        for name in names
        if spelling(name) == written and written_label(name) != new_label
    ]
    found += [
        f"{what} {name!r} has a line break in its name; rename it"
        for what, several in (("identity", names), ("photograph", catalog.images))
        for name in several
        if len(name.splitlines()) > 1
    ]
    return tuple(found)


def check_names(catalog: Catalog, new_label: str) -> None:
    """Refuse a catalogue with names that cannot be written, before anything is done with it."""
    found = unfit_names(catalog, new_label)
    if found:
        more = f" (and {counted(len(found) - 1, 'name')} more)" if len(found) > 1 else ""
        raise FlukeprintError(found[0] + more)


def enrolled_name(given: str, known: Iterable[str], new_label: str, *, force: bool = False) -> str:
    """The name under which an animal is enrolled among the `known`: theirs, if it is one of them.

    force: take a name that is nearly a known one for another animal.

    Raises:
        FlukeprintError: no name, or nearly a known one.
    """
    name = identity_name(given)
    breaks = any(unicodedata.category(letter) in _BREAKS for letter in name)
    if not name or breaks or spelling(name) == spelling(new_label):
        raise FlukeprintError(f"{given!r} is no name for an individual")
    alike = []
    for other in known:
        if identity_name(other) == name:
            return other
        if spelling(other) == spelling(name):
            alike.append(other)
    if alike and not force:
        raise FlukeprintError(
            f"the gallery knows this name as {alike[0]}, spelt otherwise: enroll under that, or "
            "with force if they are two animals"
        )
    return name
