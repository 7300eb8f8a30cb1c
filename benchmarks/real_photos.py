"""Train the recipes on real photographs and write down what they reach.

    python benchmarks/real_photos.py FOLDER [CONFIG ...]

FOLDER holds lions/, nyala/ and spiders/.  Each recipe is trained on its fold, compared with the
untrained network on the same queries, and answers its test photographs.  One row a recipe goes to
`benchmarks/real_photos.csv`; the table for people is printed.
"""

import csv
import os
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from flukeprint.config import load_config
from flukeprint.files import written_whole
from flukeprint.identify import Identifier
from flukeprint.inference import infer
from flukeprint.training import baselines, train

RESULT = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Row:
    config: str
    digest: str
    million_parameters: float
    training_photos: int
    queries: int
    untrained_top1: float
    untrained_map5: float
    top1: float
    top5: float
    map5: float
    map5_low: float
    map5_high: float
    train_minutes: float
    infer_seconds: float
    cores: int


def measure(name: str, folder: Path) -> Row:
    """Train, validate and infer one recipe."""
    config = load_config(f"{name}.yaml", [f"data.root={folder / name}"])
    start = time.monotonic()
    run = train(config)
    trained = time.monotonic()
    infer(config, run)
    inferred = time.monotonic()
    known = Identifier.load(run.identifier)
    plain = baselines(config)["untrained network"]
    figures = run.figures()
    return Row(
        config=name,
        digest=load_config(f"{name}.yaml").digest(),  # without this machine's paths
        million_parameters=round(sum(p.numel() for p in known.net.parameters()) / 1e6, 1),
        training_photos=len(known.gallery) - figures["queries"],
        queries=figures["queries"],
        untrained_top1=round(plain.top1, 4),
        untrained_map5=round(plain.map5.mean, 4),
        top1=round(figures["top1"], 4),
        top5=round(figures["top5"], 4),
        map5=round(figures["map5"]["mean"], 4),
        map5_low=round(figures["map5"]["low"], 4),
        map5_high=round(figures["map5"]["high"], 4),
        train_minutes=round((trained - start) / 60, 1),
        infer_seconds=round(inferred - trained, 1),
        cores=os.cpu_count() or 1,
    )


def keep(row: Row) -> list[Row]:
    """Replace the recipe's row in the result file."""
    kept: dict[str, Row] = {}
    if RESULT.is_file():
        with RESULT.open(newline="") as file:
            for line in csv.DictReader(file):
                typed = {f.name: f.type(line[f.name]) for f in fields(Row)}  # type: ignore[operator]
                kept[line["config"]] = Row(**typed)
    kept[row.config] = row
    rows = [kept[name] for name in sorted(kept)]
    with written_whole(RESULT) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    return rows


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1]).resolve()
    rows: list[Row] = []
    for name in sys.argv[2:] or ["lions", "nyala", "spiders"]:
        rows = keep(measure(name, folder))
    print("| data | photos | queries | untrained top-1 | top-1 | MAP@5 (95 %) | minutes |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        interval = f"{row.map5:.3f} ({row.map5_low:.3f} to {row.map5_high:.3f})"
        print(
            f"| {row.config} | {row.training_photos} | {row.queries} | {row.untrained_top1:.1%} "
            f"| {row.top1:.1%} | {interval} | {row.train_minutes:.0f} |"
        )


if __name__ == "__main__":
    main()
