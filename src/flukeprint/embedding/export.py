"""Export a network to a folder for other programs, as ONNX or OpenVINO.

    network.onnx                     engine onnxruntime
    network.xml, network.bin         engine openvino
    network.json                     input, output and origin: `ExportCard`

The graph maps uint8 RGB (b, 3, height, width), any b, to unit embeddings (b, d) float32, and
normalises the pixels itself.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from flukeprint.config.data import ImageConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Precision
from flukeprint.data.readers.layout import sorted_files
from flukeprint.embedding.embed import Variants
from flukeprint.embedding.engine import INPUT, OUTPUT, Engine, Photos, TorchEngine, embed_in_parts
from flukeprint.embedding.onnx_engine import OPSET, OnnxEngine, write_onnx
from flukeprint.embedding.openvino_engine import OpenVinoEngine, write_openvino
from flukeprint.embedding.parity import Parity, measure_parity
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.errors import FlukeprintError, listed, nearest
from flukeprint.files import folder_written_whole
from flukeprint.models.network import FlukeNet

CARD = "network.json"


@dataclass(frozen=True)
class ExportFormat:
    """How a network is written and read back, its file, and the packages to name on the card."""

    write: Callable[[FlukeNet, tuple[int, int], Path], None]
    read: Callable[[Path, Precision], Engine]
    offers: Callable[[str], tuple[Precision, ...]]
    file: str
    packages: tuple[str, ...]


EXPORT_FORMATS: dict[str, ExportFormat] = {
    "onnxruntime": ExportFormat(
        write_onnx, OnnxEngine.read, OnnxEngine.offers, "network.onnx", ("onnx", "onnxruntime")
    ),
    "openvino": ExportFormat(
        write_openvino, OpenVinoEngine.read, OpenVinoEngine.offers, "network.xml", ("openvino",)
    ),
}


@dataclass(frozen=True)
class ExportCard:
    """The content of `network.json`: what a program needs to know to run the network.

    stamp: digest of the network, which its embeddings are stamped with.
    precision: in which it passed `parity`; weights are written in fp32, and bf16 is to be requested
        of OpenVINO (INFERENCE_PRECISION_HINT).
    variants: pictures of one photograph that its embedding is made of (test-time augmentation:
        mirrored and middle parts), which the program has to make itself.
    """

    stamp: str
    backbone: str
    engine: str
    precision: Precision
    file: str
    height: int
    width: int
    dim: int
    resize: Literal["stretch", "pad", "crop"]
    variants: int
    parity: Parity
    versions: dict[str, str]

    def text(self) -> str:
        """The card as JSON, with the shapes of input and output."""
        tree = {
            **asdict(self),
            "input": {
                "name": INPUT, "type": "uint8", "shape": ["batch", 3, self.height, self.width],
                "is": "RGB photographs, 0 to 255; the network normalises them",
            },
            "output": {
                "name": OUTPUT, "type": "float32", "shape": ["batch", self.dim],
                "is": "embeddings of length 1; their products are cosine similarities",
            },
        }  # fmt: skip
        if self.engine == "onnxruntime":
            tree["opset"] = OPSET
        return json.dumps(tree, indent=2) + "\n"


def export_network(
    net: FlukeNet,
    photos: Photos,
    folder: Path,
    engine: str,
    precision: str,
    *,
    stamp: str,
    resize: Literal["stretch", "pad", "crop"],
    variants: int,
) -> ExportCard:
    """Write `net` into `folder`, whole or not at all; an earlier export there is replaced.

    Args:
        photos: (m, 3, height, width) uint8, of the catalogue, to check the written network against
            torch in float32.
        stamp, resize, variants: for the card.

    Raises:
        FlukeprintError: an unknown engine, a precision that it does not have on this machine,
            failed parity, or a folder that holds something else or cannot be written.
    """
    if engine not in EXPORT_FORMATS:
        raise FlukeprintError(f"no export for engine {engine!r}: {nearest(engine, EXPORT_FORMATS)}")
    how = EXPORT_FORMATS[engine]
    offered = how.offers("cpu")
    kind = next((one for one in offered if one == precision), None)
    if kind is None:
        raise FlukeprintError(
            f"precision {precision}: {engine} on this machine has {', '.join(offered)}; "
            "choose one of these"
        )
    if folder.exists() and not (folder / CARD).is_file():
        raise FlukeprintError(f"{folder} exists and is no export; choose another folder")
    height, width = photos.shape[2:]
    with folder_written_whole(folder) as partial:
        how.write(net, (height, width), partial / how.file)
        given = embed_in_parts(how.read(partial / how.file, kind), photos)
        parity = measure_parity(
            embed_in_parts(TorchEngine(net, (height, width), "fp32"), photos), given
        )
        why = parity.refusal(kind)
        if why is not None:
            raise FlukeprintError(f"{engine} {precision} is not written: {why}; choose fp32")
        card = ExportCard(
            stamp=stamp,
            backbone=net.config.backbone,
            engine=engine,
            precision=kind,
            file=how.file,
            height=height,
            width=width,
            dim=net.dim,
            resize=resize,
            variants=variants,
            parity=parity,
            versions={package: version(package) for package in how.packages},
        )
        (partial / CARD).write_text(card.text())
    return card


def read_photos_below(places: Sequence[Path], image: ImageConfig) -> Photos:
    """Load at most 64 photographs of files and folders: (m, 3, height, width), network input.

    Raises:
        FlukeprintError: there is none, or one cannot be read.
    """
    paths: list[Path] = []
    for place in places:
        paths += [place / name for name in sorted_files(place)[0]] if place.is_dir() else [place]
    paths = list(dict.fromkeys(paths))
    if not paths:
        raise FlukeprintError(f"no photographs in {listed(places)}; give some of the catalogue")
    catalog = Catalog(images=tuple(map(str, paths)), paths=tuple(paths))
    return Variants(catalog, EmbeddingRecipe(image.model_copy(update={"cache": None}))).sample()
