"""The commands that study finished embeddings: verification and few-shot."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flukeprint.errors import FlukeprintError
from flukeprint.output import say

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def verification(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    distractors: Annotated[
        int, typer.Option(help="Most drawn animals in the gallery.", min=1, max=10_000_000)
    ] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Measure verification, identification among distractors, and metrics, on runs' folds."""
    from flukeprint.identifier.studies.run_studies import study_runs

    found = study_runs(runs, most_distractors=distractors)
    print(json.dumps(found.summary(), indent=2) if as_json else found.text())


def few_shot(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run's folder.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="With --config, such as data.root=FOLDER."),
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="A YAML file, with --untrained.")
    ] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Embed its catalogue with the untrained network.")
    ] = False,
    ways: Annotated[
        list[int] | None, typer.Option(help="Animals of an episode; may be repeated.  5 and 20.")
    ] = None,
    shots: Annotated[
        list[int] | None, typer.Option(help="Photographs of each; may be repeated.  1 and 5.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="Number of episodes.", min=1)] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure how well a few photographs of each of a few animals are enough (N-way k-shot)."""
    from dataclasses import asdict

    from flukeprint.config.load import load_config
    from flukeprint.evaluation.studies.few_shot import (
        SHOTS,
        WAYS,
        check_cells,
        few_shot_lines,
        few_shots,
    )
    from flukeprint.evaluation.studies.fold import Fold
    from flukeprint.identifier.studies.run_fold import read_run_fold, untrained_fold

    asked, wanted, strict = ways or WAYS, shots or SHOTS, bool(ways or shots)

    def check(fold: Fold) -> None:
        check_cells(fold, asked, wanted, strict=strict)

    if untrained != (config is not None):
        raise FlukeprintError(
            "--untrained goes with --config: it embeds the catalogue of a configuration"
        )
    if config is not None:
        # Without a run the first argument is an override.
        settings = load_config(config, [*([] if run is None else [str(run)]), *(overrides or [])])
        fold = untrained_fold(settings, split=False, check=check)
    elif run is None:
        raise FlukeprintError("name a run's folder, or --config CONFIG --untrained")
    elif overrides:
        raise FlukeprintError(f"{overrides[0]}: a run has its own configuration; leave it out")
    else:
        fold = read_run_fold(run)
    found = few_shots(fold, asked, wanted, episodes=episodes, strict=strict)
    say(f"{found.seconds:.1f} s")
    print(json.dumps(asdict(found), indent=2) if as_json else "\n".join(few_shot_lines(found)))
