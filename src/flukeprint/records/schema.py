"""The tables of a catalogue's database, for SQLite and PostgreSQL alike."""

import sqlalchemy as sa

VERSION = 1  # of the tables, kept in `catalogue.version`; `Database.open` refuses others

tables = sa.MetaData()

# One row: what was committed last.  `store` counts what is valid in the gallery's files.
catalogue = sa.Table(
    "catalogue",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("born", sa.Text, nullable=False),  # told apart from others by it
    sa.Column("stamp", sa.Text, nullable=False),  # of the network that made the embeddings
    sa.Column("store", sa.Text, nullable=False),  # JSON
    sa.Column("first_photos", sa.Integer, nullable=False),  # that were there when it was made
    sa.Column("last_event", sa.Integer, nullable=False),
    sa.Column("fit", sa.Integer),  # the fit in use; NULL: that of the training
)

# label: the number of its name in the gallery's files; its name there is never changed.
individuals = sa.Table(
    "individuals",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.Integer, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("spelling", sa.Text, nullable=False),  # of the name, without case and accents
    sa.Column("sex", sa.Text),
    sa.Column("life_stage", sa.Text),
    sa.Column("died", sa.Text),
    sa.Column("notes", sa.Text),
    sa.Column("renamed", sa.Boolean, nullable=False, default=False),  # since it got its label
    sa.Column("removed", sa.Boolean, nullable=False, default=False),
)

aliases = sa.Table(
    "aliases",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("individual_id", sa.ForeignKey("individuals.id"), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("spelling", sa.Text, nullable=False, index=True),
    sa.Column("removed", sa.Boolean, nullable=False, default=False),
)

encounters = sa.Table(
    "encounters",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("moment", sa.Text, index=True),  # as precise as it is known: see `Moment`
    sa.Column("precision", sa.Text),
    sa.Column("utc_offset", sa.Text),
    sa.Column("latitude", sa.Float),
    sa.Column("longitude", sa.Float),
    sa.Column("uncertainty", sa.Float),
    sa.Column("place", sa.Text),
    sa.Column("observer", sa.Text),
    sa.Column("occasion", sa.Text),
    sa.Column("notes", sa.Text),
    sa.Column("removed", sa.Boolean, nullable=False, default=False),
)

# changed: whether its individual is no longer the one in the gallery's files.
photographs = sa.Table(
    "photographs",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("image", sa.Text, nullable=False, unique=True),
    sa.Column("row", sa.Integer, nullable=False, unique=True),
    sa.Column("individual_id", sa.ForeignKey("individuals.id"), index=True),
    sa.Column("encounter_id", sa.ForeignKey("encounters.id"), index=True),
    sa.Column("view", sa.Text),
    sa.Column("file", sa.Text),
    sa.Column("digest", sa.Text, index=True),
    sa.Column("box", sa.Text),  # JSON
    sa.Column("quality", sa.Float),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("decider", sa.Text),
    sa.Column("probability", sa.Float),
    sa.Column("changed", sa.Boolean, nullable=False, default=False),
    sa.Column("removed", sa.Boolean, nullable=False, default=False),
)

# What the gallery keeps of photographs that were added after the catalogue was made.
parts = sa.Table(
    "parts",
    tables,
    sa.Column("photograph_id", sa.ForeignKey("photographs.id"), primary_key=True),
    sa.Column("row", sa.Integer, nullable=False, unique=True),
    sa.Column("thumbnail", sa.LargeBinary),
    sa.Column("hash", sa.Text),  # perceptual, 16 hex digits
    sa.Column("keypoints", sa.LargeBinary),
    sa.Column("x", sa.Float),
    sa.Column("y", sa.Float),
)

# Thresholds and calibrations fitted after the training.
fits = sa.Table(
    "fits",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("content", sa.Text, nullable=False),  # JSON
)

events = sa.Table(
    "events",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("undoes", sa.ForeignKey("events.id")),
    sa.Column("undone_by", sa.ForeignKey("events.id")),
    sa.Column("undoable", sa.Boolean, nullable=False, default=True),
)

# What an event changed, row by row, as JSON; `before` is NULL for a row that it made.
changes = sa.Table(
    "changes",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event_id", sa.ForeignKey("events.id"), nullable=False, index=True),
    sa.Column("of_table", sa.Text, nullable=False),
    sa.Column("of_row", sa.Integer, nullable=False),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text, nullable=False),
    sa.Index("changes_of_a_row", "of_table", "of_row", "event_id"),
)

# Two animals of one name would be one in every answer.  Removed ones keep theirs.
sa.Index(
    "one_animal_a_name", individuals.c.name, unique=True,
    sqlite_where=~individuals.c.removed, postgresql_where=~individuals.c.removed,
)  # fmt: skip
sa.Index("spelling_of_a_name", individuals.c.spelling)
sa.Index(
    "changed_photographs", photographs.c.row,
    sqlite_where=photographs.c.changed, postgresql_where=photographs.c.changed,
)  # fmt: skip
sa.Index(
    "renamed_individuals", individuals.c.label,
    sqlite_where=individuals.c.renamed, postgresql_where=individuals.c.renamed,
)  # fmt: skip
