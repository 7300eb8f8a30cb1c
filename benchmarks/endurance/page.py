"""Write docs/reliability.md from the results of a whole run."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.endurance.journal import Result, fault_lines, summary
from benchmarks.harness.places import RESULTS, ROOT
from benchmarks.harness.processes import machine_text
from flukeprint.errors import counted

PAGE = ROOT / "docs" / "reliability.md"
INTEGRITY, CATALOGUE = RESULTS / "integrity.json", RESULTS / "catalogue_endurance.json"
SECTION, END = "## Catalogues\n", "\n`--only kills"
TEXT = """# Reliability

What happens when a process is killed, an input is damaged, a disk is full or two people write
at once. The figures were measured by

```bash
python -m benchmarks.endurance            # an hour; the same command goes on where it was cut
python -m benchmarks.endurance --quick    # 25 kills and 500 inputs
```

which writes this page after a whole run. Seed {seed}; machine: {machine}.

## What holds

- **A kill loses nothing that was confirmed.** Every file and folder is written beside its
  target and then takes its place at once; a draft is locked while it is written, and one that
  nobody locks is removed by the next command. An enrolment that was printed or answered with
  201 is there.
- **A training that was killed goes on** with `train.py --config ... --resume last` from the
  last whole epoch, to the network and figures of an unbroken run. Killed before the first epoch
  ended, it is begun anew.
- **One writer at a time** on an identifier: another one waits for it, and both keep what they
  enrolled.
- **A full disk** is named in one line, with what was kept and how to go on.
- **Damaged or hostile input** is refused in one line that names it, by the API with a status of
  its own. The files of an identifier are checked against their digests when it is loaded.

What was not tried: a power cut (which `SIGKILL` is not) also loses what the disk had not
written; files are flushed before they take their place, so the state before is there. Locks are
those of the file system: on one without `flock`, writers have to take turns.

## Figures

{figures}

{faults}

- *kills*: `SIGKILL` to the whole process group, at moments spread over the command and aimed at
  the files it writes; the column of outcomes tells where it fell ("ended before": the command
  was faster, not counted). Then the next command is run, without cleaning up, and its result is
  compared with that of commands that nobody killed: the same network, figures, submission,
  gallery, and no draft left. {true} of the killed commands were started as a user does, the
  others were forked from a process that had imported the package.
- *inputs*: drawn photographs of all formats, tables of all kinds, configurations, files of
  identifiers and runs, and HTTP requests, mutated at random. Right is an answer or a refusal in
  one line; a traceback, a crash, no answer within {timeout:g} s, a status of 500, or another
  answer from a damaged identifier is a fault.
- *memory*: resident memory of a process after the same inputs again and again.
- *enrolling*: processes that enroll into one identifier at once, and the photographs that it
  holds afterwards.

{digests}{catalogue}
`--only kills/training/7` repeats a trial with its seed; moments of a kill vary a little from
time to time.
"""


def _digests_text() -> str:
    """What `benchmarks/speed/integrity.py` measured; empty before it was run."""
    if not INTEGRITY.is_file():
        return ""
    found = json.loads(INTEGRITY.read_text())
    seconds = found["seconds"]
    rows = "\n".join(f"| {what} | {value:.2f} |" for what, value in seconds.items())
    return f"""## Digests

`digests.json` in an identifier holds a digest (XXH3, 128 bits) of every 16 MiB of each file, and
`identifier.json` one of that file and one of itself. They are compared whenever an identifier is
opened; a file that differs is named. They find damage, not forgery: whoever changes a file can
change its digest. Identifiers of earlier versions have none; their vectors are checked to be of
length 1, and the next command that writes them adds digests. An enrolment reads only what is new.
With {found["photos"]:,} photographs of {found["dimension"]} numbers, {found["bytes"] / 1e9:.1f} GB,
medians of {found["rounds"]} rounds (`python -m benchmarks.speed.integrity`):

| | seconds |
|---|---|
{rows}

"""


def _catalogue_text() -> str:
    """What `benchmarks/endurance/catalogue.py` measured; empty before it was run."""
    if not CATALOGUE.is_file():
        return ""
    found = json.loads(CATALOGUE.read_text())
    what = {
        "sqlite": "writer killed, SQLite",
        "postgresql": "writer killed, PostgreSQL",
        "server": "PostgreSQL's server killed",
    }
    kills = "\n".join(
        f"| {what[one['kind']]} | {one['kills']:,} | {one['confirmed']:,} | "
        f"{one['photographs']:,} | {len(one['faults'])} |"
        for one in found["kills"]
    )
    crowds = "\n".join(
        f"| {'SQLite' if one['kind'] == 'sqlite' else 'PostgreSQL'} | {one['events']:,} | "
        f"{one['refused']:,} | {one['gave_up_waiting']:,} | {one['looks']:,} | "
        f"{len(one['faults'])} |"
        for one in found["crowds"]
    )
    return f"""{SECTION}
A catalogue's writers are killed with `SIGKILL` at a random moment while they enroll photographs,
import tables, rename, merge, split, move, remove and take back, one command after the other; all
kills of a row hit one catalogue, which goes on as it was left. The server is killed under a writer
and started again. After each kill: every event that was printed is there, once, and whole; no
event more than the one that was being confirmed; the identifier opens and agrees with the records,
photograph by photograph, embeddings included (`python -m benchmarks.endurance.catalogue`).

| | kills | events confirmed | photographs at the end | faults |
|---|---|---|---|---|
{kills}

Eight processes that write at once for {found["crowds"][0]["seconds"]:g} seconds, and two that read:
no event is lost, and no reader sees half of one. A command is refused where another one has changed
what it was to change; none waited in vain where the third column is 0.

| | events | refused | waited in vain | looks of readers | faults |
|---|---|---|---|---|---|
{crowds}

"""


def put_catalogue_section(page: Path = PAGE) -> None:
    """Write the section on catalogues anew, into the page as it is."""
    text = page.read_text()
    head, end, tail = text.partition(END)
    page.write_text(
        head.partition(SECTION)[0].rstrip("\n") + "\n\n" + _catalogue_text() + end[1:] + tail
    )


def write_page(results: Sequence[Result], timeout: float, page: Path = PAGE) -> None:
    """Write the page from the results of one seed."""
    faults = fault_lines(results, brief=True)
    told = "No trial showed a fault."
    if faults:
        wrong = sum(bool(result.faults) for result in results)
        told = "\n".join(
            [f"{counted(wrong, 'trial')} showed a fault:", "", *map("- {}".format, faults)]
        )
    counted_parts = [
        f"{part}: {sum(one.part == part and one.outcome != 'ended before' for one in results):,}"
        for part in dict.fromkeys(one.part for one in results)
    ]
    text = TEXT.format(
        digests=_digests_text(),
        catalogue=_catalogue_text(),
        seed=", ".join(sorted({str(result.seed) for result in results})),
        machine=machine_text(),
        figures=f"Trials that count: {', '.join(counted_parts)}.\n\n{summary(results)}",
        faults=told,
        true=sum(bool(result.facts.get("new_python")) for result in results),
        timeout=timeout,
    )
    page.write_text("\n".join(itertools.chain(text.rstrip().split("\n"), [""])))
