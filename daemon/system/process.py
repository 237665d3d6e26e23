"""Facts about this process and its limits, and the priority and memory settings of a training process."""

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_UNLIMITED_V1 = 1 << 60

_LOWEST_PRIORITY = 19
_FIRST_TO_BE_KILLED = 1000
_PR_SET_PDEATHSIG = 1

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


@dataclass(frozen=True)
class Memory:
    """Memory of a control group, in bytes: anonymous memory in use, and the limit at which the kernel kills it."""

    used: int
    limit: int


def memory(root: Path) -> Memory | None:
    """Return the memory of the control group of this process; None without a limit or a control group.

    Args:
        root: ``/``; another directory in tests.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        paths = {controllers: path.lstrip("/") for _, controllers, path in (line.split(":", 2) for line in lines)}
        if "memory" in paths:
            return _version_1(root / "sys/fs/cgroup/memory" / paths["memory"])
        return _version_2(root / "sys/fs/cgroup" / paths[""])
    except (OSError, KeyError, ValueError):
        return None


def _version_2(group: Path) -> Memory | None:
    limit = (group / "memory.max").read_text().strip()
    return None if limit == "max" else Memory(_counted(group, "anon"), int(limit))


def _version_1(group: Path) -> Memory | None:
    limit = int((group / "memory.limit_in_bytes").read_text())
    return None if limit >= _UNLIMITED_V1 else Memory(_counted(group, "total_rss"), limit)


def _counted(group: Path, name: str) -> int:
    counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(counts[name])


def keep_freed_memory() -> None:
    """Configure glibc to keep freed memory for the rest of this process.

    Each training step allocates and frees the same large blocks; by default the kernel maps and clears them every
    time. Not for the service, which runs for months.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 1 << 28)):
            mallopt(option, value)


def return_freed_memory() -> None:
    """Return the free pages of glibc's heaps to the kernel; a tick frees a few hundred megabytes."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def give_way() -> None:
    """Use the lowest CPU and I/O priority, be the first to be killed when memory is short, and end with the parent."""
    os.nice(_LOWEST_PRIORITY)
    if not sys.platform.startswith("linux"):
        return
    psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_BE_KILLED))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
