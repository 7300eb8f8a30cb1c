"""Downloads and submissions with a stand-in for Kaggle; no network."""

import errno
import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from flukeprint.config.data import DataConfig
from flukeprint.submission import archive
from flukeprint.submission.kaggle import UPLOAD_FAILED, download, submit
from tests.refusals import refused

SECRET = "sig=topsecret"


class HTTPError(OSError):
    """As requests': an OSError with a response, whose text holds a signed address."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status} Client Error for url: https://storage/x?{SECRET}")
        self.response = SimpleNamespace(status_code=status)


def zipped(files: dict[str, bytes | str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as content:
        for name, text in files.items():
            content.writestr(name, text)
    return data.getvalue()


class FakeKaggle:
    """Gives `data` as the competition's ZIP file, or raises `error`."""

    def __init__(self, data: bytes = b"", error: BaseException | None = None) -> None:
        self.data, self.error = data, error
        self.sent: list[tuple[str, str, str]] = []
        self.answer = "Successfully submitted"

    def competition_download_files(
        self, competition: str, path: str, force: bool, quiet: bool
    ) -> None:
        if self.error is not None:
            (Path(path) / f"{competition}.zip").write_bytes(self.data)  # cut off on its way
            raise self.error
        (Path(path) / f"{competition}.zip").write_bytes(self.data)

    def competition_submit(
        self, file_name: str, message: str, competition: str, quiet: bool
    ) -> Any:
        if self.error is not None:
            raise self.error
        self.sent.append((file_name, message, competition))
        return SimpleNamespace(message=self.answer)


FILES: dict[str, bytes | str] = {
    "train.csv": "Image,Id\na.jpg,w_1\n",
    "sample_submission.csv": "Image,Id\nb.jpg,new_whale\n",
    "train/a.jpg": b"photo a",
    "test/b.jpg": b"photo b",
}


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    return DataConfig(root=tmp_path / "input" / "whales", competition="humpback")


def refused_quietly(call: Callable[[], Any], *words: str) -> None:
    """Without the secret, in the message or in the errors behind it."""
    error = refused(call, *words)
    assert SECRET not in str(error)
    assert error.__suppress_context__ or error.__context__ is None


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def as_bytes(files: dict[str, bytes | str]) -> dict[str, bytes]:
    return {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}


def test_download_unpacks_and_leaves_no_archive(config: DataConfig) -> None:
    assert download(config, api=FakeKaggle(zipped(FILES))) == config.root
    assert tree(config.root) == as_bytes(FILES)
    assert [path.name for path in config.root.parent.iterdir()] == ["whales"]


def test_archives_inside_and_doubled_folders_are_laid_flat(config: DataConfig) -> None:
    data = zipped(
        {
            "train.zip": zipped({"train/a.jpg": "a"}),
            "test.zip": zipped({"b.jpg": "b"}),
            "train.csv.zip": zipped({"train.csv": "Image,Id\n"}),
            "masks/masks/m.png": "m",
        }
    )
    download(config, api=FakeKaggle(data))
    assert tree(config.root) == {
        "train/a.jpg": b"a",
        "test/b.jpg": b"b",
        "train.csv": b"Image,Id\n",
        "masks/m.png": b"m",
    }


def test_files_are_not_overwritten_unless_forced(config: DataConfig) -> None:
    config.root.mkdir(parents=True)
    (config.root / "views.csv").write_text("mine")
    (config.root / "train.csv").write_text("old")
    api = FakeKaggle(zipped(FILES))
    refused_quietly(lambda: download(config, api=api), "already holds files", "--force")
    download(config, force=True, api=api)
    assert tree(config.root) == {**as_bytes(FILES), "views.csv": b"mine"}
    assert [path.name for path in config.root.parent.iterdir()] == ["whales"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (HTTPError(401), ["401", "https://www.kaggle.com/settings/api", "~/.kaggle/access_token"]),
        (HTTPError(403), ["https://www.kaggle.com/competitions/humpback/rules"]),
        (HTTPError(404), ["404", "data.competition"]),
        (HTTPError(429), ["429", "later"]),
        (HTTPError(503), ["503"]),
        (ConnectionError(f"https://storage/x?{SECRET}"), ["cannot be reached", "network"]),
        (TimeoutError(), ["cannot be reached"]),
        (OSError(errno.ENOSPC, "No space left on device"), ["disk is full"]),
        (ValueError(SECRET), ["ValueError"]),
        (SystemExit(1), ["SystemExit"]),
    ],
)
def test_failures_are_one_line_and_leave_nothing(
    config: DataConfig, error: BaseException, words: list[str]
) -> None:
    refused_quietly(lambda: download(config, api=FakeKaggle(b"PK half", error)), *words)
    assert list(config.root.parent.iterdir()) == []


def test_errors_of_requests_are_understood(config: DataConfig) -> None:
    requests = pytest.importorskip("requests")
    for error in (requests.exceptions.ConnectTimeout(SECRET), requests.ConnectionError(SECRET)):
        refused_quietly(
            lambda error=error: download(config, api=FakeKaggle(b"", error)), "be reached"
        )
    response = requests.Response()
    response.status_code = 403  # an error response is falsy
    error = requests.HTTPError(SECRET, response=response)
    refused_quietly(lambda: download(config, api=FakeKaggle(b"", error)), "/humpback/rules")


def test_configuration_without_competition(tmp_path: Path) -> None:
    config = DataConfig(root=tmp_path / "x")
    refused_quietly(lambda: download(config, api=FakeKaggle()), "data.competition")
    refused_quietly(
        lambda: submit(tmp_path / "s.csv", config, "m", api=FakeKaggle()), "data.competition"
    )


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:/evil", "a:b"]
)
def test_names_that_leave_the_folder_are_refused(config: DataConfig, name: str) -> None:
    data = zipped({"train.csv": "x", name: "evil"})
    refused_quietly(lambda: download(config, api=FakeKaggle(data)), "leave its folder")
    inner = zipped({"train.zip": data})
    refused_quietly(lambda: download(config, api=FakeKaggle(inner)), "leave its folder")
    assert list(config.root.parent.iterdir()) == []
    assert not list(config.root.parent.parent.rglob("*evil*"))


def test_archives_out_of_proportion_are_refused(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zipped({"zeros": bytes(2_000_000)})
    monkeypatch.setattr(archive, "SMALL", 1_000_000)
    refused_quietly(lambda: download(config, api=FakeKaggle(data)), "2,000,000 bytes", "100 times")
    usage = SimpleNamespace(free=1_000)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda path: usage)
    data = zipped({"text": "x" * 5_000})
    refused_quietly(lambda: download(config, api=FakeKaggle(data)), "5,000 bytes", "1,000 free")
    assert list(config.root.parent.iterdir()) == []


def test_a_member_longer_than_declared_is_refused(config: DataConfig) -> None:
    data = bytearray(zipped({"x": "y" * 1000}))
    # the sizes stand in the local header at 22 and in the central directory at 24
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(signature) + offset
        assert int.from_bytes(data[place : place + 4], "little") == 1000
        data[place : place + 4] = (10).to_bytes(4, "little")
    refused_quietly(lambda: download(config, api=FakeKaggle(bytes(data))), "not a whole ZIP")
    assert list(config.root.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>sorry</html>", ["not a whole ZIP"]),
        (zipped(FILES)[:-40], ["not a whole ZIP"]),
        (zipped({}), ["holds no files"]),
        (zipped({"Train.csv": "a", "train.csv": "b"}), ["same name"]),
        (zipped({"train": "a", "train/a.jpg": "b"}), ["twice, or as file and folder"]),
    ],
)
def test_damaged_archives(config: DataConfig, data: bytes, words: list[str]) -> None:
    refused_quietly(lambda: download(config, api=FakeKaggle(data)), *words)
    assert list(config.root.parent.iterdir()) == []


def test_submit_checks_sends_and_answers(config: DataConfig, tmp_path: Path) -> None:
    download(config, api=FakeKaggle(zipped(FILES)))
    path = tmp_path / "s.csv"
    api = FakeKaggle()
    refused_quietly(lambda: submit(path, config, "first", api=api), "no submission")
    path.write_text("Image,Id\na.jpg,w_1\n")
    refused_quietly(lambda: submit(path, config, "first", api=api), "missing: b.jpg")
    assert api.sent == []
    path.write_text("Image,Id\nb.jpg,w_1 new_whale\n")
    assert submit(path, config, "first", api=api) == "Successfully submitted"
    assert api.sent == [(str(path), "first", "humpback")]
    api.answer = UPLOAD_FAILED
    refused_quietly(lambda: submit(path, config, "first", api=api), "upload failed")
    for status, word in ((401, "settings/api"), (403, "rules"), (400, "still open")):
        failing = FakeKaggle(error=HTTPError(status))
        refused_quietly(lambda failing=failing: submit(path, config, "m", api=failing), word)


def test_submit_checks_labels(config: DataConfig, tmp_path: Path) -> None:
    download(config, api=FakeKaggle(zipped(FILES)))
    (config.root / "train.csv").write_text("Image,Id\na.jpg,w_1\nc.jpg,Old Tom\n")
    path, api, said = tmp_path / "s.csv", FakeKaggle(), list[str]()
    path.write_text("Image,Id\nb.jpg,w_l Old_Tom\n")
    refused_quietly(
        lambda: submit(path, config, "m", api=api, report=said.append),
        "1 label of no labelled photograph: w_l", "b.jpg", "did you mean w_1?",
    )  # fmt: skip
    assert api.sent == []
    path.write_text("Image,Id\nb.jpg,w_1 Old_Tom new_whale\n")
    submit(path, config, "m", api=api, report=said.append)
    assert len(api.sent) == 1
    assert said == []


def test_submit_says_what_it_could_not_check(config: DataConfig, tmp_path: Path) -> None:
    config.root.mkdir(parents=True)
    path, api, said = tmp_path / "s.csv", FakeKaggle(), list[str]()
    path.write_text("Image,Id\nb.jpg,w_1 w_1\n")
    send = lambda: submit(path, config, "m", api=api, report=said.append)  # noqa: E731
    refused_quietly(send, "an answer given twice")  # seen without any table
    path.write_text("Image,Id\nb.jpg,w_1\n")
    said.clear()
    send()
    assert len(api.sent) == 1
    rows, labels = said
    assert rows == f"rows are not checked: there is no {config.root}/sample_submission.csv"
    assert labels.startswith(f"labels are not checked: {config.root}/train.csv is missing")


def package(monkeypatch: pytest.MonkeyPatch, api: type | None) -> None:
    """Put a stand-in for the package `kaggle` where imports find it; None: not installed."""
    names = ("kaggle", "kaggle.api", "kaggle.api.kaggle_api_extended")
    for name in names:
        module: Any = ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, None if api is None else module)
        module.KaggleApi = api


def test_without_credentials_it_says_what_to_do(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class NoCredentials:
        def authenticate(self) -> None:
            print("Authentication required to call the Kaggle API.")
            sys.exit(1)

    package(monkeypatch, NoCredentials)
    refused_quietly(
        lambda: download(config),
        "no valid Kaggle credentials",
        "https://www.kaggle.com/settings/api",
        "~/.kaggle/access_token",
        "KAGGLE_API_TOKEN",
        "~/.kaggle/kaggle.json",
        "KAGGLE_USERNAME and KAGGLE_KEY",
    )
    assert capfd.readouterr() == ("", "")
    assert not config.root.parent.exists()


def test_no_network_while_authenticating(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreachable:
        def authenticate(self) -> None:
            raise ConnectionError(SECRET)

    package(monkeypatch, Unreachable)
    refused_quietly(lambda: download(config), "cannot be reached")


def test_credentials_are_used(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Known(FakeKaggle):
        def __init__(self) -> None:
            super().__init__(zipped(FILES))

        def authenticate(self) -> None:
            self.known = True

    package(monkeypatch, Known)
    assert (download(config) / "train.csv").is_file()


def test_a_missing_package_is_named(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    package(monkeypatch, None)
    refused_quietly(lambda: download(config), "pip install kaggle")
