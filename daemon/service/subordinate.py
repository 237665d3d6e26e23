"""A process that gives way: what a training makes of itself before it begins."""

import ctypes
import os
import signal
import sys
from pathlib import Path

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
