"""Type of the fixture `says`, which runs a command in this process."""

from collections.abc import Callable

Says = Callable[..., tuple[str, str | None]]
