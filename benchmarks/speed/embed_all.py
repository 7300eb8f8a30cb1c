"""Embedding of catalogues: what Ray costs over a bare loop, memory as they grow, and faults.

    python -m benchmarks.speed.embed_all [--quick]            figures, in steps that are kept
    python -m benchmarks.speed.embed_all --faults [--quick]   faults, beside them
    python -m benchmarks.speed.embed_all --render             benchmarks/reports/scale.md alone

Photographs are drawn when they are read (`harness/drawn_storage.py`), and a tiny network embeds
them on one core, so that what Ray and writing cost is not hidden by the network's work.
"""

import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.harness.arguments import options
from benchmarks.harness.drawn_storage import register
from benchmarks.harness.places import RESULTS, ROOT
from benchmarks.harness.processes import family
from benchmarks.harness.timing import machine
from benchmarks.speed.embed_all_faults import all_faults
from benchmarks.speed.embed_all_page import render
from flukeprint.bulk.embed_all import BulkEngine, EmbedAllOptions, LocalEngine, embed_all
from flukeprint.bulk.ray_engine import RayEngine, RaySettings
from flukeprint.config.load import load_config
from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.identifier.build import build_identifier
from flukeprint.models.network import build_model
from flukeprint.ranking.features import Features
from flukeprint.ranking.rules import FittedRules
from flukeprint.storage import parse_path

SEED = 7
SETTINGS = """
name: tiny
image: {height: 16, width: 16, cache: null}
model: {backbone: test_resnet, weights: none, embedding_dim: 64}
"""
PARTITION = 1000
EVERY = 0.5  # s between looks at the memory
# Engine, actors, photographs, rounds; rounds of one size take turns.
STEPS = (
    ("local", 1, 10_000, 2), ("ray", 1, 10_000, 2),
    ("local", 1, 100_000, 1), ("ray", 1, 100_000, 1), ("ray", 1, 1_000_000, 1),
)  # fmt: skip
QUICK = (("local", 1, 2_000, 1), ("ray", 1, 2_000, 1))


def make_identifier(folder: Path) -> Path:
    """An identifier of an untrained tiny network and a gallery of ten drawn vectors."""
    torch.set_num_threads(1)  # a process that is forked from one with OpenMP's threads would hang
    kept = folder / "identifier"
    if kept.exists():
        return kept
    (folder / "tiny.yaml").write_text(SETTINGS)
    config = load_config(folder / "tiny.yaml")
    torch.manual_seed(0)
    net = build_model(config.model, (config.image.height, config.image.width)).eval()
    recipe = EmbeddingRecipe.of(config).stamped(net)
    vectors = np.random.default_rng(0).normal(size=(10, net.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = tuple(f"animal {number // 2}" for number in range(10))
    images = tuple(f"{number}.jpg" for number in range(10))
    gallery = Features(Embeddings(vectors, images, names, None, recipe.stamp))
    fitted = FittedRules(rules=config.rank)
    build_identifier(config, net, gallery, None, fitted=fitted).save(kept)
    return kept


def make_table(folder: Path, photographs: int) -> Path:
    """A table that names drawn photographs."""
    path = folder / f"drawn-{photographs}.parquet"
    if not path.exists():
        names = [f"{number:09}.jpg" for number in range(photographs)]
        whose = [f"w_{number // 5}" for number in range(photographs)]
        pq.write_table(pa.table({"image": names, "identity": whose}), path)
    return path


def embed_drawn(engine: str, actors: int, photographs: int, folder: Path) -> None:
    """Embed in this process, which is measured from outside."""
    register()
    torch.set_num_threads(1)
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    warnings.simplefilter("ignore")  # universal_pathlib does not know such a storage
    chosen: BulkEngine = LocalEngine("cpu")
    if engine == "ray":
        # No niceness, as the bare loop has none: else it would wait for other work.
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        import ray

        ray.init(
            address="local", num_cpus=actors, include_dashboard=False, log_to_driver=False,
            object_store_memory=1 << 28,
            runtime_env={"worker_process_setup_hook": "benchmarks.harness.drawn_storage.register"},
        )  # fmt: skip
        chosen = RayEngine("cpu", RaySettings(actors=(actors, actors)))
    settings = EmbedAllOptions(
        photos=parse_path(f"drawn://{SEED}"), partition_rows=PARTITION, engine="torch",
        batch_size=250, readers=1, accelerator="cpu",
    )  # fmt: skip
    target = folder / f"to-{engine}-{actors}-{photographs}"
    shutil.rmtree(target, ignore_errors=True)
    begin = time.time()
    result = embed_all(
        make_table(folder, photographs), folder / "identifier", target, settings, chosen
    )
    assert result.photographs == photographs, result
    written = sorted(path.stat().st_mtime for path in (target / "embeddings").iterdir())
    size = sum(path.stat().st_size for path in (target / "embeddings").iterdir())
    # Without the start and the first partition, for which everything is loaded.
    rest = (photographs - PARTITION) / (written[-1] - written[0])
    told = {
        "seconds": time.time() - begin, "rate": rest, "bytes": size / photographs,
        "between": (written[0], written[-1]),
    }  # fmt: skip
    (folder / "told.json").write_text(json.dumps(told))
    shutil.rmtree(target)


@dataclass(frozen=True)
class _Seen:
    """Of the processes below one: resident MB of the driver and the actors, and CPU seconds."""

    driver: float
    actors: float
    cpu: dict[int, float]


def _look(root: int) -> _Seen | None:
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    cpu: dict[int, float] = {}
    memory: dict[int, float] = {}
    words: dict[int, str] = {}
    for pid in family(root):
        entry = Path(f"/proc/{pid}")
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            words[pid] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        cpu[pid] = (int(fields[11]) + int(fields[12])) / ticks
        memory[pid] = int(fields[21]) * page / 1e6
    if root not in memory:
        return None
    actors = sum(size for pid, size in memory.items() if re.match(r"ray::.*Map", words[pid]))
    return _Seen(memory[root], actors, cpu)


def measured(engine: str, actors: int, photographs: int, folder: Path) -> dict[str, Any]:
    """Run `embed_drawn` in a process of its own, and look at its memory."""
    seen: list[_Seen] = []
    cpu: dict[int, float] = {}
    spent: list[tuple[float, float]] = []
    child = os.fork()  # so that nothing is imported again, which would take longest
    if not child:
        _end(embed_drawn, engine, actors, photographs, folder)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        time.sleep(EVERY)
        now = _look(child)
        if now is not None:
            seen.append(now)
            cpu |= now.cpu
            spent.append((time.time(), sum(cpu.values())))
    if ended[1]:
        raise SystemExit(1)
    told = json.loads((folder / "told.json").read_text())
    first, last = told.pop("between")
    begin, end = (max(sum_ for at, sum_ in spent if at <= moment) for moment in (first, last))
    row = {
        "engine": engine, "actors": actors, "photographs": photographs, **told,
        "driver_mb": max(one.driver for one in seen), "actors_mb": max(one.actors for one in seen),
        "memory_mb": max(one.driver + one.actors for one in seen),
        "cpu_ms": 1000 * (end - begin) / (photographs - PARTITION),
        "cpu_seconds": sum(cpu.values()),
        "load": os.getloadavg()[0],
    }  # fmt: skip
    told = f"{row['rate']:.0f}/s, {row['memory_mb']:.0f} MB, {row['cpu_ms']:.2f} ms"
    print(f"  {engine} {actors}: {photographs:,}: {told}", flush=True)
    return row


def _end(run: Callable[..., None], *given: object) -> NoReturn:
    """Run in a forked process, and end it."""
    status = 1
    try:
        run(*given)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def turns(steps: tuple[tuple[str, int, int, int], ...]) -> Iterator[tuple[str, int, int]]:
    """The steps in the order in which they are measured: those of one size take turns."""
    for size in sorted({photographs for _, _, photographs, _ in steps}):
        same = [step for step in steps if step[2] == size]
        for turn in range(max(rounds for *_, rounds in same)):
            yield from ((name, actors, size) for name, actors, _, n in same if turn < n)


def figures(quick: bool) -> None:
    """Measure the steps that are not in the result file yet."""
    path = result_file(quick)
    found = json.loads(path.read_text()) if path.is_file() else {"rows": []}
    done = [(row["engine"], row["actors"], row["photographs"]) for row in found["rows"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_identifier(folder)
        for step in turns(QUICK if quick else STEPS):
            if step in done:
                done.remove(step)
                continue
            row = measured(*step, folder)
            found["rows"].append(row)
            path.write_text(json.dumps({"machine": machine(), **_without(found)}, indent=1) + "\n")


def faults() -> None:
    """Try the faults that did not end well yet, and keep what was found after each."""
    path = RESULTS / "embed_all_faults.json"
    before = json.loads(path.read_text())["rows"] if path.is_file() else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        for row in all_faults(folder, make_identifier(folder), before):
            rows.append(row)
            path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def result_file(quick: bool) -> Path:
    """Where the figures are kept."""
    return RESULTS / f"embed_all{'-quick' if quick else ''}.json"


def _without(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "machine"}


def main() -> None:
    """Measure or try, and write the page."""
    parser = options("speed.embed_all", __doc__, ["quick", "render"])
    parser.add_argument("--faults", action="store_true", help="try the faults")
    given = parser.parse_args()
    if given.faults:
        faults()
    elif not given.render:
        figures(given.quick)
    render(given.quick)


if __name__ == "__main__":
    main()
