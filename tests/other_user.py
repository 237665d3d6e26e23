"""Acting as a user who is not root, in a folder that such a user can reach."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user; CI runs as root")


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Yield a folder of nobody's; pytest's own ones are closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix="forewarn-"))
    try:
        os.chown(folder, NOBODY, NOBODY)
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run the block with the rights of nobody."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def hand_over(folder: Path) -> None:
    """Make ``folder`` and all in it nobody's."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
