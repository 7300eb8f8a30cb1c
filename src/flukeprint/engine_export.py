"""Networks for other programs: a `FlukeNet` enters, an OpenVINO model or an ONNX file leaves.

The graph takes uint8 RGB (b, 3, height, width), any b, and gives unit embeddings (b, d) float32.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flukeprint.errors import FlukeprintError, needs
from flukeprint.model import FlukeNet

INPUT, OUTPUT = "photos", "embeddings"
OPSET = 17


class _Whole(nn.Module):
    """`embed` as the module's call, which tracing looks at."""

    def __init__(self, net: FlukeNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, photos: Tensor) -> Tensor:
        return self.net.embed(photos)


@contextlib.contextmanager
def _at_rest(net: FlukeNet) -> Iterator[tuple[nn.Module, Any]]:
    """The network in evaluation mode on the CPU, with a pair of photographs to trace it with."""
    device, training = next(net.parameters()).device, net.training
    net.eval().cpu()
    photos = torch.arange(2 * 3 * net.size[0] * net.size[1]) % 251
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of constants in the trace: sizes are meant to be
            yield _Whole(net), photos.view(2, 3, *net.size).to(torch.uint8)
    finally:
        net.to(device).train(training)


def openvino_model(net: FlukeNet, size: tuple[int, int]) -> Any:
    """An `openvino.Model` of the network, float32, for photographs of `size`.

    The front end is called itself: `openvino.convert_model` tells its maker of every conversion.

    Raises:
        FlukeprintError: OpenVINO is not installed, or has no counterpart of a layer.
    """
    with needs("fast"):
        import openvino
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    with _at_rest(net) as (module, photos):
        sized = photos[:, :, :1, :1].expand(2, 3, *size).contiguous()
        traced = torch.jit.trace(module, sized, check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(
            traced, example_input=sized, trace_kwargs={"check_trace": False}
        )
        reader = FrontEndManager().load_by_framework("pytorch")
        try:
            model = reader.convert(reader.load(decoder))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise FlukeprintError(
                f"OpenVINO cannot take over {net.config.backbone} ({reason}); "
                "choose infer.engine=torch"
            ) from None
    model.reshape({0: openvino.PartialShape([-1, 3, *size])})
    model.input(0).get_tensor().set_names({INPUT})
    model.output(0).get_tensor().set_names({OUTPUT})
    return model


def write_onnx(net: FlukeNet, size: tuple[int, int], target: Path) -> None:
    """Write the network as ONNX, float32, for photographs of `size`.

    Raises:
        FlukeprintError: the package onnx is not installed, or ONNX has no counterpart of a layer.
    """
    with needs("onnx"):
        import onnx  # noqa: F401  torch's exporter asks for it
    with _at_rest(net) as (module, photos):
        sized = photos[:, :, :1, :1].expand(2, 3, *size).contiguous()
        try:
            torch.onnx.export(
                module, (sized,), str(target), dynamo=False, opset_version=OPSET,
                input_names=[INPUT], output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            )  # fmt: skip
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FlukeprintError(
                f"ONNX cannot take over {net.config.backbone} ({reason}); choose infer.engine=torch"
            ) from None
