"""Progress of long work: a bar with the time left on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_SECONDS = 10.0


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that is told how much is done, 0 to 1; everything goes to standard error."""
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda done: progress.update(task, completed=done)


def _lines(label: str) -> Callable[[float], None]:
    started = said = time.monotonic()

    def report(done: float) -> None:
        nonlocal said
        now = time.monotonic()
        if done >= 1 or now - said < _LINE_EVERY_SECONDS:
            return
        said = now
        left = (now - started) * (1 - done) / max(done, 1e-6)
        print(f"{label}: {done:.0%}, about {left:.0f} s left", file=sys.stderr, flush=True)  # noqa: T201

    return report
