"""A plain FastAPI service of an identifier: the baseline that `serving.py` compares with.

    python -m benchmarks.serving.plain_service RUN/identifier

As one writes it in an afternoon: a handler in FastAPI's thread pool runs PyTorch for its own
request.  Network, weights, gallery, size, mirror and zooms are the identifier's; evaluation mode,
inference mode, PyTorch's own number of threads.  No ranking rules: plain cosine, the best
photograph of an identity counts.
"""

import socket
import sys
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image, ImageOps

from flukeprint.config.data import ImageConfig
from flukeprint.embedding.photos import kept_size
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier

Answers = dict[str, list[dict[str, str | float]]]


def build(identifier: Path) -> FastAPI:
    """Build the service of the identifier in a folder."""
    known = Identifier.load(identifier)
    net, card, gallery = known.net.eval(), known.card, known.gallery
    names = [str(name) for name in gallery.identities]
    rule = card.recipe.mirror_rule
    app = FastAPI()

    @app.get("/v1/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/identify")
    def identify(file: UploadFile) -> Answers:
        with Image.open(file.file) as opened:
            photo = fitted(ImageOps.exif_transpose(opened).convert("RGB"), card.image)
        sides = []
        with torch.inference_mode():
            for turned in (False,) if rule == "off" else (False, True):
                total = torch.zeros(net.dim)
                for zoom in card.zooms:
                    seen = middle(photo, zoom, card.image)
                    if turned:
                        seen = ImageOps.mirror(seen)
                    pixels = torch.from_numpy(np.array(seen)).permute(2, 0, 1)
                    total += net.embed(pixels.unsqueeze(0))[0]
                sides.append(total / total.norm())
        vector = (sum(sides) if rule == "mean" else torch.cat(sides)).numpy()
        scores = gallery.vectors @ (vector / np.linalg.norm(vector))
        best: dict[str, float] = {}
        for row in np.argsort(-scores):
            best.setdefault(names[row], float(scores[row]))
            if len(best) == 5:
                break
        return {"answers": [{"identity": name, "score": score} for name, score in best.items()]}

    return app


def fitted(photo: Image.Image, image: ImageConfig) -> Image.Image:
    """Resize a photograph as the identifier does."""
    height, width = kept_size(image)
    if image.resize == "crop":
        return ImageOps.fit(photo, (width, height))
    if image.resize == "pad":
        return ImageOps.pad(photo, (width, height))
    return photo.resize((width, height))


def middle(photo: Image.Image, zoom: float, image: ImageConfig) -> Image.Image:
    """The central crop of `zoom` times both sides, at the network's size."""
    width, height = round(photo.width * zoom), round(photo.height * zoom)
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    part = photo.crop((left, top, left + width, top + height))
    return part.resize((image.width, image.height))


def main() -> None:
    """Serve on a free port."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.serving.plain_service RUN/identifier")
    try:
        app = build(Path(sys.argv[1]))
    except FlukeprintError as error:
        sys.exit(f"error: {error}")
    # IPPROTO_TCP is named so that asyncio sets TCP_NODELAY, as on a port that uvicorn opens.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    print(f"page  http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    settings = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(settings).run(sockets=[listener])


if __name__ == "__main__":
    main()
