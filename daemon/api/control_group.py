"""How much memory the control group that the service runs in may use, and does."""

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
