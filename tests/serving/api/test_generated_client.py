"""A client that openapi-python-client generates identifies, fetches, enrolls and takes back."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tests.serving.served import TOKEN, Served, copied, photo, served

GENERATOR = Path(sys.prefix) / "generator"
if not GENERATOR.exists():
    pytest.skip("`make .venv/generator` installs the generator", allow_module_level=True)

# It knows no media type of pictures; they are bytes.
SETTINGS = "content_type_overrides:\n  image/jpeg: application/octet-stream\npost_hooks: []\n"


@pytest.fixture(scope="module")
def server(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = copied(identifier, tmp_path_factory.mktemp("generated"))
    with served(folder, enroll=True) as running:
        yield running


def generate(*options: str, folder: Path) -> str:
    """Runs the generator, with packages of its own; what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--output-path", "made",
         "--meta", "none", *options],
        cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(GENERATOR)},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def generated(server: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "settings.yaml").write_text(SETTINGS)
    said = generate(
        "--url", f"{server.url}/openapi.json", "--config", "settings.yaml", folder=folder
    )
    assert "Warning" not in said  # no route and no answer is left out
    (folder / "made").rename(folder / "whale_client")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith("whale_client")]:
        del sys.modules[name]


def route(tag: str, name: str) -> Any:
    return importlib.import_module(f"whale_client.api.{tag}.{name}").sync


def test_it_identifies_fetches_enrolls_and_takes_back(generated: Path, server: Served) -> None:
    models = importlib.import_module("whale_client.models")
    types = importlib.import_module("whale_client.types")
    client = importlib.import_module("whale_client").AuthenticatedClient(server.url, TOKEN)

    def form(name: str, data: bytes, **fields: Any) -> Any:
        file = types.File(payload=BytesIO(data), file_name="a.jpg", mime_type="image/jpeg")
        return getattr(models, name)(photos=[file], **fields)

    told = route("work", "identify")(client=client, body=form("IdentifyBody", photo(3)))
    assert told.photos == 1
    assert len(told.answers) == 5
    near = next(one for answer in told.answers for one in answer.photos)
    picture = route("gallery", "get_photo")(near.photo, client=client)
    assert Image.open(picture.payload).format == "JPEG"
    choices = SimpleNamespace(
        keep=models.EnrollBodyKeepPhotos.YES, force=models.EnrollBodyForce.YES
    )
    done = route("work", "enroll")(
        client=client,
        body=form(
            "EnrollBody", photo(700), identity="generated", keep_photos=choices.keep,
            force=choices.force,
        ),
    )  # fmt: skip
    assert (done.identity, done.photos) == ("generated", 1)
    animals = route("catalogue", "list_animals")(client=client, q="GENERATED")
    assert [one.name for one in animals.animals] == ["generated"]
    back = route("changes", "undo_event")(done.event, client=client)
    assert back.event.undoes == done.event
    assert route("catalogue", "list_animals")(client=client, q="generated").total == 0


def test_without_the_setting_it_would_leave_pictures_out(server: Served, tmp_path: Path) -> None:
    """So that the setting which the documentation asks for is needed indeed."""
    said = generate("--url", f"{server.url}/openapi.json", folder=tmp_path)
    assert "Unsupported content_type image/jpeg" in said
