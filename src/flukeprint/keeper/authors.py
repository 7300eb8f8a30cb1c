"""Who changes a catalogue, where nobody is named."""

import getpass


def system_user() -> str:
    """The name of the system's user; `unknown` where it has none, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
