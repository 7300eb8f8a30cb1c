"""Read a backbone's weights from the folder of a run, finished or pretrained: `run:RUN`.

The names of the files in it are a contract of `identifier/runs.py`.
"""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from flukeprint.config.load import parse_config
from flukeprint.config.yaml_tree import read_tree
from flukeprint.errors import FlukeprintError, counted, listed

PREFIX = "run:"
NETWORK = Path("identifier") / "network.safetensors"  # of a finished run
# Of one whose identifier has learned the fold's queries too: the network before that.
MEASURED = Path("measured") / "network.safetensors"
PRETRAINED = Path("pretrain") / "backbone.safetensors"
Numbers = tuple[float, float, float]


@dataclass(frozen=True)
class RunWeights:
    """The tensors of a run's backbone under timm's names, and the normalisation they expect.

    mean, std: RGB, of pixels in 0..1.
    """

    tensors: dict[str, Tensor]
    mean: Numbers
    std: Numbers


def read_run_weights(folder: Path, backbone: str) -> RunWeights:
    """Read the weights of a run's backbone: the trained one, else the pretrained one.

    The trained one has not learned the queries of its fold, whatever `train.all_epochs` was.

    backbone: the name that the run's configuration must have.

    Raises:
        FlukeprintError: no such run, one of another backbone, not finished, or damaged.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        raise FlukeprintError(
            f"model.weights: {folder} is no run, it has no config.yaml; name the folder of one, "
            "such as run:runs/NAME/20260131-120000"
        )
    model = parse_config(read_tree(file), where=str(file)).model
    if model.backbone != backbone:
        raise FlukeprintError(
            f"model.weights: the backbone of run {folder} is {model.backbone}, not {backbone}; "
            f"set model.backbone={model.backbone}"
        )
    if (folder / NETWORK).is_file():
        measured = folder / MEASURED
        tensors = _tensors(measured if measured.is_file() else folder / NETWORK)
        mean, std = (_numbers(tensors.get(name), folder) for name in ("mean", "std"))
        own = {
            name.removeprefix("backbone."): tensor
            for name, tensor in tensors.items()
            if name.startswith("backbone.")
        }
        return RunWeights(own, mean, std)
    if (folder / PRETRAINED).is_file():
        facts = _facts(folder / PRETRAINED)
        mean, std = (_parsed(facts.get(name, ""), folder) for name in ("mean", "std"))
        return RunWeights(read_backbone(folder / PRETRAINED), mean, std)
    raise FlukeprintError(
        f"model.weights: run {folder} is neither finished nor pretrained; go on with it with "
        f"--resume {folder.name}, or name another"
    )


def load_run_weights(net: nn.Module, weights: RunWeights, folder: Path, name: str) -> None:
    """Load a run's weights into a backbone without its classifier, by name.

    Raises:
        FlukeprintError: a tensor is missing, too many, or of another shape.
    """
    given, wanted = weights.tensors, net.state_dict()
    missing = [key for key in wanted if key not in given]
    further = [key for key in given if key not in wanted]
    other = [key for key in wanted if key in given and given[key].shape != wanted[key].shape]
    if missing or further or other:
        raise FlukeprintError(
            f"model.weights: the backbone of run {folder} does not fit {name} here: "
            f"{counted(len(missing), 'tensor')} missing, {len(further)} unknown, {len(other)} of "
            f"another shape ({listed([*missing, *further, *other], 3)}); take the run's image size"
        )
    net.load_state_dict(given)


def read_backbone(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a pretrained backbone."""
    return _tensors(file)


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _damaged(file, error) from None


def _facts(file: Path) -> dict[str, str]:
    try:
        with safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> FlukeprintError:
    reason = " ".join(str(error).split())[:100]
    return FlukeprintError(f"model.weights: {file} cannot be read ({reason}); restore it")


def _numbers(buffer: Tensor | None, folder: Path) -> Numbers:
    """The normalisation that a network keeps in a buffer of 0..255."""
    if buffer is None or buffer.numel() != 3:
        raise FlukeprintError(f"model.weights: the network of run {folder} has no normalisation")
    red, green, blue = (buffer.double().flatten() / 255).tolist()
    return red, green, blue


def _parsed(text: str, folder: Path) -> Numbers:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise FlukeprintError(
            f"model.weights: the backbone of run {folder} has no normalisation"
        ) from None
    return red, green, blue
