"""Make a network ready for being traced, by which it is converted for other engines."""

import contextlib
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from flukeprint.models.network import FlukeNet
from flukeprint.output import hushed


class _Whole(nn.Module):
    """`embed` as the module's forward method, which is what tracing records."""

    def __init__(self, net: FlukeNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, photos: Tensor) -> Tensor:
        return self.net.embed(photos)


@contextlib.contextmanager
def traceable(net: FlukeNet, size: tuple[int, int]) -> Iterator[tuple[nn.Module, Tensor]]:
    """A module that computes `net.embed`, with two photographs (2, 3, *size) uint8 to trace it.

    In this context the network is in evaluation mode and on the CPU, and nothing is printed.
    """
    device, training = next(net.parameters()).device, net.training
    net.eval().cpu()
    photos = (torch.arange(2 * 3 * size[0] * size[1]) % 251).to(torch.uint8)
    try:
        with torch.no_grad(), hushed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the trace has constants: sizes are meant to be
            yield _Whole(net), photos.view(2, 3, *size)
    finally:
        net.to(device).train(training)
