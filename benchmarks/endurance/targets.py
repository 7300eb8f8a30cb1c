"""What mutated inputs are given to: each sort of input has a target that reads one of them.

A target answers `read`, `refused` or a like word, and raises `Fault` for a wrong answer.  Anything
else but `FlukeprintError` that it raises is a fault of the package.
"""

import contextlib
import io
import json
import os
import random
import shutil
import socket
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
import yaml
from PIL import Image

from benchmarks.endurance.ground import RECIPES, Ground, drawn
from benchmarks.endurance.mutate import mutated, mutated_table, mutated_tree, mutated_yaml
from benchmarks.endurance.serving import BOUNDARY, TOKEN, form
from benchmarks.harness.places import ROOT
from flukeprint.config.load import load_config
from flukeprint.data.decoding import decode_bytes, formats
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.boxes import read_boxes
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.tables import read_column, read_sample
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.results_table import RESULT_COLUMNS, named_rows, read_rows
from flukeprint.evaluation.validation_queries import ValidationQueries
from flukeprint.identifier.class_cards import read_cards
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run, check_same_labels, find_run, run_to_resume
from flukeprint.identifier.taxonomy import Taxonomy
from flukeprint.identifier.verdict import verdict_row
from flukeprint.serving.server import BACKLOG, build_app
from flukeprint.submission.csv_file import check_submission, read_answers, score
from flukeprint.training.callbacks import AtomicCheckpointIO
from flukeprint.training.pseudo_labels import read_pseudo

TIMEOUT = 10.0  # seconds that one input may take


class Fault(Exception):
    """An answer that is wrong, though nothing failed."""


class Target(ABC):
    """Reads inputs of one sort in its own folder."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground, self.folder = ground, folder
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def read(self, rng: random.Random) -> str:
        """Make an input, read it and say what became of it."""


class Photographs(Target):
    """Photographs in memory, of all formats and many modes."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        super().__init__(ground, folder)
        self.files = list(photographs())

    def read(self, rng: random.Random) -> str:
        data = mutated(rng.choice(self.files), rng, self.files)
        box, size = None, None
        if rng.random() < 0.3:
            box = tuple(rng.choice((-5.0, 0.0, 3.5, 20.0, 1e9, float("nan"))) for _ in range(4))
        if rng.random() < 0.5:
            size = (rng.choice((1, 8, 32)), rng.choice((1, 8, 32)))
        pixels = decode_bytes(data, "one", box=box, min_size=size)  # type: ignore[arg-type]
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise Fault(f"decoded to {pixels.dtype} {pixels.shape}")
        return "read"


@cache
def photographs() -> tuple[bytes, ...]:
    """A small photograph of each format and mode."""
    formats()  # registers HEIF
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)).resize((48, 40))
    deep = Image.fromarray(rng.integers(0, 65536, (40, 48), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for image, form_, options in (
        (rgb, "JPEG", {"exif": exif}), (rgb, "JPEG", {"progressive": True}),
        (rgb.convert("L"), "JPEG", {}), (rgb.convert("CMYK"), "JPEG", {}), (rgb, "PNG", {}),
        (rgb.convert("P"), "PNG", {"transparency": 3}), (rgb.convert("LA"), "PNG", {}),
        (rgb.convert("RGBA"), "PNG", {}), (deep, "PNG", {}), (rgb.convert("1"), "PNG", {}),
        (rgb, "TIFF", {}), (rgb, "TIFF", {"compression": "tiff_lzw"}), (deep, "TIFF", {}),
        (rgb, "TIFF", {"compression": "tiff_adobe_deflate"}), (rgb.convert("F"), "TIFF", {}),
        (rgb, "TIFF", {"compression": "jpeg"}), (rgb.convert("CMYK"), "TIFF", {}),
        (rgb, "WEBP", {}),
        (rgb.convert("RGBA"), "WEBP", {"lossless": True}), (rgb, "BMP", {}), (rgb, "GIF", {}),
        (rgb.convert("P"), "BMP", {}), (rgb, "PPM", {}), (rgb.convert("L"), "PPM", {}),
        (rgb, "JPEG2000", {}), (rgb, "AVIF", {"speed": 10}), (rgb, "HEIF", {}),
        (rgb, "MPO", {"save_all": True, "append_images": [rgb]}),
    ):  # fmt: skip
        file = io.BytesIO()
        with contextlib.suppress(KeyError, OSError):  # a Pillow without this format
            image.save(file, form_, **options)
            found.append(file.getvalue())
    return tuple(found)


class Tables(Target):
    """CSV tables of all kinds."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        super().__init__(ground, folder)
        shapes = ground.config().data.root
        names = sorted(path.name for path in (shapes / "train").iterdir())[:6]
        for part in ("train", "test"):
            (folder / part).mkdir(exist_ok=True)
            for name in names:
                shutil.copy(shapes / "train" / name, folder / part / name)
        self.names = names
        self.tables = self._tables()
        for name, (text, _) in self.tables.items():
            (folder / f"{name}.csv").write_text(text)
        self._plain()

    def read(self, rng: random.Random) -> str:
        name = rng.choice(sorted(self.tables))
        text, reads = self.tables[name]
        path = self.folder / f"{name}.csv"
        path.write_bytes(mutated_table(text, rng))
        try:
            reads(path)
        finally:
            path.write_text(text)
        return "read"

    def _plain(self) -> None:
        """All tables are read as long as nobody mutates them."""
        for name, (_, reads) in self.tables.items():
            reads(self.folder / f"{name}.csv")

    def _tables(self) -> dict[str, tuple[str, Callable[[Path], object]]]:
        n = self.names
        who = ["w_1", "w_1", "w_2", "w_2", "new_whale", "w_3"]

        def table(columns: str, *columns_of: Any) -> str:
            rows = zip(*columns_of, strict=True)
            return columns + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)

        answers = [f"{name} new_whale w_9" for name in who]
        answers[4] = "new_whale w_1 w_2"
        row = dict.fromkeys(RESULT_COLUMNS, "1") | {"views": "{}", "sizes": "{}"}
        boxes = ('"[1, 1, 20, 20]"', "", '"[0.0, 0.0, 9.5, 9.5]"') * 2
        split = ("train", "train", "train", "test", "train", "query")
        digits = "label," + ",".join(f"pixel{i}" for i in range(16)) + "\n"
        return {
            "train": (table("Image,Id", n, who), lambda _: self._catalog()),
            "views": (
                table("Image,view", n, ["left", "right", ""] * 2),
                lambda path: (read_column(path, "view"), self._catalog("data.views=views.csv")),
            ),
            "boxes": (
                table("Image,x0,y0,x1,y1", n, [1] * 6, [2.5] * 6, [20] * 6, [30] * 6),
                lambda path: (read_boxes(path), self._catalog("data.boxes=boxes.csv")),
            ),
            "bursts": (
                table("Image,burst", n, ["1", "1", "2", "2", "", ""]),
                lambda _: self._catalog("data.bursts=bursts.csv"),
            ),
            "metadata": (
                table("image_id,path,identity,bbox,orientation,split", n,
                      [f"train/{name}" for name in n], who, boxes, ["left", ""] * 3, split),
                lambda _: self._catalog(
                    "data.reader=wildlife", "data.labels=metadata.csv", both=True
                ),
            ),
            "digits": (
                digits + "".join(f"{i}," + ",".join(["0", "255"] * 8) + "\n" for i in range(4)),
                lambda _: self._catalog("data.reader=digits_csv", "data.labels=digits.csv"),
            ),
            "sample_submission": (
                table("Image,Id", n, ["new_whale"] * 6),
                lambda path: (read_sample(path), read_test(self._config().data)),
            ),
            "submission": (
                table("Image,Id", n, answers),
                lambda path: (
                    check_submission(path, self.folder / "sample_submission.csv"),
                    score(path, self.folder / "train.csv"),
                ),
            ),
            "truth": (
                table("Image,Id", n, who),
                lambda path: (
                    read_answers(path, new_label="new_whale"),
                    score(self.folder / "submission.csv", path),
                ),
            ),
            "pseudo": (
                table("Image,Id,confidence,run", n, ["w_1", "w_2"] * 3, [0.9] * 6, ["x"] * 6),
                lambda path: read_pseudo(
                    self._config(f"data.pseudo_labels={path}").data, self._catalog()
                ),
            ),
            "taxonomy": (
                table("class,genus,family", ["a", "b", "c"], ["G", "G", ""], ["F", "F", "E"]),
                lambda path: Taxonomy.read(path).check(("a",)),
            ),
            "cards": (
                table("class,name,rank,medical", ["a", "b"], ["A sp.", "B"], ["genus", ""],
                      ["yes", "unknown"]),
                read_cards,
            ),
            "table": (
                ",".join(row) + "\n" + ",".join(row.values()) + "\n",
                lambda path: (read_rows(path), _tolerate(lambda: named_rows("1", path))),
            ),
        }  # fmt: skip

    def _config(self, *overrides: str) -> Any:
        base = [f"data.root={self.folder}", "data.reader=kaggle_csv", *overrides]
        return self.ground.config(*base)

    def _catalog(self, *overrides: str, both: bool = False) -> Any:
        data = self._config(*overrides).data
        catalog = read_labelled(data)
        if both:
            read_test(data)
        return catalog


def _tolerate(call: Callable[[], object]) -> None:
    with contextlib.suppress(FlukeprintError):
        call()


class Configs(Target):
    """YAML configurations and `key=value` overrides."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        super().__init__(ground, folder)
        files = [*(ROOT / "configs").glob("*.yaml"), ground.config_file]
        for file in files:
            shutil.copy(file, folder)
        self.trees = [yaml.safe_load(file.read_text()) for file in files]
        self.trees.append(ground.config().model_dump(mode="json"))
        self.path = folder / "mutated.yaml"

    def read(self, rng: random.Random) -> str:
        overrides = []
        if rng.random() < 0.3:
            tree = mutated_tree({"a": 1}, rng)
            key = rng.choice(
                ("train.epochs", "data", "losses", "losses.0.name", "losses.9.name", "", "a.b.c",
                 "train", "train.epochs.x", "infer.threshold", "data.root", "name", ".", "..")
            )  # fmt: skip
            value = (
                json.dumps(tree, default=str)
                if rng.random() < 0.5
                else _decoded(mutated(b"[1, 2]", rng))
            )
            overrides = [f"{key}={value}"]
        self.path.write_bytes(mutated_yaml(rng.choice(self.trees), rng))
        config = load_config(self.path, overrides)
        again = config.model_dump(mode="json")
        json.dumps(again)  # as a run keeps it
        yaml.safe_dump(again)
        config.digest()
        return "read"


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")  # as the command line gives it


class Identifiers(Target):
    """Files of an identifier's folder: refused, or the answers stay the same."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        super().__init__(ground, folder)
        self.place = folder / "identifier"
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(ground.unbroken("keypoints").identifier, self.place)
        self.photo = drawn(0, 0)
        self.wanted = self._answer()
        self.files = sorted(path for path in self.place.rglob("*") if path.is_file())

    def _answer(self) -> Any:
        known = Identifier.load(self.place)
        verdict = next(iter(known.judge([self.photo])))
        return json.loads(json.dumps(verdict_row("one", verdict, known.card.new_label)))

    def read(self, rng: random.Random) -> str:
        path = rng.choice(self.files)
        plain = path.read_bytes()
        try:
            found = damaged(plain, path, rng)
            if found == plain:
                return "the same"
            if found is None:
                path.unlink()
            else:
                path.write_bytes(found)
            if self._answer() == self.wanted:
                return "read"
            name = path.relative_to(self.place).as_posix()
            raise Fault(f"another answer from a damaged {name}")
        finally:
            path.write_bytes(plain)


def damaged(plain: bytes, path: Path, rng: random.Random) -> bytes | None:
    """The bytes of a damaged file; None where it is missing."""
    if rng.random() < 0.05:
        return None
    if path.suffix == ".json" and rng.random() < 0.6:
        return json.dumps(mutated_tree(json.loads(plain), rng), default=str).encode()
    return mutated(plain, rng)


class Runs(Target):
    """Files of a run's folder, read as commands read them."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        super().__init__(ground, folder)
        source = ground.unbroken("keypoints")
        self.recipe = [f"name={folder.name}", *RECIPES["keypoints"], f"runs={folder.parent}"]
        self.run = Run(folder / source.name)
        shutil.rmtree(self.run.path, ignore_errors=True)
        shutil.copytree(source.path, self.run.path, ignore=shutil.ignore_patterns("identifier"))
        text = (
            (self.run.path / "config.yaml")
            .read_text()
            .replace("name: keypoints", f"name: {folder.name}")
        )
        (self.run.path / "config.yaml").write_text(text)
        names = ("config.yaml", "catalog.json", "validation.json", "asked.json", "embeddings.npz",
                 "centers.npz", "checkpoints/last.ckpt")  # fmt: skip
        self.files = [self.run.path / name for name in names]
        self.catalog = read_labelled(ground.config().data)
        self._use()

    def _use(self) -> None:
        config = self.ground.config(*self.recipe)
        found = find_run(config, self.run.name, finished=False)
        assert find_run(config, finished=False).config()
        run_to_resume(config, "last")
        check_same_labels(found, self.catalog)
        found.text()
        found.data_digest()
        ValidationQueries.load(found.path / "asked.json")
        Embeddings.load(found.path / "embeddings.npz")
        Embeddings.load(found.path / "centers.npz")
        AtomicCheckpointIO().load_checkpoint(found.last)

    def read(self, rng: random.Random) -> str:
        path = rng.choice(self.files)
        plain = path.read_bytes()
        try:
            if path.name == "config.yaml" and rng.random() < 0.5:
                found: bytes | None = mutated_yaml(yaml.safe_load(plain), rng)
            else:
                found = damaged(plain, path, rng)
            if found is None:
                path.unlink()
            else:
                path.write_bytes(found)
            self._use()
            return "read"
        finally:
            path.write_bytes(plain)


class Requests(Target):
    """HTTP requests to a server in this process, over a connection of their own."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        super().__init__(ground, folder)
        place = folder / "identifier"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(ground.unbroken("plain").identifier, place)
        config = ground.config("serve.enroll=true", "serve.rate=0", "serve.timeout=8")
        app = build_app(place, config, TOKEN)
        how = uvicorn.Config(
            app, port=0, log_level="critical", access_log=False, backlog=BACKLOG, ws="none",
            http="flukeprint.serving.server:Connection", server_header=False,
        )  # fmt: skip
        self.server = uvicorn.Server(how)
        threading.Thread(target=self.server.run, daemon=True).start()
        while not self.server.started:
            pass
        self.address = self.server.servers[0].sockets[0].getsockname()
        self.files = list(photographs())
        self.count = 0

    def read(self, rng: random.Random) -> str:
        photo = rng.choice(self.files)
        if rng.random() < 0.5:
            photo = mutated(photo, rng, self.files)
        fields = {}
        path = rng.choice(("identify", "embed", "verify", "enroll", "enroll"))
        if path == "enroll":
            self.count += 1
            name = rng.choice(
                (f"animal {os.getpid()} {self.count}", "é", "a" * 900, "\u202ea", "new_whale", "")
            )
            fields = {"identity": name, "keep_photos": rng.choice(("yes", "no", "perhaps"))}
        body = form(photo, fields)
        way = rng.randrange(4)
        if way == 0:
            body = mutated(body, rng)
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        if way == 1:
            kind = _decoded(mutated(kind.encode(), rng)).replace("\r", " ").replace("\n", " ")
        target = f"/v1/{path}"
        method = "POST"
        if rng.random() < 0.25:
            method = rng.choice(("GET", "GET", "GET", "PUT", "HEAD", "OPTIONS", "DELETE"))
            target = rng.choice(PATHS).format(
                rng.choice(("0", "-1", "9" * 30, "1e3", "%00", "é", "a/b", "..", "nan", "\u0663"))
            )
        head = (
            f"{method} {_quoted(target)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        whole = way != 3
        if not whole:
            head = mutated(head, rng)
        status = self._send(head + body, whole)
        if status >= 500 and status not in (503, 504):
            raise Fault(f"status {status} for {method} {target}")
        if status == 504:
            raise Fault(f"took too long: {method} {target}")
        if status == 0 and whole:
            raise Fault(f"no answer to {method} {target}")
        return f"{status // 100}xx" if status else "closed"

    def _send(self, request: bytes, whole: bool) -> int:
        """The status of the answer; 0 without one.

        whole: all that its head announces is there; otherwise its end follows after a second.
        """
        answer = b""
        with (
            socket.create_connection(self.address[:2], timeout=TIMEOUT) as line,
            contextlib.suppress(ConnectionError),
        ):
            line.sendall(request)
            if not whole:
                line.settimeout(1)
            try:
                answer = line.recv(4096)
            except TimeoutError:
                if whole:
                    raise
                line.settimeout(TIMEOUT)
                line.shutdown(socket.SHUT_WR)
                answer = line.recv(4096)
        words = answer.split(b" ", 2)
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


PATHS = (
    "/v1/classes?offset={}", "/v1/classes?limit={}", "/v1/photos/{}", "/v1/photos/{}/similar",
    "/v1/photos/0/similar?most={}", "/v1/examples/{}", "/v1/map", "/v1/ready", "/v1/{}", "/{}",
    "/openapi.json", "/docs", "/v1/info?{}", "/map/search?q={}", "/fragments/photo/{}",
    "/classes?q={}",    "/assets/{}", "/v1/identify", "/?{}",
)  # fmt: skip


def _quoted(target: str) -> str:
    return "".join(c if c.isascii() else "".join(f"%{b:02X}" for b in c.encode()) for c in target)


TARGETS: dict[str, type[Target]] = {
    "photographs": Photographs,
    "tables": Tables,
    "configs": Configs,
    "identifiers": Identifiers,
    "runs": Runs,
    "requests": Requests,
}


def judged(target: Target, rng: random.Random) -> tuple[str, list[str]]:
    """Give the target one input: what became of it, and faults."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return target.read(rng), []
    except FlukeprintError as error:
        text = str(error)
        if "\n" in text or "\r" in text:
            return "refused", [f"a message of several lines: {text[:200]!r}"]
        if len(text) > 2000:
            return "refused", [f"a message of {len(text)} characters: {text[:100]!r}"]
        return "refused", []
    except Fault as fault:
        return "wrong", [str(fault)]
    except (Exception, SystemExit) as error:
        return "failed", [f"{type(error).__name__} at {_where(error)}: {str(error)[:120]!r}"]


def _where(error: BaseException) -> str:
    """The last line of the package in the traceback."""
    found = "outside"
    at = error.__traceback__
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        if "/flukeprint/" in name and "/benchmarks/" not in name:
            found = f"{name.rpartition('/flukeprint/')[2]}:{at.tb_lineno}"
        at = at.tb_next
    return found
