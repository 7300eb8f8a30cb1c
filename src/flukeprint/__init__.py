"""flukeprint tells individual animals apart in photographs.

    from flukeprint import Identifier, Keeper

Importing this package does nothing; each class is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flukeprint.identifier.identifier import Identifier as Identifier
    from flukeprint.keeper.keeper import Keeper as Keeper

__version__ = "0.1.0"

_WHERE = {"Identifier": "flukeprint.identifier.identifier", "Keeper": "flukeprint.keeper.keeper"}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
