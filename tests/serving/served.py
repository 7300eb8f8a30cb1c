"""A small identifier of drawn shapes, and a server process that serves it."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from flukeprint.config.load import load_config
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.training.train import train

ROOT = Path(__file__).parents[2]
TOKEN = "a token of the tests, long enough"
SETTINGS = """
name: shapes
data:
  reader: synthetic
  root: {root}/shapes
  synthetic: {{kind: shapes, identities: 60, long_side: 64, test_photos: 8, new_share: 0.1}}
image: {{height: 32, width: 32, cache: null, augment: 0.2}}
split: {{folds: 2}}
model: {{backbone: test_resnet, weights: none, embedding_dim: 16}}
sampler: {{batch_size: 16}}
train: {{epochs: 2, workers: 0, accelerator: cpu, report: false}}
infer: {{mirror: true, threshold: 0.99}}
cards: {root}/cards.csv
taxonomy: {{table: {root}/taxonomy.csv, confidence: 0.5}}
runs: {root}/runs
submissions: {root}/submissions
"""


def make_identifier(root: Path) -> Path:
    """Train an identifier of drawn shapes for two epochs, with cards and taxonomy; its folder."""
    (root / "shapes.yaml").write_text(SETTINGS.format(root=root))
    config = load_config(root / "shapes.yaml")
    write_synthetic(config.data.synthetic, config.data.root, progress=False)
    lines = (config.data.root / "train.csv").read_text().splitlines()[1:]
    names = sorted({line.split(",")[1] for line in lines} - {config.data.new_label})
    (root / "taxonomy.csv").write_text(
        "class,genus,family\n"
        + "".join(f"{name},Genus{i % 4},Family{i % 2}\n" for i, name in enumerate(names))
    )
    (root / "cards.csv").write_text(
        "class,name,rank,common_en,common_es,where_en,where_es,medical,note_en,note_es\n"
        + "".join(
            f"{name},Genus{i % 4} sp.,genus,Shape {i},Figura {i},In tests,En pruebas,"
            f"{('yes', 'no', 'unknown', '')[i % 4]},,\n"
            for i, name in enumerate(names[:-1])  # the last has no card
        )
    )
    return train(config).identifier


def copied(identifier: Path, folder: Path) -> Path:
    """A copy of an identifier in `folder`, for a server that enrolls."""
    return Path(shutil.copytree(identifier, folder / "identifier"))


@dataclass(frozen=True)
class Served:
    """A running server: its address, its process, and the file of its output."""

    url: str
    process: "subprocess.Popen[bytes]"
    output: Path

    def said(self) -> str:
        """What it has printed so far, on stdout and stderr."""
        return self.output.read_text(errors="replace")

    def lines(self) -> list[str]:
        """The lines that it has printed, without the one on the engine that it chose."""
        return [line for line in self.said().splitlines() if not line.startswith("engine: ")]

    def dial(self, at: str = "127.0.0.1") -> socket.socket:
        """A raw connection, from an address of this machine."""
        port = int(self.url.rpartition(":")[2])
        return socket.create_connection(("127.0.0.1", port), 60, source_address=(at, 0))

    def memory_mb(self) -> float:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024


@contextlib.contextmanager
def served(
    identifier: Path,
    *more: str,
    enroll: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """`flukeprint serve` in a process of its own, on a free port, until the block ends."""
    command = [sys.executable, "-m", "flukeprint", "serve", "--identifier", str(identifier)]
    command += ["--port", "0", *(["--enroll"] if enroll else []), *more]
    variables = {"OMP_NUM_THREADS": "1", "FLUKEPRINT_ENROLL_TOKEN": TOKEN, **(environment or {})}
    with tempfile.NamedTemporaryFile(prefix="served-") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **variables}, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            url = _address(process, Path(output.name))
            _wait_ready(url, process)
            yield Served(url, process, Path(output.name))
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()


def _address(process: "subprocess.Popen[bytes]", output: Path, seconds: float = 180) -> str:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        found = re.search(r"^page\s+(http://\S+?)/?\s*$", output.read_text(), re.MULTILINE)
        if found:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {output.read_text()[-2000:]}")


def _wait_ready(url: str, process: "subprocess.Popen[bytes]", seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended"
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"{url}/v1/ready", timeout=5) as ready,
        ):
            if ready.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the server was not ready in time")


def answer(line: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body of the answer on a connection."""
    said = http.client.HTTPResponse(line)
    said.begin()
    return said.status, {name.lower(): value for name, value in said.getheaders()}, said.read()


def photo(identity: int = 0, seed: int = 0, side: int = 64, form: str = "JPEG") -> bytes:
    """An encoded photograph of a shape."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(draw_shape(identity, seed, side))).save(buffer, form)
    return buffer.getvalue()
