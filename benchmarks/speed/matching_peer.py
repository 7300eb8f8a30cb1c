"""How wildlife-tools matches keypoints, for `matching.py`.

Its SIFT extractor and its matching of pairs (`MatchPairs` with its collectors), as of the
repository.  Its own matcher of SIFT is LightGlue, whose weights are downloaded; here gluefactory's
matcher of nearest neighbours, of the library that it builds on, takes its place.
"""

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = "1.0.3, commit 54449df7a4e4ffd2406e3c4f5c2bdd1fe46ec878"
GLUEFACTORY = "commit 1f56839db2242929960d70f85bfac6c19ef2821c"
SIDE = 512  # px, both sides, as its documentation resizes
RATIO = 0.9
Ints = npt.NDArray[np.int64]


def measure(
    gallery: tuple[Path, ...], queries: tuple[Path, ...], labels: Ints, truths: Ints, rows: Ints,
    peers: Path,
) -> dict[str, Any]:  # fmt: skip
    """Accuracy and cost of the queries at `rows`, each matched with the whole gallery."""
    sys.path.append(str(peers))
    warnings.filterwarnings("ignore")
    import pandas as pd
    import torch
    import torchvision.transforms as transforms
    from gluefactory.models.matchers.nearest_neighbor_matcher import NearestNeighborMatcher
    from omegaconf import OmegaConf
    from wildlife_tools.data import ImageDataset
    from wildlife_tools.features import SiftExtractor
    from wildlife_tools.similarity import CollectCounts, CollectCountsRansac
    from wildlife_tools.similarity.pairwise.base import MatchPairs

    class Nearest(MatchPairs):  # type: ignore[misc]
        """Mutual nearest neighbours that pass the ratio test, as LightGlue's class gives pairs."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            conf = OmegaConf.create({"name": "", "ratio_thresh": RATIO, "mutual_check": True})
            self.model = NearestNeighborMatcher(conf).eval()

        def get_matches(self, batch: Any) -> list[dict[str, Any]]:
            first, one, second, other = batch
            with torch.inference_mode():
                found = self.model(
                    {"descriptors0": one["descriptors"], "descriptors1": other["descriptors"]}
                )
            places = zip(first, second, found["matches0"], strict=True)
            return [
                {
                    "idx0": i.item(), "idx1": j.item(),
                    "scores": np.ones(int((match >= 0).sum())),
                    "kpts0": one["keypoints"][row][match >= 0].numpy(),
                    "kpts1": other["keypoints"][row][match[match >= 0]].numpy(),
                }
                for row, (i, j, match) in enumerate(places)
            ]  # fmt: skip

    class Both:
        """Hands the same matches to both of its collectors, and times each."""

        def __init__(self) -> None:
            self.counts, self.ransac = CollectCounts(), CollectCountsRansac()
            self.seconds = 0.0

        def init_store(self, grid_shape: Any) -> None:
            self.counts.init_store(grid_shape=grid_shape)
            self.ransac.init_store(grid_shape=grid_shape)

        def add(self, results: Any) -> None:
            self.counts.add(results)
            begin = time.process_time()
            self.ransac.add(results)
            self.seconds += time.process_time() - begin

        def process_results(self) -> Any:
            return self.counts.process_results(), self.ransac.process_results()

    resize = transforms.Compose([transforms.Resize([SIDE, SIDE]), transforms.ToTensor()])

    def features(paths: list[Path], owners: Ints) -> Any:
        table = pd.DataFrame({"path": [str(path) for path in paths], "identity": owners})
        extractor = SiftExtractor()
        extractor.num_workers = 0  # so that its processor time is this process's
        return extractor(ImageDataset(table, transform=resize))

    begin = time.process_time()
    known = features(list(gallery), labels)
    asked = features([queries[row] for row in rows.tolist()], truths[rows])
    extracted = time.process_time() - begin
    collector = Both()
    begin, wall = time.process_time(), time.perf_counter()
    counts, inliers = Nearest(collector=collector, tqdm_silent=True)(asked, known)
    seconds, waited = time.process_time() - begin, time.perf_counter() - wall
    pairs = counts.size
    return {
        "version": VERSION, "gluefactory": GLUEFACTORY, "queries": len(rows), "pairs": pairs,
        "keypoints": 256, "side": SIDE, "ratio": RATIO,
        "extract_cpu_ms": 1e3 * extracted / (len(gallery) + len(rows)),
        "rows": [
            {"what": what, "cpu_ms_a_pair": 1e3 * cpu / pairs,
             "strengths": _of_identities(np.asarray(grid, np.float32), labels)}
            for what, grid, cpu in (
                ("counts", counts, seconds - collector.seconds), ("RANSAC", inliers, seconds),
            )
        ],
        "wall_ms_a_pair": 1e3 * waited / pairs,
    }  # fmt: skip


def _of_identities(grid: npt.NDArray[np.float32], labels: Ints) -> npt.NDArray[np.float32]:
    """The best photograph of each identity (b, c)."""
    best = np.zeros((len(grid), int(labels.max()) + 1), np.float32)
    np.maximum.at(best, (np.arange(len(grid))[:, None], labels[None, :]), np.nan_to_num(grid))
    return best
