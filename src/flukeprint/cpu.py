"""What the processor and the allocator are asked: bfloat16, and memory kept between steps.

glibc hands every large block back to the kernel as soon as it is free, and the next step
fetches it again, page by page, which a training on CPU pays for with time in the kernel.
"""

import ctypes
import sys

# Names of malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8


def keep_memory() -> bool:
    """Let freed activations stay in the process; True where the allocator could be told so.

    Call it before the first thread starts, whose arena it could not take back.
    Only what is free is kept.  Elsewhere than on Linux with glibc nothing changes.
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
        # A further thread would have an arena of its own, which keeps no block above 64 MiB.
        (_ARENA_MAX, 1),
    )
    return all(mallopt(name, value) == 1 for name, value in settings)


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 numbers itself."""
    import torch

    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16"))
