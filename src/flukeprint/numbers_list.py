"""Whole numbers that grow in number: arrays (m,) int64 enter at the end, all of them leave."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class NumberList:
    """As a Python list of numbers, but an array; adding costs what is added, on average."""

    def __init__(self, numbers: npt.ArrayLike = ()) -> None:
        self._room = np.array(numbers, dtype=np.int64)
        self._count = len(self._room)

    def __len__(self) -> int:
        return self._count

    @property
    def numbers(self) -> Ints:
        """(n,) all of them; not to be changed."""
        return self._room[: self._count]

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return self._room.nbytes

    def extend(self, more: npt.ArrayLike) -> None:
        """Add to the end."""
        fresh = np.asarray(more, dtype=np.int64)
        need = self._count + len(fresh)
        if need > len(self._room):
            room = np.empty(max(need, 2 * len(self._room)), dtype=np.int64)
            room[: self._count] = self.numbers
            self._room = room
        self._room[self._count : need] = fresh
        self._count = need
