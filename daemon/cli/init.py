"""`forewarn init`: a configuration that fits a live Prometheus."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.domain.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.sources.discovery import Discovery


def init(
    prometheus: Annotated[str, typer.Option(metavar="URL", help="Base URL, as in http://prometheus:9090.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("config.yaml"),
    data_dir: Annotated[str, typer.Option(help="Folder for the history and the models.")] = "data",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    bearer_token_file: Annotated[Path | None, typer.Option(help="File with a bearer token.")] = None,
    username: Annotated[str | None, typer.Option(help="User for basic authentication.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with that user's password.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificates to trust instead of the system's.")] = None,
) -> None:
    """Look at a live Prometheus and write a configuration that fits it."""
    from rich.console import Console

    from daemon.cli.discovered_config import config_text, packaged_metrics
    from daemon.config.loading import parse_config
    from daemon.files.atomic import atomic_path
    from daemon.sources.discovery import discover
    from daemon.sources.exporters import known_exporters

    if out.exists() and not force:
        raise ConfigError([f"{out}: is there already; give another name with --out, or --force to replace it"])
    source = _source(prometheus, bearer_token_file, username, password_file, ca_file)
    discovery = discover(_draft(source), known_exporters(), packaged_metrics())
    text = config_text(discovery, source, out, data_dir)
    parse_config(text, str(out), out.absolute().parent)
    try:
        with atomic_path(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{out}: cannot be written: {error.strerror}; name another file with --out"]) from error
    console = Console(highlight=False, markup=False, soft_wrap=True)
    _report(console, discovery)
    console.print(f"\nWrote {out}. Next:\n\n    forewarn check-config {out}\n    forewarn run --config {out}")


def _source(
    url: str, token: Path | None, username: str | None, password: Path | None, ca: Path | None
) -> dict[str, Any]:
    if (username is None) != (password is None):
        raise ConfigError(["--username and --password-file belong together; give both or neither"])
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ConfigError(["--prometheus: the URL has a password in it; give --username and --password-file instead"])
    source: dict[str, Any] = {"name": "prometheus", "type": "prometheus", "url": url.rstrip("/")}
    # The file will be read from its own folder, the options are seen from here.
    if token is not None:
        source["bearer_token_file"] = str(token.absolute())
    if username is not None and password is not None:
        source["basic_auth"] = {"username": username, "password_file": str(password.absolute())}
    if ca is not None:
        source["tls"] = {"ca_file": str(ca.absolute())}
    return source


def _draft(source: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from daemon.config.sources import PrometheusConfig

    try:
        return PrometheusConfig.model_validate(source | {"queries": {"up": "up"}})
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ConfigError([f"--prometheus {source['url']}: {problem}" for problem in problems]) from error


def _report(console: "Console", discovery: "Discovery") -> None:
    rows = [(found.metric, ", ".join(found.exporters), f"servers: {found.servers}") for found in discovery.metrics]
    for found in discovery.exporters:
        console.print(f"Found {found.name}, instances: {len(found.instances)}")
    console.print(f"Servers: {len(discovery.servers)} ({_some(discovery.servers)})")
    _table(console, "Kept", ("metric", "from", "servers"), rows)
    _table(console, "Left out", ("metric", "why"), [(one.metric, one.reason) for one in discovery.left_out])
    if discovery.collision:
        instances = " and ".join(discovery.collision[:2])
        console.print(f"\n{instances} differ only by port, so the port stays part of the server's name.")


def _some(names: tuple[str, ...], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _table(console: "Console", title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.table import Table

    if not rows:
        return
    if console.is_terminal:
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print("", table)
        return
    console.print(f"\n{title}:")
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    for row in rows:
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.print(f"  {cells.rstrip()}")
