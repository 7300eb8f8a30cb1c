"""The tables of the queue, beside those of the catalogue in its database.

They are made with the first batch: catalogues of before need no other version, and programs of
before still open those that have them.
"""

import sqlalchemy as sa

from flukeprint.errors import FlukeprintError

QUEUE_VERSION = 1

queue_tables = sa.MetaData()

queue_state = sa.Table(
    "queue_state",
    queue_tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

upload_batches = sa.Table(
    "upload_batches",
    queue_tables,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),  # in the order of their making
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("pause", sa.Float, nullable=False),  # seconds, the longest within an encounter
    sa.Column("keep_photos", sa.Boolean, nullable=False),
    sa.Column("keep_dates", sa.Boolean, nullable=False),
    sa.Column("place", sa.Text),
)

# state: pending (no answer yet), waiting, failed or decided.  Times are UTC seconds since 1970.
upload_items = sa.Table(
    "upload_items",
    queue_tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("batch_id", sa.ForeignKey("upload_batches.id"), nullable=False),
    sa.Column("digest", sa.Text, nullable=False),  # SHA-256 of the file, as the sender says it
    sa.Column("kept_digest", sa.Text, nullable=False),  # as the catalogue's
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("taken", sa.Text),  # by the camera's clock
    sa.Column("camera", sa.Text, nullable=False),  # JSON
    sa.Column("numbered", sa.Text),  # JSON: what the camera's numbering puts it in order by
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("error", sa.Text),
    sa.Column("answer", sa.Text),  # JSON
    sa.Column("answer_event", sa.Integer),  # last event of the catalogue that gave it
    sa.Column("sure", sa.Float),  # how sure the answer is; unsure ones come first
    sa.Column("answering_until", sa.Float),
    sa.Column("taken_by", sa.Text),
    sa.Column("taken_until", sa.Float),
    sa.Column("decision", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", sa.Float),
    sa.Column("identity", sa.Text),
    sa.Column("event_id", sa.Integer),
    sa.UniqueConstraint("batch_id", "digest", name="one_item_a_file"),
)


def has_queue(connection: sa.Connection) -> bool:
    """Whether a catalogue's database has the tables of a queue.

    Raises:
        FlukeprintError: another version of flukeprint made them.
    """
    schema = connection.schema_for_object(queue_state)
    if not connection.dialect.has_table(connection, queue_state.name, schema=schema):
        return False
    version = connection.scalar(sa.select(queue_state.c.version))
    if version != QUEUE_VERSION:
        raise FlukeprintError(
            f"the queue is of version {version} and this program reads {QUEUE_VERSION}; use the "
            "version of flukeprint that wrote it"
        )
    return True


def make_tables(connection: sa.Connection) -> None:
    """Make the tables where they are missing; in a writing transaction."""
    if not has_queue(connection):
        queue_tables.create_all(connection)
        connection.execute(queue_state.insert().values(id=1, version=QUEUE_VERSION))
