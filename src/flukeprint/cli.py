"""The command line: each command parses its arguments, calls one function and prints the result."""

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flukeprint.commands import catalogue, edits
from flukeprint.commands.doctor import doctor
from flukeprint.commands.embed_all import embed_all
from flukeprint.commands.imports import import_source
from flukeprint.commands.people import token
from flukeprint.commands.reports import ResultTable, compare, report, triplets
from flukeprint.commands.reviews import apply_review, review
from flukeprint.commands.search import search
from flukeprint.commands.studies import few_shot, verification
from flukeprint.errors import FlukeprintError, counted
from flukeprint.output import only_notices, say
from flukeprint.photo_commands import identify, verify

if TYPE_CHECKING:
    from flukeprint.config.schema import Config

app = typer.Typer(
    help="Who is this animal?  Identify individual animals in photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ConfigName = Annotated[
    str, typer.Option("--config", "-c", help="A YAML file; a bare name is looked up in configs/.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as train.epochs=5.")
]
Resume = Annotated[
    str | None, typer.Option(help="A run's name, or `last` for the newest unfinished one.")
]
Weights = Annotated[
    str | None, typer.Option(help="Of several together, one number for each, such as 2,1.")
]


@app.command("train")
def train_command(
    config: ConfigName,
    overrides: Overrides = None,
    resume: Resume = None,
    untrained: Annotated[
        bool, typer.Option(help="Measure the untrained network and the commonest labels as well.")
    ] = True,
) -> None:
    """Train on a fold, validate with MAP@5 and keep the identifier."""
    from flukeprint.config.load import load_config
    from flukeprint.training.train import baselines, train
    from flukeprint.training.trainer import first_process

    settings = load_config(config, overrides or [])
    with _stoppable("training"):
        run = train(settings, resume=resume)
    if not first_process():
        return  # only the first process prints
    if untrained:
        for name, scores in baselines(settings).items():
            print(f"{name + ':':24}{scores.text()}")
    print(run.text())
    command = shlex.join(["--config", config, "--run", run.name, *(overrides or [])])
    if pictures := run.pictures():
        print(f"pictures: {', '.join(map(str, pictures))}")
    if run.report.is_file():
        print(f"report: {run.report}")
    print(f"run: {run.path}\nnext: python infer.py {command}", flush=True)
    if _takes_openvino(settings):
        from flukeprint.identifier.identifier import Identifier

        Identifier.load(run.identifier, with_index=False).keep_engine(say)


@app.command("pretrain")
def pretrain_command(
    config: ConfigName,
    overrides: Overrides = None,
    resume: Resume = None,
) -> None:
    """Pretrain the backbone without labels, for later trainings to start from."""
    from flukeprint.config.load import load_config
    from flukeprint.training.pretraining.pretrain import pretrain
    from flukeprint.training.trainer import first_process

    settings = load_config(config, overrides or [])
    with _stoppable("pretraining"):
        run = pretrain(settings, resume=resume)
    if not first_process():
        return  # only the first process prints
    print(f"backbone: {run.pretrained}")
    start = shlex.join(["--config", config, f"model.weights=run:{run.path}", "pretrain=null"])
    print(f"next: python train.py {start}")


@app.command("infer")
def infer_command(
    config: ConfigName,
    overrides: Overrides = None,
    run: Annotated[
        list[str] | None,
        typer.Option(help="A run's name; the newest finished one. Several answer together."),
    ] = None,
    weights: Weights = None,
) -> None:
    """Identify the test photographs and write the submission."""
    from flukeprint.config.load import load_config
    from flukeprint.identifier.runs import find_run
    from flukeprint.ranking.ensemble import read_weights

    settings = load_config(config, overrides or [])
    names: list[str | None] = [*run] if run else [None]
    shares = read_weights(weights, len(names))
    found = [find_run(settings, name) for name in names]
    for one in found:
        say(f"run: {one.description()}")
    if len(found) > 1:
        from flukeprint.submission.ensemble import infer_together

        print(infer_together(settings, found, shares).text())
        return
    # Without importing torch, where an engine is kept.
    from flukeprint.submission.infer import infer

    answers = infer(settings, found[0])
    print(answers.text(), flush=True)
    if _takes_openvino(settings):
        answers.identifier.keep_engine(say)


@app.command("pseudo-label")
def pseudo_label_command(
    config: ConfigName,
    overrides: Overrides = None,
    run: Annotated[str | None, typer.Option(help="A run's name; the newest finished one.")] = None,
    confidence: Annotated[
        float, typer.Option(help="Least probability that an answer is right.", min=0, max=1)
    ] = 0.6,
) -> None:
    """Label the test photographs that are identified with confidence, to train on them as well."""
    from flukeprint.config.load import load_config
    from flukeprint.data.tables import read_column
    from flukeprint.identifier.runs import find_run
    from flukeprint.submission.pseudo_label import pseudo_label

    found = find_run(load_config(config, overrides or []), run)
    say(f"run: {found.description()}")
    table = pseudo_label(found, confidence)
    print(f"{counted(len(read_column(table, 'Id')), 'test photograph')}: {table}")
    print(f"next: train with data.pseudo_labels={table}")


app.command()(identify)
app.command()(verify)
for command in (
    catalogue.keep, catalogue.enroll, edits.annotate, catalogue.individuals, edits.rename,
    edits.merge, edits.split, edits.move, edits.remove, edits.describe, edits.undo,
    catalogue.history, catalogue.refit,
):  # fmt: skip
    app.command()(command)
app.command("apply-review")(apply_review)
app.command("import")(import_source)
app.command("export-catalogue")(catalogue.export_catalogue)
app.command("embed-all")(embed_all)
app.command("search")(search)


@app.command("index")
def index_command(
    identifier: Annotated[Path, typer.Argument(help="The folder of a trained identifier.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Such as gallery.backend=hnsw."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="What embed-all wrote; its photographs join the gallery."),
    ] = None,
) -> None:
    """Build the gallery's index again, and measure the recall of an approximate one."""
    from flukeprint.config.load import load_config
    from flukeprint.identifier.build import build_index_again

    settings = load_config(None, overrides or []).gallery
    if source is not None:
        from flukeprint.bulk.fill_gallery import fill_gallery

        filled = fill_gallery(identifier, source, settings, print, waiting=say, progress=True)
        print(filled.text())
        print(f"{counted(len(filled.identifier.gallery), 'photograph')} in {identifier}")
        return
    known = build_index_again(identifier, settings, print, say)
    print(f"{counted(len(known.gallery), 'photograph')} in {identifier}")


@app.command("export")
def export_command(
    identifier: Annotated[Path, typer.Argument(help="The folder of a trained identifier.")],
    photos: Annotated[
        list[Path], typer.Argument(help="Photographs of the catalogue, or folders, to check with.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    engine: Annotated[str, typer.Option(help="onnxruntime or openvino.")] = "onnxruntime",
    precision: Annotated[str, typer.Option(help="fp32; openvino also bf16.")] = "fp32",
) -> None:
    """Export the network for other programs, if it gives the same embeddings there."""
    from flukeprint.embedding.export import export_network, read_photos_below
    from flukeprint.identifier.identifier import Identifier

    known = Identifier.load(identifier)
    card = export_network(
        known.net, read_photos_below(photos, known.card.image), out, engine, precision,
        stamp=known.card.stamp, resize=known.card.image.resize,
        variants=known.card.recipe.variants,
    )  # fmt: skip
    print(card.parity.text())
    print(f"network: {out / card.file}")


@app.command("serve")
def serve_command(
    identifier: Annotated[Path, typer.Option(help="The folder of a trained identifier.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as serve.queue=64.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="Its serve, cards and taxonomy are used.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="127.0.0.1; 0.0.0.0 for all addresses.")] = None,
    port: Annotated[int | None, typer.Option(help="8000; 0 for any that is free.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, each with the network.")] = None,
    enroll: Annotated[bool | None, typer.Option(help="Allow enrolling with the token.")] = None,
) -> None:
    """Identify in the browser: the API and its web page on one port."""
    from flukeprint.config.load import load_config
    from flukeprint.errors import needs

    given = {"host": host, "port": port, "workers": workers, "enroll": enroll}
    flags = [
        f"serve.{key}={json.dumps(value)}" for key, value in given.items() if value is not None
    ]
    settings = load_config(config, [*(overrides or []), *flags])
    with needs("serve"):
        from flukeprint.serving.server import serve
    serve(identifier, settings)


@app.command()
def matches(
    first: Annotated[Path, typer.Argument(help="A photograph.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    out: Annotated[Path, typer.Option(help="The picture; its suffix names the format.")] = Path(
        "matches.png"
    ),
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="Its rank.local is used.")
    ] = None,
) -> None:
    """Draw the keypoints of two photographs that match in one geometry."""
    from flukeprint.config.load import load_config
    from flukeprint.config.ranking import LocalConfig
    from flukeprint.evaluation.plots import draw_pair

    settings = LocalConfig() if config is None else load_config(config).rank.local
    found = draw_pair(first, second, settings, out)
    matching = counted(found.count, "keypoint")
    print(f"{matching} in one geometry, strength {found.strength:.2f}: {out}")


@app.command()
def explore(
    config: ConfigName,
    overrides: Overrides = None,
    plot: Annotated[Path | None, typer.Option(help="Write the distribution as a picture.")] = None,
) -> None:
    """Print, and plot, how many photographs each animal has."""
    from flukeprint.config.load import load_config
    from flukeprint.data.explore import explore_data

    print(explore_data(load_config(config, overrides or []).data, plot).text())


app.command()(doctor)


@app.command()
def synthesize(config: ConfigName, overrides: Overrides = None) -> None:
    """Draw the photographs of a synthetic data set."""
    from flukeprint.config.load import load_config
    from flukeprint.data.synthetic.dataset import write_synthetic

    data = load_config(config, overrides or []).data
    if data.reader != "synthetic":
        raise FlukeprintError(f"{config}: data.reader is {data.reader}, only synthetic is drawn")
    from flukeprint.storage import require_local

    write_synthetic(data.synthetic, require_local(data.root, "drawing"), progress=True)
    print(f"photographs and labels: {data.root}")


@app.command("download")
def download_command(
    config: Annotated[str, typer.Argument(help="A configuration's name, such as whales.")],
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option(help="Download although there are files.")] = False,
) -> None:
    """Download a Kaggle competition's data into input/."""
    from flukeprint.config.load import load_config
    from flukeprint.submission.kaggle import download as fetch

    print(f"data: {fetch(load_config(config, overrides or []).data, force=force)}")


@app.command("submit")
def submit_command(
    submission: Annotated[Path, typer.Argument(help="A CSV from infer.")],
    config: ConfigName,
    overrides: Overrides = None,
    message: Annotated[str, typer.Option(help="Shown with it on Kaggle.")] = "flukeprint",
) -> None:
    """Check a submission and send it to its competition."""
    from flukeprint.config.load import load_config
    from flukeprint.submission.kaggle import submit as send

    settings = load_config(config, overrides or [])
    print(send(submission, settings.data, message, top=settings.infer.answers))


@app.command("score")
def score_command(
    submission: Annotated[Path, typer.Argument(help="A CSV from infer.")],
    truth: Annotated[Path, typer.Argument(help="A CSV with the right answers, Image,Id.")],
) -> None:
    """Compute MAP@5 of a submission, offline."""
    from flukeprint.submission.csv_file import score as measure

    print(f"MAP@5 {measure(submission, truth):.4f}")


@app.command("crossvalidate")
def crossvalidate_command(
    config: ConfigName,
    overrides: Overrides = None,
    others: Annotated[
        list[str] | None,
        typer.Option("--with", help="Another YAML file, measured together with the first."),
    ] = None,
    weights: Weights = None,
    folds: Annotated[int | None, typer.Option(help="Number of folds; all by default.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds, from train.seed on.")] = 1,
    into: ResultTable = Path("benchmarks/accuracy/table.csv"),
    note: Annotated[str, typer.Option(help="The name in tables, of the recipe or ensemble.")] = "",
) -> None:
    """Train and score every fold; runs that are done already are not repeated."""
    from flukeprint.config.load import load_config
    from flukeprint.evaluation.results_table import summary_lines
    from flukeprint.ranking.ensemble import read_weights
    from flukeprint.training.cross_validation import crossvalidate
    from flukeprint.training.recipe_ensembles import crossvalidate_together

    settings = [load_config(name, overrides or []) for name in (config, *(others or []))]
    shares = read_weights(weights, len(settings))
    try:
        if others:
            rows = crossvalidate_together(
                settings, weights=shares, folds=folds, seeds=seeds, into=into, note=note,
                report=typer.echo,
            )  # fmt: skip
        else:
            rows = crossvalidate(
                settings[0], folds=folds, seeds=seeds, into=into, note=note, report=typer.echo
            )
    except KeyboardInterrupt:
        say("stopped; the same command does not repeat what is finished")
        raise typer.Exit(130) from None
    print("\n".join(summary_lines(rows)))
    print(f"table: {into}")


app.command()(compare)
app.command()(triplets)
app.command()(report)
app.command()(review)
app.command()(token)
app.command()(verification)
app.command("few-shot")(few_shot)


@app.command()
def demo() -> None:
    """Run everything on synthetic whales, from drawing to submission, in a few minutes."""
    from flukeprint.demo import run_demo

    run_demo()


@contextlib.contextmanager
def _stoppable(what: str) -> Iterator[None]:
    """End with status 130 and the reason where the training or pretraining is interrupted."""
    try:
        yield
    except KeyboardInterrupt as stop:
        say(str(stop) or f"stopped before the {what} began")
        raise typer.Exit(130) from None


def _takes_openvino(settings: "Config") -> bool:
    """Whether photographs may be embedded by OpenVINO, whose engine can be kept."""
    return settings.infer.engine in ("auto", "openvino")


def run_command(command: Callable[..., None]) -> None:
    """Run one command as a script of its own, such as `train.py`."""
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command()(command)
    _run(single)


def main() -> None:
    """Run the command `flukeprint`."""
    _run(app)


def _run(program: Callable[[], Any]) -> None:
    only_notices()
    try:
        program()
    except FlukeprintError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # such as a full disk, from a library that writes
        where = f" ({error.filename})" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
