"""Download a competition's data from Kaggle, and send submissions to it."""

import contextlib
import errno
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.read import read_labelled
from flukeprint.errors import FlukeprintError
from flukeprint.files import folder_written_whole
from flukeprint.output import on_terminal, say
from flukeprint.storage import require_local
from flukeprint.submission.archive import unpack
from flukeprint.submission.csv_file import check_submission

CREDENTIALS = (
    "create a token at https://www.kaggle.com/settings/api (button `Generate New Token`) and save "
    "it to ~/.kaggle/access_token, or set KAGGLE_API_TOKEN to it; a legacy key works as "
    "~/.kaggle/kaggle.json or as KAGGLE_USERNAME and KAGGLE_KEY"
)
UPLOAD_FAILED = "Could not submit to competition"  # kaggle returns this instead of raising


class Api(Protocol):
    """The methods of `kaggle.api.kaggle_api_extended.KaggleApi` that are used."""

    def competition_download_files(
        self, competition: str, path: str, force: bool, quiet: bool
    ) -> None:
        """Write <competition>.zip to the folder `path`."""

    def competition_submit(
        self, file_name: str, message: str, competition: str, quiet: bool
    ) -> Any:
        """Upload a file; the answer has a `message`."""


def download(config: DataConfig, *, force: bool = False, api: Api | None = None) -> Path:
    """Download and unpack `config.competition` into the folder `config.root`, atomically.

    Args:
        force: download although the folder holds files; those that the download lacks are kept.
        api: replaces Kaggle in tests.

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
    path: Path,
    config: DataConfig,
    message: str,
    *,
    top: int = 5,
    api: Api | None = None,
    report: Callable[[str], None] = say,
) -> str:
    """Send the CSV `path` to `config.competition`; returns Kaggle's message.

    It is checked first: its rows against the sample submission, its labels against known ones.

    report: receives a line on each check that this machine cannot make, for want of a table.

    Raises FlukeprintError as `download` and `check_submission` do, and when Kaggle refuses it.
    """
    competition = _competition(config)
    if not path.is_file():
        raise FlukeprintError(f"no submission {path}; write one with infer.py")
    sample = None if config.sample_submission is None else config.root / config.sample_submission
    if sample is not None and not sample.is_file():
        report(f"rows are not checked: there is no {sample}")
        sample = None
    elif sample is None:
        report("rows are not checked: data.sample_submission is not set")
    known = None
    try:
        known = read_labelled(config, photos=False).vocabulary()
    except FlukeprintError as error:
        report(f"labels are not checked: {error}")
    check_submission(path, sample, top=top, known=known, new_label=config.new_label)
    api = _authenticated() if api is None else api
    with _explained(competition):
        answer = api.competition_submit(str(path), message, competition, not on_terminal())
    reply = str(getattr(answer, "message", answer))
    if reply == UPLOAD_FAILED:
        raise FlukeprintError(f"Kaggle did not take {path} for {competition}: the upload failed")
    return reply


def _competition(config: DataConfig) -> str:
    if config.competition is None:
        raise FlukeprintError("this configuration names no competition: set data.competition")
    return config.competition


def _authenticated() -> Api:
    """Make Kaggle's API object; without credentials, raise one line on how to get them."""
    output = io.StringIO()  # its help text is replaced by ours, its warnings may name key files
    with (
        _explained(None),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi
        except ImportError as error:
            # kaggle does not declare all its requirements: name the missing module
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
    """Download the competition's ZIP file to a temporary folder beside `root`."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.download.")
    except OSError as error:
        raise FlukeprintError(f"cannot write beside {root}: {error.strerror}") from None
    with folder as name:
        with _explained(competition), _disk_full_named(root):
            api.competition_download_files(competition, name, True, not on_terminal())
        found = [path for path in Path(name).iterdir() if path.suffix == ".zip"]
        if len(found) != 1:
            raise FlukeprintError(f"Kaggle sent no ZIP file for {competition}")
        yield found[0]


def _keep_others(old: Path, new: Path) -> None:
    """Copy the files of `old` that `new` lacks: the user's own tables, for example."""
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
    """Convert whatever Kaggle's client raises into one line without addresses or tokens."""
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
    """Whether the error is of a connection that failed or was lost."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__ != "builtins"}
    return bool(kinds & {"ConnectionError", "Timeout", "ChunkedEncodingError", "ProtocolError"})
