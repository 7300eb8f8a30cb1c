"""A network in an ONNX file, read back and shared by threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from flukeprint.embedding.onnx_engine import OnnxEngine, write_onnx
from flukeprint.models.network import FlukeNet
from tests.embedding.tiny import SIZE, drawn, seen


def test_a_file_is_read_back_and_threads_share_it(shared_net: FlukeNet, tmp_path: Path) -> None:
    write_onnx(shared_net, SIZE, tmp_path / "network.onnx")
    engine = OnnxEngine.read(tmp_path / "network.onnx", "fp32")
    photos = drawn(8)
    parts = [photos[start : start + 2] for start in range(0, 8, 2)]
    with ThreadPoolExecutor(4) as pool:
        got = np.concatenate(list(pool.map(engine.embed, parts)))
    np.testing.assert_allclose(got, seen(shared_net, photos), atol=1e-4)
