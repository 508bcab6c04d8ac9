"""Large blocks go back to the system when they are freed."""

import contextlib
import ctypes

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX = -3, -1, -8     # <malloc.h>
LARGE = 256 * 1024                               # bytes


def give_back() -> None:
    """Of glibc only (mallopt(3)): with the first large block that is freed it raises the bound above which blocks are
    mapped on their own, and from then on the parts of an upload stay in the process for good. Set by hand, it stays."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            libc.mallopt(parameter, LARGE)
        libc.mallopt(M_ARENA_MAX, 1)
