"""Tunes memory allocation for training on CPU, and detects bfloat16 support of the processor."""

import ctypes
import gc
import hashlib
import platform
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

# Names of malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8


def keep_memory() -> bool:
    """Make glibc keep freed memory for the next training step; True where that worked.

    By default glibc returns every large block to the kernel as soon as it is free, and the next
    step maps it again, page by page, which costs a training on CPU much time in the kernel.

    Call it before the first thread starts, because the arena of a running thread stays.  On
    anything but Linux with glibc it does nothing.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    settings = (
        (_MMAP_THRESHOLD, 1 << 30),
        (_TRIM_THRESHOLD, -1),  # none is returned by itself, of however much
        (_TOP_PAD, 64 << 20),
        # A second arena, of another thread, would keep no block above 64 MiB.
        (_ARENA_MAX, 1),
    )
    return all(mallopt(name, value) == 1 for name, value in settings)


def return_memory() -> bool:
    """Return what `keep_memory` has kept to the kernel; True where some was.

    For the end of a training, and before workers are forked: pages that a worker inherits stay as
    they were then, and are in memory twice as soon as this process writes to its own.
    """
    gc.collect()
    trim = _of_glibc("malloc_trim")
    return trim is not None and trim(0) == 1


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None where there is none: elsewhere, and in musl."""
    if sys.platform != "linux":
        return None
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return found


def has_bf16() -> bool:
    """Whether the processor has instructions that multiply bfloat16 numbers."""
    known = _facts().get("flags", "") or _facts().get("Features", "")  # of x86, and of ARM
    if known:
        return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(known.split())
    import torch

    told = torch.cpu.get_capabilities()
    return bool(told.get("avx512_bf16") or told.get("amx_bf16") or told.get("bf16"))


def processor() -> str:
    """The processor's name, and a digest of what it can do."""
    facts = _facts()
    able = " ".join(sorted((facts.get("flags") or facts.get("Features", "")).split()))
    name = facts.get("model name") or platform.processor() or platform.machine()
    return f"{name} {hashlib.sha256(able.encode()).hexdigest()[:8]}"


@cache
def _facts() -> Mapping[str, str]:
    """What Linux tells of the first processor; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {key.strip(): told.strip() for key, _, told in lines}
