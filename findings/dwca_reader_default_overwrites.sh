#!/usr/bin/env bash
# Python-dwca-reader gives another sex by pd_read than row by row, and reads only the first of
# several files.
#
# Packages: python-dwca-reader==0.17.1, pandas==3.1.1
# Guess: a default in meta.xml fills empty cells, by either way of reading; all files of a core
# are read.
# Behaviour: pd_read writes the default over the whole column; only the first <location> is
# opened.
# Whom it hurts: a male becomes female where the archive has a default, and most of a split
# archive is missing, without an error.
# Seen: row by row ['female', 'male'], pd_read ['female', 'female']; rows of two files 1 of 3.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'python-dwca-reader==0.17.1' 'pandas==3.1.1'
venv/bin/python - <<'PYTHON'
import pathlib
from dwca.read import DwCAReader
META = """<?xml version="1.0" encoding="UTF-8"?>
<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml"><core encoding="UTF-8"
 linesTerminatedBy="\\n" fieldsTerminatedBy="," fieldsEnclosedBy='"' ignoreHeaderLines="1"
 rowType="http://rs.tdwg.org/dwc/terms/Occurrence"><files>{files}</files><id index="0"/>
 <field index="1" term="http://rs.tdwg.org/dwc/terms/sex" default="female"/></core></archive>"""
def archive(name, **tables):
    folder = pathlib.Path(name)
    folder.mkdir()
    files = "".join(f"<location>{table}.csv</location>" for table in tables)
    (folder / "meta.xml").write_text(META.format(files=files))
    (folder / "eml.xml").write_text("<eml/>")
    for table, text in tables.items():
        (folder / f"{table}.csv").write_text(text)
    return name
SEX = "http://rs.tdwg.org/dwc/terms/sex"
with DwCAReader(archive("one", occurrence="id,sex\n1,\n2,male\n")) as reader:
    rows = [row.data[SEX] for row in reader.rows]
    frame = [str(cell) for cell in reader.pd_read("occurrence.csv")["sex"]]
with DwCAReader(archive("two", a="id,sex\n1,male\n", b="id,sex\n2,male\n3,male\n")) as reader:
    count = len(reader.rows)
print(f"row by row {rows}, pd_read {frame}; rows of two files {count} of 3")
assert (rows, frame, count) == (["female", "male"], ["female", "female"], 1)
PYTHON
