"""The command that embeds all photographs of tables, on one machine or on a cluster."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flukeprint.errors import FlukeprintError, nearest

if TYPE_CHECKING:
    from flukeprint.config.ranking import GalleryConfig


def embed_all(
    source: Annotated[
        str, typer.Argument(help="A .parquet or .csv, or a folder of them; also s3://... .")
    ],
    identifier: Annotated[Path, typer.Option(help="The folder of a trained identifier.")],
    to: Annotated[Path, typer.Option(help="The folder of the embeddings.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Such as gallery.collection=whales."),
    ] = None,
    photos: Annotated[
        str | None, typer.Option(help="Where names of photographs begin; else the tables' folder.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=NAME", help="Such as image=filename.")
    ] = None,
    numbers: Annotated[
        str, typer.Option(help="float32, or float16 in half the space.")
    ] = "float32",
    partition: Annotated[int, typer.Option(help="Photographs of a file.", min=1)] = 8192,
    engine: Annotated[str, typer.Option(help="local: this machine; ray: a cluster.")] = "local",
    inference: Annotated[str, typer.Option(help="infer.engine; auto measures.")] = "auto",
    precision: Annotated[str, typer.Option(help="infer.precision.")] = "fp32",
    batch_size: Annotated[
        int | None, typer.Option(help="Photographs of a batch; measured by default.", min=1)
    ] = None,
    readers: Annotated[
        int | None, typer.Option(help="Threads of a process that read photographs.", min=1)
    ] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    address: Annotated[
        str | None, typer.Option(help="Of Ray's cluster; RAY_ADDRESS, else this machine.")
    ] = None,
    actors: Annotated[
        str | None, typer.Option(metavar="LEAST..MOST", help="Of Ray's pool, such as 2..16.")
    ] = None,
    cores: Annotated[int, typer.Option(help="Of each of Ray's actors.", min=1)] = 1,
    qdrant_url: Annotated[
        str | None, typer.Option(help="Also upsert into this server, as gallery.backend=qdrant.")
    ] = None,
    first_row: Annotated[
        int, typer.Option(help="Number in Qdrant of the source's first row.", min=0)
    ] = 0,
    list_unreachable: Annotated[
        bool,
        typer.Option("--list-unreachable", help="List what a storage refuses as damaged."),
    ] = False,
) -> None:
    """Embed all photographs that tables name, into Parquet; the same command goes on.

    Damaged photographs are listed with the reason.  Memory does not grow with the catalogue.
    """
    from flukeprint.bulk.embed_all import EmbedAllOptions, LocalEngine
    from flukeprint.bulk.embed_all import embed_all as run
    from flukeprint.bulk.ray_engine import RayEngine, RaySettings
    from flukeprint.embedding.engine_table import ENGINES
    from flukeprint.output import say
    from flukeprint.storage import parse_path

    _known("--numbers", numbers, ("float32", "float16"))
    _known("--engine", engine, ("local", "ray"))
    _known("--inference", inference, ("auto", *ENGINES))
    _known("--precision", precision, ("auto", "fp32", "bf16", "fp16"))
    _known("--accelerator", accelerator, ("auto", "cpu", "gpu", "mps"))
    asked: dict[str, Any] = {
        "numbers": numbers, "engine": inference, "precision": precision, "accelerator": accelerator
    }  # fmt: skip
    options = EmbedAllOptions(
        photos=None if photos is None else parse_path(photos), columns=_columns(column or []),
        partition_rows=partition, batch_size=batch_size, readers=readers,
        list_unreachable=list_unreachable, gallery=_gallery(qdrant_url, overrides or []),
        first_row=first_row, **asked,
    )  # fmt: skip
    if engine == "local" and (address or actors or cores != 1):
        raise FlukeprintError("--address, --actors and --cores are of Ray; add --engine ray")
    where = (
        RayEngine(options.accelerator, RaySettings(address, _limits(actors), cores))
        if engine == "ray"
        else LocalEngine(options.accelerator)
    )
    try:
        result = run(parse_path(source), identifier, to, options, where, report=say, progress=True)
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it stopped")
        raise typer.Exit(130) from None
    print(result.text())


def _columns(given: list[str]) -> dict[str, str]:
    found = {}
    for each in given:
        field, sign, name = each.partition("=")
        if not sign or not field.strip() or not name:
            raise FlukeprintError(f"--column {each} is not FIELD=NAME, such as image=filename")
        found[field.strip()] = name
    return found


def _gallery(url: str | None, overrides: list[str]) -> "GalleryConfig | None":
    """The section `gallery` where it is of a server of Qdrant."""
    from flukeprint.config.load import load_config

    if url is not None:
        overrides = ["gallery.backend=qdrant", f"gallery.url={json.dumps(url)}", *overrides]
    other = [each for each in overrides if not each.startswith("gallery.")]
    if other:
        raise FlukeprintError(f"{other[0]}: embed-all heeds the section gallery alone")
    gallery = load_config(None, overrides).gallery
    if gallery.backend != "qdrant" and overrides:
        raise FlukeprintError(
            "embeddings are upserted into Qdrant alone; add gallery.backend=qdrant"
        )
    return gallery if gallery.backend == "qdrant" else None


def _limits(actors: str | None) -> tuple[int, int] | None:
    if actors is None:
        return None
    least, dots, most = actors.partition("..")
    try:
        limits = int(least), int(most if dots else least)
    except ValueError:
        limits = 0, 0
    if not 1 <= limits[0] <= limits[1]:
        raise FlukeprintError(f"--actors {actors} is not LEAST..MOST, such as 2..16")
    return limits


def _known(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise FlukeprintError(f"{option} {value} is none; {nearest(value, choices)}")
