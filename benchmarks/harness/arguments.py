"""The command-line options that benchmark scripts share."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.places import ROOT

FLAGS = {
    "quick": "less of everything; the result is kept apart as NAME-quick.json",
    "render": "measure nothing, write the report from the results that are there",
}


def options(module: str, about: str | None, flags: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Parser of the benchmark `module`, such as `speed.search`, described by its docstring.

    Args:
        about: the script's docstring, of which the first paragraph is shown.
        flags: which of FLAGS it takes.
    """
    first = " ".join((about or "").partition("\n\n")[0].split())
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=first)
    for name in flags:
        parser.add_argument(f"--{name}", action="store_true", help=FLAGS[name])
    return parser


def add_checkout(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark measure another checkout too, and keep a row for each."""
    parser.add_argument("--source", type=Path, default=ROOT, help="a checkout, by default this one")
    parser.add_argument("--note", default="now", help="name of the row (default now)")
