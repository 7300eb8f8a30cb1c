"""Time of a whole competition's inference: 7,960 queries against 15,697 photographs and mirrors.

    python -m benchmarks.speed.competition [--quick]

Synthetic whales stand in for the photographs: 100 pictures of 1,050 pixels under as many names and
identities as humpback-whale-identification has.  All of `infer.py` is run and timed by stage, with
the embedding of the gallery, which training does; the forward passes of the network alone are timed
on batches in memory.
"""

import csv
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT
from benchmarks.harness.timing import peak_mb, save
from flukeprint.config.data import SyntheticConfig
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.synthetic.dataset import identity_sizes, write_whales
from flukeprint.embedding.embed import Variants, embed
from flukeprint.embedding.engine_choice import pick_engine
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.runs import Run, new_run
from flukeprint.models.network import FlukeNet, build_model
from flukeprint.ranking.features import Features
from flukeprint.ranking.rules import FittedRules
from flukeprint.submission.infer import infer

LABELLED, IDENTITIES, QUERIES = 15_697, 5_004, 7_960


def write_competition(folder: Path, share: float) -> None:
    """Write the competition's layout at `share` of its size; few pictures have many names."""
    drawn = folder / "drawn"
    write_whales(
        SyntheticConfig(identities=60, test_photos=20, long_side=1050), drawn, progress=True
    )
    pictures = sorted(drawn.glob("*/*.jpg"))
    rng = np.random.default_rng(0)
    sizes = identity_sizes(round(IDENTITIES * share), rng)
    labels = [f"w_{whale:05}" for whale, size in enumerate(sizes) for _ in range(size)]
    wanted = round(LABELLED * share)
    labels = (labels * (1 + wanted // len(labels)))[:wanted]
    for part, count in (("train", wanted), ("test", round(QUERIES * share))):
        (folder / part).mkdir()
        for number in range(count):
            os.link(pictures[number % len(pictures)], folder / part / f"{part}{number:06}.jpg")
    with (folder / "train.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Image", "Id"])
        rows.writerows([f"train{number:06}.jpg", name] for number, name in enumerate(labels))


def settings(folder: Path) -> Config:
    """Configuration: EfficientNet-Lite0 at 256 x 512, with mirrored photographs."""
    return load_config(
        ROOT / "configs" / "demo.yaml",
        [
            "name=competition", "data.reader=kaggle_csv", f"data.root={folder}",
            "data.sample_submission=null", "image.height=256", "image.width=512",
            "image.cache=null", "rank.local.candidates=0", "infer.threshold=0.5",
            "model.embedding_dim=512", "train.workers=2",
            f"runs={folder}/runs", f"submissions={folder}/submissions",
        ],
    )  # fmt: skip


def passes_alone(
    net: FlukeNet, config: Config, recipe: EmbeddingRecipe, catalog: Catalog, passes: int
) -> float:
    """Seconds of `passes` forward passes on batches in memory, with the engine of the run."""
    size = (config.image.height, config.image.width)
    views = Variants(catalog, recipe)
    engine = pick_engine(
        net, size, "auto", "auto", stamp=recipe.stamp, sample=views.sample, passes=passes
    )
    photos = views.sample()
    took = []
    for turn in range(12):
        begin = time.perf_counter()
        engine.embed(photos)
        if turn >= 2:
            took.append(time.perf_counter() - begin)
    return statistics.median(took) / len(photos) * passes


def measure(quick: bool) -> dict[str, Any]:
    """Time each stage; also the network's share of the whole."""
    share = 0.05 if quick else 1.0
    keep_memory()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_competition(folder, share)
        config = settings(folder)
        net = build_model(config.model, (config.image.height, config.image.width))
        recipe = EmbeddingRecipe.of(config).stamped(net)
        catalog = read_labelled(config.data)
        begin = time.perf_counter()
        gallery = embed(net, catalog, recipe, Compute.of(config), progress="gallery")
        embedded = time.perf_counter()
        run = Run(new_run(config, catalog).path)
        build_identifier(
            config, net, Features(gallery), 0.5, fitted=FittedRules(rules=config.rank)
        ).save(run.identifier)
        kept = time.perf_counter()
        answers = infer(config, run)
        done = time.perf_counter()
        queries = len(read_test(config.data))
        assert len(answers.ranking) == queries
        passes = 2 * (len(catalog) + queries)
        network = passes_alone(net, config, recipe, catalog, passes)
        whole = done - begin
        stages = {
            "embed the gallery and its mirrors": embedded - begin,
            "keep the identifier": kept - embedded,
            "embed the queries, search, rank, write the CSV": done - kept,
            "all": whole,
            "the network's passes alone": network,
        }
    return {
        "rows": [{"what": what, "median": took, "all": [took]} for what, took in stages.items()],
        "gallery": len(catalog),
        "queries": queries,
        "passes": passes,
        "network_share": network / whole,
        "peak_mb": peak_mb(),
        "precision": gallery.precision,
    }


def main() -> None:
    """Measure and write the result file."""
    quick = options("speed.competition", __doc__, ["quick"]).parse_args().quick
    result = measure(quick)
    for row in result["rows"]:
        print(f"{row['what']}: {row['median']:.1f} s")
    print(f"the network's share: {result['network_share']:.0%}")
    save("competition", result, quick)


if __name__ == "__main__":
    main()
