"""Tunes memory allocation for training on CPU, and detects bfloat16 support of the processor."""

import ctypes
import sys

# Names of malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8


def keep_memory() -> bool:
    """Make glibc keep freed memory for the next training step; True where that worked.

    By default glibc returns every large block to the kernel as soon as it is free, and the next
    step maps it again, page by page, which costs a training on CPU much time in the kernel.

    Call it before the first thread starts, because the arena of a running thread stays.  On
    anything but Linux with glibc it does nothing.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    settings = (
        (_MMAP_THRESHOLD, 1 << 30),
        (_TRIM_THRESHOLD, (1 << 31) - 1),
        (_TOP_PAD, 64 << 20),
        # A second arena, of another thread, would keep no block above 64 MiB.
        (_ARENA_MAX, 1),
    )
    return all(mallopt(name, value) == 1 for name, value in settings)


def has_bf16() -> bool:
    """Whether the processor has instructions that multiply bfloat16 numbers."""
    import torch

    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16"))
