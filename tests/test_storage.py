"""Photographs elsewhere: in fsspec's memory, and on a web server of this machine."""

import contextlib
import hashlib
import http.server
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.config.data import DataConfig, ImageConfig
from flukeprint.config.load import load_config, parse_config
from flukeprint.data.doctor import examine_data
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.splits import group_photos
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.embedding.photos import PhotoCache
from flukeprint.errors import FlukeprintError
from flukeprint.storage import (
    digest,
    files_below,
    fingerprint,
    is_file,
    is_folder,
    is_local,
    join,
    name_of,
    names_in,
    parse_path,
    read_bytes,
    require_local,
    source,
)

NAMES = ("train/a b.jpg", "train/c%20d.jpg", "train/e#1?.jpg", "train/ü.jpg")


def jpeg(seed: int) -> bytes:
    """A drawn photograph, its file."""
    done, data = cv2.imencode(".jpg", draw_shape(seed % 3, seed, 64))
    assert done
    return data.tobytes()


@pytest.fixture
def memory() -> Iterator[Path]:
    """An empty bucket in memory."""
    storage = fsspec.filesystem("memory")
    storage.store.clear()
    storage.pseudo_dirs[:] = [""]
    yield parse_path("memory://bucket/whales")
    storage.store.clear()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A folder of this machine, and the same folder on the web."""
    folder = tmp_path / "served" / "whales"
    folder.mkdir(parents=True)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(folder.parent))
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, parse_path(f"http://127.0.0.1:{server.server_port}/whales")
    server.shutdown()
    server.server_close()


def put(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def filled(root: Path) -> dict[str, bytes]:
    files = {name: jpeg(at) for at, name in enumerate(NAMES)}
    files["train.csv"] = ("Image,Id\n" + "".join(
        f"{name.removeprefix('train/')},w{at // 2}\n" for at, name in enumerate(NAMES)
    )).encode()  # fmt: skip
    put(root, files)
    return files


# Addresses.


def test_an_address_without_a_scheme_is_of_this_machine():
    for address in ("input/whales", "/data/x", ".", "a:b", "C:/x"):
        assert parse_path(address) == Path(address)
        assert is_local(parse_path(address))
    assert parse_path("file:///data/a%20b") == Path("/data/a b")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_any_text_is_a_path_or_refused_in_one_line(text: str):
    try:
        path = parse_path(text)
    except FlukeprintError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert is_local(path) or "://" in text


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://bucket/whales", "s3fs"),
        ("gs://bucket/whales", "gcsfs"),
        ("az://bucket/whales", "adlfs"),
        ("nosuch://bucket", "no storage that can be read"),
        ("s3://AKIA0:secret@bucket/x", "a user, a password or a query"),
        ("https://user:secret@host/x", "a user, a password or a query"),
        ("https://host/x?signature=secret", "a user, a password or a query"),
        ("simplecache::s3://bucket", "something before the scheme"),
    ],
)
def test_what_cannot_be_read_is_refused_without_telling_secrets(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
):
    for package in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    for call in (parse_path, lambda text: load_config(None, [f"data.root={text}"])):
        with pytest.raises(FlukeprintError, match=words) as caught:
            call(address)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_package_of_ours_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(FlukeprintError, match=r"pip install 'flukeprint\[storage\]'"):
        parse_path("memory://x")


def test_a_configuration_keeps_the_address():
    config = load_config(None, ["data.root=memory://bucket/whales"])
    assert str(config.data.root) == "memory://bucket/whales"
    again = parse_config(config.model_dump(mode="json"), "a run")
    assert again == config
    assert again.digest() == config.digest()
    local = load_config(None, ["data.root=/data/whales"])
    assert local.data.root == Path("/data/whales")
    assert isinstance(local.data.root, Path)
    with pytest.raises(FlukeprintError, match=r"data\.root=7"):
        load_config(None, ["data.root=7"])


def test_some_things_are_done_on_this_machine_only(tmp_path: Path):
    assert require_local(tmp_path, "drawing") == tmp_path
    with pytest.raises(FlukeprintError, match="drawing needs a folder of this machine"):
        require_local(parse_path("memory://bucket"), "drawing")


# Files: the same answers wherever they lie.


def answers(root: Path, files: dict[str, bytes]) -> None:
    names = sorted(files)
    assert files_below(root) == names
    assert names_in(root) == {"train", "train.csv"}
    assert names_in(root / "train") == {name.partition("/")[2] for name in NAMES}
    assert names_in(root / "nothing") == set()
    assert is_folder(root)
    assert is_folder(root / "train")
    assert not is_folder(root / "nothing")
    assert not is_folder(root / "train.csv")
    assert not is_file(root / "train")
    assert not is_file(root / "nothing.jpg")
    for name in names:
        path = join(root, name)
        assert is_file(path)
        assert name_of(path) == name.rpartition("/")[2]
        assert read_bytes(path) == files[name]
        assert digest(path) == hashlib.sha256(files[name]).hexdigest()
        opened = source(path)
        assert (opened.read_bytes() if isinstance(opened, Path) else opened.read()) == files[name]
        assert fingerprint(path).size == len(files[name])
        assert read_bytes(pickle.loads(pickle.dumps(path))) == files[name]
    for call in (read_bytes, fingerprint, digest):
        with pytest.raises(FileNotFoundError) as caught:
            call(join(root, "train/nothing.jpg"))
        assert caught.value.strerror


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "Is a directory"])
def test_what_is_no_file_is_refused_without_opening_it(tmp_path: Path, kind: str):
    place = tmp_path / "a.jpg"
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(tmp_path):
        if kind == "pipe":
            os.mkfifo(place)
        elif kind == "socket":
            one.bind(place.name)  # whose name must be short
        elif kind == "device":
            place.symlink_to("/dev/zero")  # it has no end
        else:
            place.mkdir()
        for read in (read_bytes, digest):
            with pytest.raises(OSError, match=kind):
                read(place)


def test_linked_folders_are_read_once(tmp_path: Path):
    files = {"real/a.jpg": b"a", "real/deep/b.jpg": b"b", "z.jpg": b"z"}
    root = tmp_path / "root"
    put(root, files)
    put(tmp_path, {"other/c.jpg": b"c", "other/deep/d.jpg": b"d"})
    links = {
        "linked": tmp_path / "other", "linked too": root / "linked", "alias": root / "real",
        "part": tmp_path / "other/deep", "real/up": root, "real/self": root / "real",
        "over": tmp_path, "ring": root / "ring", "nothing": tmp_path / "gone",
        "y.jpg": root / "z.jpg",
    }  # fmt: skip
    for name, target in links.items():
        (root / name).symlink_to(target)
    (tmp_path / "other/back").symlink_to(root)
    with pytest.warns(UserWarning, match="links not followed: .*alias .read under another") as told:
        found = files_below(root)
    want = {*files, "linked/c.jpg", "linked/deep/d.jpg", "ring", "nothing", "y.jpg"}
    assert found == sorted(want)
    message = str(told[0].message)
    for name in ("linked too", "part", "real/up", "real/self", "linked/back"):
        assert f"{name} (read under another name)" in message
    assert "over (leads to a folder above)" in message
    for name in ("ring", "nothing"):
        assert f"{name} (leads nowhere)" in message


def test_files_of_this_machine(tmp_path: Path):
    answers(tmp_path, filled(tmp_path))


def test_files_in_memory(memory: Path):
    answers(memory, filled(memory))


def test_files_on_the_web(web: tuple[Path, Path]):
    folder, address = web
    answers(address, filled(folder))


def test_a_local_fingerprint_is_that_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = os.fsdecode(b"caf\xe9.jpg")  # no UTF-8
    (tmp_path / name).write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    got, status = fingerprint(Path(name)), (tmp_path / name).stat()
    assert os.fsencode(got.key) == os.fsencode(tmp_path / name)
    assert (got.size, got.mtime_ns) == (3, status.st_mtime_ns)


def test_a_fingerprint_changes_with_the_photograph(memory: Path, web: tuple[Path, Path]):
    put(memory, {"a.jpg": b"one"})
    before = fingerprint(memory / "a.jpg")
    assert fingerprint(memory / "a.jpg") == before
    assert before.key == "memory://bucket/whales/a.jpg"
    put(memory, {"a.jpg": b"two"})
    assert fingerprint(memory / "a.jpg") != before
    folder, address = web
    put(folder, {"a.jpg": b"one"})
    before = fingerprint(join(address, "a.jpg"))
    os.utime(folder / "a.jpg", (1, 1))
    assert fingerprint(join(address, "a.jpg")) != before


def test_a_forked_worker_reads_what_its_parent_has_read(web: tuple[Path, Path]):
    folder, address = web
    put(folder, {"a.jpg": b"one"})
    path = join(address, "a.jpg")
    assert read_bytes(path) == b"one"
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, read_bytes(path))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"one"
    os.waitpid(child, 0)


def test_a_storage_that_does_not_answer_is_one_line():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/whales"
    root = parse_path(address)
    for call in (read_bytes, fingerprint, is_folder, is_file, names_in):
        with pytest.raises(OSError, match="does not answer") as caught:
            call(root)
        assert "\n" not in str(caught.value.strerror)
    with pytest.raises(FlukeprintError, match=r"train\.csv.*does not answer"):
        read_labelled(DataConfig(root=root))
    with pytest.raises(FlukeprintError, match="whales/train cannot be read: its storage does not"):
        read_labelled(DataConfig(root=root, reader="folders"))


def test_what_a_storage_s_package_says_is_not_repeated(
    memory: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuses(*_: Any, **__: Any) -> bytes:
        raise RuntimeError("signed with secret")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", refuses)
    with pytest.raises(OSError, match="does not answer") as caught:
        read_bytes(memory / "a.jpg")
    assert "secret" not in str(caught.value)
    assert "RuntimeError" in str(caught.value)
    assert caught.value.__suppress_context__


# Catalogues.


def photographs(root: Path, local: Path) -> None:
    """The same layout at both places reads the same, and its photographs have the same pixels."""
    for reader, train in (("kaggle_csv", "train"), ("folders", "named")):
        config = DataConfig.model_validate(
            {"reader": reader, "root": root, "train": train, "sample_submission": None}
        )
        here = config.model_copy(update={"root": local})
        image = ImageConfig(height=32, width=32, cache=local.parent / "cache")
        for read in (read_labelled, read_test):
            far, near = read(config), read(here)
            assert len(far) > 1
            assert (far.images, far.identities) == (near.images, near.identities)
            cache, plain = PhotoCache(far, image), PhotoCache(near, image)
            for _ in ("made", "kept"):
                for row in range(len(far)):
                    np.testing.assert_array_equal(cache[row], plain[row])


def layout(root: Path) -> None:
    filled(root)
    put(root, {f"named/w{at // 2}/{at}.jpg": jpeg(at) for at in range(5)})
    put(root, {"named/.hidden/x.jpg": b"", "named/w0/notes.txt": b"none"})
    put(root, {f"test/{at}.jpg": jpeg(10 + at) for at in range(3)})


def test_catalogues_in_memory(memory: Path, tmp_path: Path):
    for root in (memory, tmp_path / "whales"):
        layout(root)
    photographs(memory, tmp_path / "whales")


def test_catalogues_on_the_web(web: tuple[Path, Path]):
    folder, address = web
    layout(folder)
    photographs(address, folder)


def test_copies_in_memory_are_found(memory: Path):
    put(
        memory, {"train/w_1/a.jpg": jpeg(1), "train/w_1/b.jpg": jpeg(2), "train/w_2/c.jpg": jpeg(1)}
    )
    put(memory, {"test/x.jpg": jpeg(2)})
    config = DataConfig(root=memory, reader="folders")
    catalog = read_labelled(config)
    assert group_photos(catalog).tolist() == [0, 1, 0]
    report = examine_data(config)
    assert report.train.conflicts == (("w_1/a.jpg", "w_2/c.jpg"),)
    assert report.leaks == (("w_1/b.jpg", "x.jpg"),)
    (memory / "train/w_1/a.jpg").unlink()
    with pytest.raises(FlukeprintError, match=r"photos not found: .*a\.jpg"):
        group_photos(catalog)


def test_a_wildlife_table_in_memory(memory: Path):
    put(memory, {"train.csv": b"image_id,path,identity,split\n1,p/a.jpg,w,train\n2,p/b.jpg,,test\n",
                 "p/a.jpg": jpeg(1), "p/b.jpg": jpeg(2)})  # fmt: skip
    config = DataConfig.model_validate(
        {"root": memory, "reader": "wildlife", "sample_submission": None}
    )
    for catalog in (read_labelled(config), read_test(config)):
        assert catalog.paths is not None
        assert read_bytes(catalog.paths[0])[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("files", "reader", "words"),
    [
        ({}, "kaggle_csv", "train.csv is missing"),
        ({}, "folders", "folder memory://bucket/whales/train is missing"),
        ({"train.csv": b"Image,Id\na.jpg,w\n"}, "kaggle_csv", "whales/train is missing"),
        ({"train.csv": b"Image,Id\na.jpg,w\nb.jpg,w\n", "train/b.jpg": b"x"}, "kaggle_csv",
         "1 of 2 listed photos is not on disk.*train/a.jpg"),
        ({"train.csv": b"Image\na.jpg\n"}, "kaggle_csv", "has no column Id"),
        ({"train.csv": b"\xff\xfe\xfa"}, "kaggle_csv", "cannot be read as a CSV table"),
    ],
)  # fmt: skip
def test_a_mistake_over_there_is_told_as_here(
    memory: Path, files: dict[str, bytes], reader: str, words: str
):
    put(memory, files)
    with pytest.raises(FlukeprintError, match=words) as caught:
        read_labelled(DataConfig.model_validate({"root": memory, "reader": reader}))
    assert "\n" not in str(caught.value)


def test_listing_asks_once_not_for_each_photograph(memory: Path, monkeypatch: pytest.MonkeyPatch):
    layout(memory)
    kind = type(fsspec.filesystem("memory"))
    asked: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(kind, name)

        def call(self: Any, *args: Any, **keys: Any) -> Any:
            asked.append(name)
            return real(self, *args, **keys)

        return call

    for name in ("info", "cat_file", "find"):
        monkeypatch.setattr(kind, name, counted(name))
    read_labelled(DataConfig.model_validate({"root": memory}))
    assert asked.count("cat_file") <= 2  # the table: its header, and all of it
    assert asked.count("info") + asked.count("find") <= 2
