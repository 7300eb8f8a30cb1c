"""The file that says that an identifier keeps a catalogue, and where."""

from pathlib import Path

POINTER = "catalogue.json"


def has_catalogue(folder: Path) -> bool:
    """Whether the identifier in `folder` keeps a catalogue."""
    return (folder / POINTER).is_file()
