"""Which animals of the catalogue that is served look alike, kept up with its changes."""

import logging
import threading

from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.alike import AlikeAnimals
from flukeprint.keeper.doctor.evidence import Evidence
from flukeprint.records.lookup import list_photographs
from flukeprint.serving.service import Service

GROWN = 1.1  # times as many photographs, from which what was learned is learned anew
LOG = logging.getLogger("flukeprint.serving")


class AlikeNow:
    """What animals look like, gathered anew when the gallery has changed.

    What likeness says is learned in the background, since that takes long; until then there are no
    probabilities.  It is learned again when the catalogue has grown by a tenth.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._of: Identifier | None = None
        self._found: AlikeAnimals | None = None
        self._likeness: Evidence | None = None
        self._photos = 0  # that the likeness was learned of
        self._learner: threading.Thread | None = None

    @property
    def learning(self) -> bool:
        """Whether probabilities will come soon, and are not there yet."""
        learner = self._learner
        return self._likeness is None and learner is not None and learner.is_alive()

    def of(self, identifier: Identifier) -> AlikeAnimals:
        """What the animals of an identifier look like."""
        with self._lock:  # two would take twice as long
            if self._found is None or self._of is not identifier:
                with self._service.database().reading() as connection:
                    photographs = list_photographs(connection)
                self._found = AlikeAnimals(identifier.gallery, photographs, self._likeness)
                self._of = identifier
            photos = len(identifier.gallery)
            if photos > GROWN * self._photos and (
                self._learner is None or not self._learner.is_alive()
            ):
                self._photos = photos
                self._learner = threading.Thread(
                    target=self._learn, args=(self._found,), daemon=True, name="likeness"
                )
                self._learner.start()
            return self._found

    def _learn(self, animals: AlikeAnimals) -> None:
        try:
            self._likeness = animals.learned()
        except FlukeprintError as error:
            LOG.error("what animals look like cannot be learned: %s", error)
            return
        with self._lock:
            if self._found is not None:
                self._found.likeness = self._likeness
