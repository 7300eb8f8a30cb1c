"""The people who may use a server: names, roles and digests of their tokens, in a file.

The file lies outside any repository; a token itself is printed once, when it is made, and kept
nowhere.  Tokens are random and long, so a plain digest of them tells nothing.
"""

import csv
import hashlib
import hmac
import io
import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from flukeprint.data.names import identity_name, spelling
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.files import written_whole

Role = Literal["look", "review", "keep"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
COLUMNS = ("name", "role", "sha256")
LOG = logging.getLogger("flukeprint.serving")

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Person:
    """Somebody with a token.

    role: `look` at the catalogue, also `review` photographs, or also `keep` the catalogue.
    sha256: of the token.
    """

    name: str
    role: Role
    sha256: str = field(repr=False)

    def may(self, role: Role) -> bool:
        """Whether the role of this person includes another one."""
        return ROLES.index(self.role) >= ROLES.index(role)


def digest_of(token: str) -> str:
    """The digest by which a token is known."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def holder(token: str, people: Iterable[Person]) -> Person | None:
    """Whose token it is; the time taken does not tell how nearly it is somebody's."""
    given = digest_of(token)
    found = None
    for person in people:
        if hmac.compare_digest(given, person.sha256) and found is None:
            found = person
    return found if token else None


def read_people(path: Path) -> tuple[Person, ...]:
    """Read a CSV with the columns name, role and sha256, or a YAML list of such mappings.

    Raises:
        FlukeprintError: it cannot be read, or a row cannot be; also two of one name or token.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FlukeprintError(
            f"serve.people: {path} cannot be read ({getattr(error, 'strerror', None) or error}); "
            f"flukeprint token NAME --role keep --people {path} makes it"
        ) from None
    people: dict[str, Person] = {}
    for line, row in _rows(path, text):
        person = _person(row, f"{path}, {line}")
        if spelling(person.name) in people:
            raise FlukeprintError(f"{path}, {line}: {person.name} is there twice; keep one")
        if any(other.sha256 == person.sha256 for other in people.values()):
            raise FlukeprintError(f"{path}, {line}: {person.name} has the token of another; "
                                  "make a new one with flukeprint token")  # fmt: skip
        people[spelling(person.name)] = person
    return tuple(people.values())


def _rows(path: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    if path.suffix.lower() in (".yaml", ".yml"):
        try:
            entries = yaml.safe_load(text) or []
        except yaml.YAMLError:
            raise FlukeprintError(f"serve.people: {path} is no YAML") from None
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise FlukeprintError(f"serve.people: {path} is no list of name, role and sha256")
        return [(f"entry {number}", one) for number, one in enumerate(entries, 1)]
    table = csv.DictReader(io.StringIO(text))
    if table.fieldnames is not None:
        missing = [name for name in COLUMNS if name not in table.fieldnames]
        if missing:
            raise FlukeprintError(
                f"serve.people: {path} has no column {missing[0]}; its columns are "
                f"{', '.join(COLUMNS)}"
            )
    return [(f"line {table.line_num}", row) for row in table]


def _person(row: Mapping[str, Any], where: str) -> Person:
    name, given, sha256 = (str(row.get(key) or "").strip() for key in COLUMNS)
    role = next((known for known in ROLES if known == given), None)
    if role is None:
        raise FlukeprintError(f"{where}: role {given!r} is none; {nearest(given, ROLES)}")
    if not _DIGEST.fullmatch(sha256):
        raise FlukeprintError(f"{where}: sha256 is no digest of a token, 64 digits 0-9 and a-f")
    return Person(_name(name, where), role, sha256)


def _name(name: str, where: str) -> str:
    plain = identity_name(name)
    if not plain or not plain.isprintable() or len(plain) > _LONGEST_NAME:
        raise FlukeprintError(
            f"{where}: a name is one line of 1 to {_LONGEST_NAME} printable characters"
        )
    return plain


def give_token(path: Path, name: str, role: Role) -> str:
    """Make a token for a person, and note its digest in the file; returns the token.

    A token that the person had is valid no more.
    """
    token = f"fp_{secrets.token_urlsafe(32)}"
    person = Person(_name(name, "the token"), role, digest_of(token))
    _write(path, [*_others(path, person.name), person])
    return token


def take_token(path: Path, name: str) -> None:
    """Strike a person off the file; raises FlukeprintError where nobody has that name."""
    rest = _others(path, name)
    if len(rest) == len(read_people(path)):
        known = [person.name for person in rest]
        raise FlukeprintError(f"{path} names nobody {name}; {nearest(name, known)}")
    _write(path, rest)


def _others(path: Path, name: str) -> list[Person]:
    if not path.exists():
        return []
    return [one for one in read_people(path) if spelling(one.name) != spelling(name)]


def _write(path: Path, people: Iterable[Person]) -> None:
    rows = [{"name": one.name, "role": one.role, "sha256": one.sha256} for one in people]
    with written_whole(path) as draft:
        if path.suffix.lower() in (".yaml", ".yml"):
            draft.write_text(yaml.safe_dump(rows, allow_unicode=True, sort_keys=False))
            return
        with draft.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


class PeopleFile:
    """The people of a file, read again when it changes.

    Where it can no longer be read, those who were there stay, and the log says so.
    """

    def __init__(self, path: Path) -> None:
        """Read it; raises FlukeprintError as `read_people` does."""
        self._path = path
        self._seen = self._signature()
        self._people = read_people(path)

    def now(self) -> tuple[Person, ...]:
        """All people."""
        there = self._signature()
        if there != self._seen:
            try:
                self._people = read_people(self._path)
            except FlukeprintError as error:
                LOG.error("the people are as before: %s", error)
            self._seen = there
        return self._people

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
