"""Arrays that grow at the end: rows (m, ...) enter, all of them (n, ...) leave."""

from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", bound=np.generic)


class GrowingArray(Generic[Number]):
    """As a Python list of rows, but an array; adding costs what is added, on average."""

    def __init__(self, first: npt.NDArray[Number]) -> None:
        """`first` (n, ...) is never written to: there is no room behind it."""
        self._room = first
        self._count = len(first)

    def __len__(self) -> int:
        return self._count

    @property
    def all(self) -> npt.NDArray[Number]:
        """(n, ...) in the order added; not to be changed."""
        return self._room[: self._count]

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return self._room.nbytes

    def extend(self, more: npt.NDArray[Any]) -> None:
        """Add rows (m, ...) to the end."""
        need = self._count + len(more)
        if need > len(self._room):
            room = max(need, 2 * len(self._room))
            larger = np.empty((room, *self._room.shape[1:]), self._room.dtype)
            larger[: self._count] = self.all
            self._room = larger
        self._room[self._count : need] = more
        self._count = need

    def clear(self) -> None:
        """Forget all."""
        self._room, self._count = self._room[:0].copy(), 0
