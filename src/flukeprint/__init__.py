"""flukeprint tells individual animals apart in photographs.

    from flukeprint import Identifier

Importing this package does nothing; `Identifier` is loaded when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flukeprint.identifier.identifier import Identifier as Identifier

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Identifier":
        from flukeprint.identifier.identifier import Identifier

        return Identifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
