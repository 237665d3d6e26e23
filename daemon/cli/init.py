"""``forewarn init``: writes a configuration for a live Prometheus."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from daemon.config.loading import default_text
from daemon.config.schema import Config
from daemon.config.sources import PrometheusConfig
from daemon.core.errors import ConfigError
from daemon.core.file_access import reason_of
from daemon.ingest.discovery import KEEP_PORT, Discovery

if TYPE_CHECKING:
    from rich.console import Console

_HEAD = """\
# The configuration of forewarn, written by `forewarn init` for {url}.
#
#     forewarn check-config {path}
#     forewarn run --config {path}
#
# docs/configuration.md explains every key, including those that are not here.

# Time zone of the daily and weekly rhythms of your servers, such as Europe/Berlin.
timezone: UTC

# Directory of the store and the models; relative to this file.
data_dir: {data_dir}

# queries: PromQL by metric; each query returns one series per server, averaged over five minutes.
# server_pattern: the part of the label "instance" that is the name of the server.
{pattern_note}sources:
"""
_METRICS = """
# The metrics to forecast: unit, physical range, and the warning and critical thresholds.
metrics:
"""
_PROFILES = """
# Profile of a server by its name; the first match applies, otherwise "generic". Adapt the patterns to your names.
profiles:
"""
_KEPT_PORT = """\
# It keeps the port, because {instances} differ only by port. So exporters on other ports are separate
# servers too. Without such targets use '^(.+?)(?::\\d+)?$', which removes the port.
"""


def config_text(discovery: Discovery, source: dict[str, Any], path: Path, data_dir: str) -> str:
    """Return the text of the file: the source, and the found metrics with the packaged units, ranges and thresholds.

    Args:
        discovery: the metrics of the Prometheus.
        source: the entry of ``sources`` without its queries and pattern.
        path: path of the file, for its comments.
        data_dir: directory of the store and the models.
    """
    packaged = yaml.safe_load(default_text())
    source = source | {
        "backfill_hours": PrometheusConfig.model_fields["backfill_hours"].default,
        "queries": {found.metric: found.promql for found in discovery.metrics},
        "server_label": PrometheusConfig.model_fields["server_label"].default,
        "server_pattern": discovery.server_pattern,
    }
    metrics = {found.metric: packaged["metrics"][found.metric] for found in discovery.metrics}
    note = ""
    if discovery.server_pattern == KEEP_PORT:
        note = _KEPT_PORT.format(instances=" and ".join(discovery.collision[:2]))
    return (
        _HEAD.format(url=source["url"], path=path, pattern_note=note, data_dir=json.dumps(data_dir))
        + _block([source], flow=False)
        + _METRICS
        + _block(metrics)
        + _PROFILES
        + _block(packaged["profiles"])
    )


def packaged_metrics() -> tuple[str, ...]:
    """Return the names of the metrics in the packaged configuration."""
    return tuple(yaml.safe_load(default_text())["metrics"])


def _block(value: Any, flow: bool | None = None) -> str:
    # a query with line breaks is hard to copy into Prometheus
    text = yaml.safe_dump(value, default_flow_style=flow, sort_keys=False, width=10_000, allow_unicode=True)
    return "".join(f"  {line}\n" for line in text.splitlines())


def init(
    prometheus: Annotated[str, typer.Option(metavar="URL", help="Base URL, as in http://prometheus:9090.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("config.yaml"),
    data_dir: Annotated[str, typer.Option(help="Directory of the store and the models.")] = str(
        Config.model_fields["data_dir"].default
    ),
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    bearer_token_file: Annotated[Path | None, typer.Option(help="File with a bearer token.")] = None,
    username: Annotated[str | None, typer.Option(help="User for basic authentication.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password of that user.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificate authorities to trust.")] = None,
) -> None:
    """Write a configuration for a live Prometheus."""
    from rich.console import Console

    from daemon.config.loading import parse_config
    from daemon.ingest.discovery import discover, known_exporters
    from daemon.system.files import atomic_path

    if out.exists() and not force:
        raise ConfigError([f"{out}: exists already; name another file with --out, or replace it with --force"])
    source = _source(prometheus, bearer_token_file, username, password_file, ca_file)
    discovery = discover(_draft(source), known_exporters(), packaged_metrics())
    text = config_text(discovery, source, out, data_dir)
    parse_config(text, str(out), out.absolute().parent)
    try:
        with atomic_path(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{out}: cannot be written: {reason_of(error, 'name another file with --out')}"]) from error
    console = Console(highlight=False, markup=False, soft_wrap=True)
    _report(console, discovery)
    console.print(f"\nWrote {out}. Next:\n\n    forewarn check-config {out}\n    forewarn run --config {out}")


def _source(
    url: str, token: Path | None, username: str | None, password: Path | None, ca: Path | None
) -> dict[str, Any]:
    if (username is None) != (password is None):
        raise ConfigError(["--username and --password-file belong together; set both or neither"])
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ConfigError(["--prometheus: the URL contains a password; use --username and --password-file instead"])
    source: dict[str, Any] = {"name": "prometheus", "type": "prometheus", "url": url.rstrip("/")}
    # the file has paths relative to its directory, the options have them relative to this one
    if token is not None:
        source["bearer_token_file"] = str(token.absolute())
    if username is not None and password is not None:
        source["basic_auth"] = {"username": username, "password_file": str(password.absolute())}
    if ca is not None:
        source["tls"] = {"ca_file": str(ca.absolute())}
    return source


def _draft(source: dict[str, Any]) -> Any:
    from pydantic import ValidationError

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
