from pathlib import Path
from typing import Annotated

import typer


def demo(
    speed: Annotated[float, typer.Option(min=1, max=1000, help="Seconds of its clock per second.")] = 60,
    folder: Annotated[Path, typer.Option("--dir", help="Folder for its history and models.")] = Path("demo"),
    listen: Annotated[str, typer.Option(help="Address and port.")] = "127.0.0.1:9855",
) -> None:
    """Simulate a week of 20 servers, train at demo level, and serve: the whole way in one command.

    While it runs, POST /api/v1/scenarios lets something happen to its servers; see docs/scenarios.md.
    """
    from daemon.service.demo import run_demo

    run_demo(folder, speed, listen)
