"""The command line of ``forewarn``: its commands, exit codes, shared options, progress bar and tables."""

import ast
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typer.core import TyperCommand, TyperGroup

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
    Path | None, typer.Option("--models", help="Directory of the models; the default is from the configuration.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Id of a model; the default is the serving model.", metavar="ID")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document only.")]

EVERYTHING_HOURS = 24 * 9600
"""Hours of a history without a limit."""

_LINE_INTERVAL_SECONDS = 10.0
_TABLE_WIDTH = 180
REFUSED = 3
"""Exit code of a command that a gate refuses."""

_FAILED, _WRONG_USE, _SIGNALLED = 1, 2, 128
_HELP = {"help_option_names": ["-h", "--help"]}
# the module of each command
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
# for the service, not for users
_HIDDEN = {"retrain": "train"}
_FUNCTIONS = {"import": "import_", "check-config": "check_config", "models": "group"}


class _LazyGroup(TyperGroup):
    """Imports the module of a command when it runs; the overall help reads the docstrings from the source instead."""

    _lists = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._lists = True
        super().format_help(ctx, formatter)
        self._lists = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        module_name = (_COMMANDS | _HIDDEN).get(cmd_name)
        if module_name is None:
            return None
        if self._lists:
            return TyperCommand(cmd_name, help=_docstring(module_name, _FUNCTIONS.get(cmd_name, cmd_name)))
        module: Any = import_module(f"daemon.cli.{module_name}")
        if cmd_name == "models":
            group = typer.main.get_group(module.models)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=_HELP)
        single.command(cmd_name)(getattr(module, _FUNCTIONS.get(cmd_name, cmd_name)))
        return typer.main.get_command(single)


def _docstring(module_name: str, function: str) -> str | None:
    tree = ast.parse((files("daemon.cli") / f"{module_name}.py").read_text(encoding="utf-8"))
    return next(
        ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function
    )


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
    """Take the options before the command."""


def main() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 wrong use or config, 3 rejected by a gate, 130 by Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        app()
    except ConfigError as error:
        _fail(error.problems, _WRONG_USE)
    except NotEnoughHistory as error:
        _fail([str(error)], REFUSED)
    except ForewarnError as error:
        _fail([str(error)], _FAILED)
    except OSError as error:
        # without the name of a file it is a bug, not an error that a user can correct
        if error.filename is None:
            raise
        _fail([f"{error.filename}: {reason_of(error, 'check the path, its permissions and the free space')}"], _FAILED)


def _fail(problems: list[str], code: int) -> None:
    for problem in problems:
        typer.echo(f"forewarn: {problem}", err=True)
    sys.exit(code)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Exit with the status that a shell gives a signal, and remove temporary files.

    It raises SystemExit, because Lightning turns KeyboardInterrupt into an error. During an import it exits at once,
    because some packages catch every exception there and continue.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(_SIGNALLED + number)
        frame = frame.f_back
    sys.exit(_SIGNALLED + number)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows the progress that it is called with, 0 to 1, on standard error."""
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda done: progress.update(task, completed=done)


def _lines(label: str) -> Callable[[float], None]:
    started = printed = time.monotonic()

    def report(done: float) -> None:
        nonlocal printed
        now = time.monotonic()
        if done >= 1 or now - printed < _LINE_INTERVAL_SECONDS:
            return
        printed = now
        left = (now - started) * (1 - done) / max(done, 1e-6)
        print(f"{label}: {done:.0%}, about {left:.0f} s left", file=sys.stderr, flush=True)  # noqa: T201

    return report


def table_console() -> Console:
    """Return a console as wide as the terminal; without a terminal it is wide enough for every table."""
    console = Console()
    return console if console.is_terminal else Console(width=_TABLE_WIDTH)
