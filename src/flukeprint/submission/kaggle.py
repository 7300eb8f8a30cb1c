"""Archives: a ZIP file of a competition enters, a folder with its files leaves.

Nothing is written outside the folder, nothing more than the archive declares, and no more than
the disk can take.
"""

import contextlib
import errno
import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from flukeprint.config.schema import DataConfig
from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import folder_written_whole
from flukeprint.storage import require_local
from flukeprint.submission.csv_file import check_submission

# Photographs do not shrink and tables shrink tenfold: what grows a hundredfold is a trap.
MOST_GROWTH = 100
SMALL = 100 * 2**20  # bytes; below it growth does no harm
CHUNK = 2**20
CREDENTIALS = (
    "create a token at https://www.kaggle.com/settings/api (button `Generate New Token`) and save "
    "it to ~/.kaggle/access_token, or set KAGGLE_API_TOKEN to it; a legacy key works as "
    "~/.kaggle/kaggle.json or as KAGGLE_USERNAME and KAGGLE_KEY"
)
UPLOAD_FAILED = "Could not submit to competition"  # kaggle returns this instead of raising


def unpack(archive: Path, folder: Path) -> None:
    """Unpack `archive` and the ZIP files at its top into the empty `folder`.

    `train.zip` inside becomes `train/`, `train.csv.zip` its table; a folder that holds nothing
    but a folder of the same name (`train/train/`) is replaced by that.

    Raises:
        FlukeprintError: no ZIP file, damaged, encrypted, names that leave the folder or stand
            twice, contents out of proportion or larger than the free disk.
        OSError: the disk is full or the folder cannot be written.
    """
    _unpack_one(archive, folder)
    for inner in sorted(folder.glob("*.zip")):
        table = PurePosixPath(inner.stem).suffix != ""  # train.csv.zip holds train.csv
        target = folder if table else folder / inner.stem
        _unpack_one(inner, target)
        inner.unlink()
    for outer in [path for path in folder.iterdir() if path.is_dir()]:
        only = list(outer.iterdir())
        if len(only) == 1 and only[0].is_dir() and only[0].name == outer.name:
            aside = folder / f".{outer.name}.inner"
            only[0].replace(aside)
            outer.rmdir()
            aside.replace(outer)


def _unpack_one(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.is_dir()]
            _check(archive, members, folder)
            for member in members:
                _write(content, member, folder.joinpath(*_parts(member.filename)))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError) as error:
        raise FlukeprintError(
            f"{archive.name} is not a whole ZIP file ({error}); download it again"
        ) from None
    except (RuntimeError, NotImplementedError) as error:  # how zipfile refuses passwords
        raise FlukeprintError(f"{archive.name} cannot be unpacked: {error}") from None


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a member's name, or none where it would leave the folder."""
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or "\\" in name or "\0" in name
    if unsafe or any(part == ".." or ":" in part for part in path.parts):
        return ()
    return path.parts


def _check(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    if not members:
        raise FlukeprintError(f"{archive.name} holds no files")
    outside = [member.filename for member in members if not _parts(member.filename)]
    if outside:
        raise FlukeprintError(
            f"{archive.name} holds names that leave its folder: {listed(outside)}; not unpacked"
        )
    # Windows and macOS do not tell Train.csv from train.csv
    names = [str(PurePosixPath(member.filename)).casefold() for member in members]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})[:3]
        raise FlukeprintError(f"{archive.name} holds files of the same name: {listed(twice)}")
    declared = sum(member.file_size for member in members)
    if declared > max(SMALL, MOST_GROWTH * archive.stat().st_size):
        raise FlukeprintError(
            f"{archive.name} would grow to {declared:,} bytes, more than {MOST_GROWTH} times "
            "its size; not unpacked"
        )
    nearest_folder = folder if folder.exists() else folder.parent
    free = shutil.disk_usage(nearest_folder).free
    if declared > free:
        raise FlukeprintError(
            f"{archive.name} unpacks to {declared:,} bytes, but {nearest_folder} has {free:,} "
            "free; make room"
        )


def _write(content: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Copy one member; zipfile checks its sum, we that it is no longer than declared."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with content.open(member) as source, target.open("xb") as file:
            left = member.file_size
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise zipfile.BadZipFile(f"{member.filename} is longer than declared")
                file.write(chunk)
    except (FileExistsError, NotADirectoryError):
        raise FlukeprintError(
            f"the download holds {member.filename} twice, or as file and folder; not unpacked"
        ) from None


class Api(Protocol):
    """What is used of `kaggle.api.kaggle_api_extended.KaggleApi`."""

    def competition_download_files(
        self, competition: str, path: str, force: bool, quiet: bool
    ) -> None:
        """Write <competition>.zip to the folder `path`."""

    def competition_submit(
        self, file_name: str, message: str, competition: str, quiet: bool
    ) -> Any:
        """Upload a file; the answer has a `message`."""


def download(config: DataConfig, *, force: bool = False, api: Api | None = None) -> Path:
    """Fetch and unpack `config.competition` into the folder `config.root`, whole or not at all.

    Args:
        force: fetch although the folder holds files; those that the download lacks are kept.
        api: stands in for Kaggle in tests.

    Raises:
        FlukeprintError: no competition in the configuration, files already there, no or refused
            credentials, rules not accepted, no network, a damaged archive, a full disk.
    """
    competition = _competition(config)
    root = require_local(
        config.root, "downloading"
    ).resolve()  # a link to a larger disk stays a link
    if root.exists() and not root.is_dir():
        raise FlukeprintError(f"{config.root} is a file; data.root must be a folder")
    if root.is_dir() and any(root.iterdir()) and not force:
        raise FlukeprintError(
            f"{config.root} already holds files; use --force to download {competition} again"
        )
    api = _authenticated() if api is None else api
    with _fetched(api, competition, root) as archive, folder_written_whole(root) as folder:
        unpack(archive, folder)
        if root.is_dir():
            _keep_others(root, folder)
    return config.root


def submit(
    path: Path, config: DataConfig, message: str, *, top: int = 5, api: Api | None = None
) -> str:
    """Send the CSV `path` to `config.competition`; Kaggle's answer.

    It is checked first against the sample submission, where there is one on this disk.

    Raises FlukeprintError as `download` and `check_submission` do, and when Kaggle refuses it.
    """
    competition = _competition(config)
    if not path.is_file():
        raise FlukeprintError(f"no submission {path}; write one with infer.py")
    if config.sample_submission is not None:
        sample = config.root / config.sample_submission
        if sample.exists():
            check_submission(path, sample, top=top)
    api = _authenticated() if api is None else api
    with _explained(competition):
        answer = api.competition_submit(str(path), message, competition, False)
    said = str(getattr(answer, "message", answer))
    if said == UPLOAD_FAILED:
        raise FlukeprintError(f"Kaggle did not take {path} for {competition}: the upload failed")
    return said


def _competition(config: DataConfig) -> str:
    if config.competition is None:
        raise FlukeprintError("this configuration names no competition: set data.competition")
    return config.competition


def _authenticated() -> Api:
    """Kaggle's own API object, or one line that says how to get credentials."""
    said = io.StringIO()  # its help text is replaced by ours, its warnings may name key files
    with (
        _explained(None),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi
        except ImportError as error:
            # its own requirements are not all declared: name the module that is missing
            missing = (error.name or "kaggle").split(".")[0]
            raise FlukeprintError(
                f"the kaggle package cannot be imported for want of {missing}; "
                f"run `pip install {missing}`"
            ) from None
        api: Api = KaggleApi()
        try:
            api.authenticate()  # type: ignore[attr-defined]
        except SystemExit:
            raise FlukeprintError(f"no valid Kaggle credentials: {CREDENTIALS}") from None
    return api


@contextlib.contextmanager
def _fetched(api: Api, competition: str, root: Path) -> Iterator[Path]:
    """The competition's ZIP file in a temporary folder beside `root`, gone afterwards."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.download.")
    except OSError as error:
        raise FlukeprintError(f"cannot write beside {root}: {error.strerror}") from None
    with folder as name:
        with _explained(competition), _disk_full_named(root):
            api.competition_download_files(competition, name, True, False)
        found = [path for path in Path(name).iterdir() if path.suffix == ".zip"]
        if len(found) != 1:
            raise FlukeprintError(f"Kaggle sent no ZIP file for {competition}")
        yield found[0]


def _keep_others(old: Path, new: Path) -> None:
    """Copy the files of `old` that `new` lacks: the user's own tables, caches of views."""
    for path in old.rglob("*"):
        target = new / path.relative_to(old)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


@contextlib.contextmanager
def _disk_full_named(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FlukeprintError(
            f"the disk is full while filling {root}; make room, nothing was left there"
        ) from None


@contextlib.contextmanager
def _explained(competition: str | None) -> Iterator[None]:
    """Turn whatever Kaggle's client raises into one line without addresses or tokens."""
    try:
        yield
    except FlukeprintError:
        raise
    except (Exception, SystemExit) as error:
        raise FlukeprintError(_explanation(error, competition)) from None


def _explanation(error: BaseException, competition: str | None) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return f"Kaggle refuses the credentials (401): {CREDENTIALS}"
    if status == 403 and competition is not None:
        return (
            f"Kaggle refuses {competition} (403): accept its rules at "
            f"https://www.kaggle.com/competitions/{competition}/rules and try again"
        )
    if status == 404 and competition is not None:
        return (
            f"Kaggle knows no open competition {competition} (404): check data.competition, "
            f"https://www.kaggle.com/competitions/{competition}"
        )
    if status == 400:
        return "Kaggle refuses the request (400): is the competition still open for it?"
    if status == 429:
        return "Kaggle asks to wait (429): too many requests, try again later"
    if status is not None:
        return f"Kaggle answered with HTTP {status}; try again later"
    if _is_network(error):
        return "Kaggle cannot be reached: check the network or the proxy and try again"
    if isinstance(error, OSError):
        return f"Kaggle's client failed: {error.strerror or type(error).__name__}"
    return f"Kaggle's client failed with {type(error).__name__}; try `kaggle competitions list`"


def _is_network(error: BaseException) -> bool:
    """Whether requests, urllib3 or the system could not connect, or lost the connection."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__ != "builtins"}
    return bool(kinds & {"ConnectionError", "Timeout", "ChunkedEncodingError", "ProtocolError"})
