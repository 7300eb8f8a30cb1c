"""Photographs that are to come into a catalogue, and what is wrong with them, all at once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.data.decoding import Pixels, decode_array
from flukeprint.identifier.photo_input import Photograph, decoded
from flukeprint.records.kinds import DecidedBy, Encounter


@dataclass(frozen=True)
class NewPhotograph:
    """A photograph that is to be enrolled.

    told: what messages call it.  name: in the gallery; made unique there.
    identity: whom it shows; None where nobody was named.
    box: x0, y0, x1, y1 in pixels of the upright photograph; None for all of it.
    encounter: when and where; photographs with equal ones become one encounter.  Those whose
        numbers are negative and differ are different ones, of whatever time and place.
    """

    photo: Photograph
    told: str
    name: str
    identity: str | None
    encounter: Encounter | None = None
    view: str | None = None
    box: tuple[float, float, float, float] | None = None
    decided_by: DecidedBy = "person"
    decider: str | None = None
    probability: float | None = None

    @staticmethod
    def of_file(path: Path | str, identity: str | None) -> "NewPhotograph":
        """A photograph in a file, of which nothing else is known."""
        return NewPhotograph(Path(path), str(path), Path(path).name, identity)

    def data(self) -> bytes | None:
        """The bytes of its file; None for pixels."""
        if isinstance(self.photo, np.ndarray):
            return None
        return self.photo if isinstance(self.photo, bytes) else Path(self.photo).read_bytes()

    def pixels(self) -> Pixels:
        """The upright pixels in its box (h, w, 3); FlukeprintError where it cannot be read."""
        whole = decoded(self.photo, self.told)
        return whole if self.box is None else decode_array(whole, self.told, box=self.box)
