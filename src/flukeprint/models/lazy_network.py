"""A network that is built when something first needs it, which takes torch and some seconds.

Most of what is done with a saved identifier needs no network but an engine that runs it.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet


class LazyNetwork:
    """Builds a network once, whichever thread asks first.

    `build` may raise FlukeprintError, then and each time it is asked.
    """

    def __init__(self, build: "Callable[[], FlukeNet]") -> None:
        self._build = build
        self._lock = threading.Lock()
        self._net: FlukeNet | None = None

    @property
    def built(self) -> "FlukeNet | None":
        """The network, if it has been built."""
        return self._net

    def get(self) -> "FlukeNet":
        """The network."""
        with self._lock:
            if self._net is None:
                self._net = self._build()
            return self._net


def built(network: "FlukeNet | LazyNetwork") -> "FlukeNet":
    """The network itself."""
    return network.get() if isinstance(network, LazyNetwork) else network
