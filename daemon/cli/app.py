"""``forewarn``: the commands, and how errors become exit codes."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typer.core import TyperGroup

from daemon import __version__
from daemon.core.errors import ConfigError, ForewarnError, NotEnoughHistory
from daemon.core.file_access import reason_of

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file; default $FOREWARN_CONFIG, ./config.yaml or /etc/forewarn/config.yaml.",
    ),
]
ModelsOption = Annotated[
    Path | None, typer.Option("--models", help="Folder of model directories; default from the config.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Id of a model; default is the one that serves.", metavar="ID")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

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


_WIDE_COLUMNS = 180


def table_console() -> Console:
    """Return a console as wide as the terminal, or wide enough for any table where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE_COLUMNS)


_FAILED, _WRONG_USE, _REFUSED, _SIGNALLED = 1, 2, 3, 128
_HELP = {"help_option_names": ["-h", "--help"]}
# the module in which each command stands
_COMMANDS = {
    "run": "run",
    "demo": "run",
    "init": "init",
    "check-config": "run",
    "simulate": "files",
    "train": "train",
    "pretrain": "train",
    "forecast": "forecast",
    "backtest": "backtest",
    "models": "models",
    "claims": "models",
    "readiness": "models",
    "export": "files",
    "import": "files",
}
# for the service, not for people
_HIDDEN = {"retrain": "train"}
_FUNCTIONS = {"import": "import_", "check-config": "check_config"}


class _LazyGroup(TyperGroup):
    """Imports a command's module when the command runs, and all of them only for help on the whole."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        module_name = (_COMMANDS | _HIDDEN).get(cmd_name)
        if module_name is None:
            return None
        module: Any = import_module(f"daemon.cli.{module_name}")
        if cmd_name == "models":
            group = typer.main.get_group(module.models)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=_HELP)
        single.command(cmd_name)(getattr(module, _FUNCTIONS.get(cmd_name, cmd_name)))
        return typer.main.get_command(single)


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_HELP,
    help="Forecasts every metric of every server eight hours ahead, and warns before things break.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"forewarn {__version__}")
        raise typer.Exit


@app.callback()
def forewarn(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


def main() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 wrong use or config, 3 refused by a gate, 130 by Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        app()
    except ConfigError as error:
        _fail(error.problems, _WRONG_USE)
    except NotEnoughHistory as error:
        _fail([str(error)], _REFUSED)
    except ForewarnError as error:
        _fail([str(error)], _FAILED)
    except OSError as error:
        # whatever file it was: without a name there is nothing that its user could put right
        if error.filename is None:
            raise
        _fail(
            [f"{error.filename}: {reason_of(error, 'check the path, what you may do there, and its space')}"], _FAILED
        )


def _fail(problems: list[str], code: int) -> None:
    for problem in problems:
        typer.echo(f"forewarn: {problem}", err=True)
    sys.exit(code)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """End with the status that a shell gives a signal, taking away what is half written.

    SystemExit, as Lightning makes a failure of KeyboardInterrupt; and in the middle of an import at once, as some
    packages catch everything there and go on.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(_SIGNALLED + number)
        frame = frame.f_back
    sys.exit(_SIGNALLED + number)
