"""A process that gives way: what a training makes of itself before it begins."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED_V1 = 1 << 60


@dataclass(frozen=True)
class Memory:
    """Memory of a control group, in bytes: what cannot be given back, and the limit at which it is killed."""

    used: int
    limit: int


def memory(root: Path) -> Memory | None:
    """Return the memory of this process's control group; None where there is no limit, or no control group.

    Args:
        root: ``/``; another folder in tests.
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


@dataclass(frozen=True)
class TorchMemory:
    """Memory of one GPU that torch holds in this process, in bytes.

    Attributes:
        allocated: taken by tensors.
        reserved: taken from the driver, tensors included.
        peak: the most that tensors took since the process began.
    """

    allocated: int
    reserved: int
    peak: int


def torch_memory() -> Mapping[str, TorchMemory]:
    """Return what torch holds, by the driver's UUID of the GPU; nothing unless this process uses CUDA already.

    It neither imports torch nor wakes CUDA, whose context alone takes hundreds of megabytes of a GPU.
    """
    try:
        cuda = sys.modules["torch"].cuda
        if not cuda.is_initialized():
            return {}
        return {
            _uuid(cuda.get_device_properties(device).uuid): TorchMemory(
                cuda.memory_allocated(device), cuda.memory_reserved(device), cuda.max_memory_allocated(device)
            )
            for device in range(cuda.device_count())
        }
    # it is not loaded, another thread is in the middle of loading it, or the GPU failed
    except (KeyError, AttributeError, RuntimeError):
        return {}


def _uuid(torch_uuid: object) -> str:
    text = str(torch_uuid)
    return text if text.startswith("GPU-") else f"GPU-{text}"


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Tell glibc not to give freed blocks back to the kernel, for the rest of this process.

    A training step allocates and frees the same large blocks again and again; without this each of them is mapped
    and cleared anew. Not for the long-lived service.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 1 << 28)):
            mallopt(option, value)


def return_freed_memory() -> None:
    """Give the pages that are free in glibc's heaps back to the kernel; a tick frees a few hundred megabytes."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


_LEAST_NICE = 19
_FIRST_TO_BE_KILLED = 1000
_PR_SET_PDEATHSIG = 1
_IOPRIO_SET, _IOPRIO_IDLE = {"x86_64": 251, "aarch64": 30}, 3 << 13


def give_way() -> None:
    """Take the lowest priority, be the first that the kernel ends when memory is short, and end with the parent."""
    os.nice(_LEAST_NICE)
    if not sys.platform.startswith("linux"):
        return
    Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_BE_KILLED))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        libc.syscall(number, 1, 0, _IOPRIO_IDLE)
