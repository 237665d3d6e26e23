"""Tables for people."""

from rich.console import Console

_WIDE_COLUMNS = 180


def table_console() -> Console:
    """Return a console as wide as the terminal, or wide enough for any table where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE_COLUMNS)
