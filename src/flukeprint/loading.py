"""Batches for a training: photographs and a sampler enter, batches leave, epoch after epoch.

Workers are started once and stay until `close`: starting them anew costs each epoch as much as
several steps.
"""

from collections.abc import Iterator, Sequence

from torch.utils.data import DataLoader

from flukeprint.images import Photo, PhotoDataset, single_thread
from flukeprint.sampling import BatchSampler


class Loader:
    """What Lightning iterates once an epoch; each time it goes through `order` as that is then.

    Nothing begins before the first batch is asked for: Lightning makes an iterator that it never
    reads, whose workers would vary photographs for nothing.
    """

    def __init__(
        self,
        photos: PhotoDataset,
        order: BatchSampler | Sequence[list[int]],
        *,
        workers: int,
        pinned: bool,
    ) -> None:
        """workers: processes, 0 for none; pinned: batches lie where a GPU fetches them quickly."""
        self.order = order
        self._photos = photos
        self._workers = workers
        self._pinned = pinned
        self._loader: DataLoader[Photo] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Photo]:
        if self._loader is None:
            self._loader = DataLoader(
                self._photos,
                batch_sampler=self.order,
                num_workers=self._workers,
                worker_init_fn=single_thread,
                persistent_workers=self._workers > 0,
                pin_memory=self._pinned,
            )
        yield from self._loader

    def close(self) -> None:
        """End the workers; the next iteration starts others."""
        self._loader = None
