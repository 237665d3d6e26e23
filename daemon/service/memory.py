"""How the long-lived process gives memory back."""

import ctypes
import sys


def return_freed_memory() -> None:
    """Give the pages that are free in glibc's heaps back to the kernel; a tick frees a few hundred megabytes."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
