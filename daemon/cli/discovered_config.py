"""The configuration file that `forewarn init` writes."""

import json
from pathlib import Path
from typing import Any

import yaml

from daemon.config.loading import default_text
from daemon.sources.discovery import KEEP_PORT, Discovery

_HEAD = """\
# The configuration of forewarn, written by `forewarn init` for {url}.
#
#     forewarn check-config {path}
#     forewarn run --config {path}
#
# Every key, and those that are not here, is explained in docs/configuration.md.

# Civil time that the daily and weekly rhythms of your servers follow, such as Europe/Berlin.
timezone: UTC

# The history and the models live here; relative to this file.
data_dir: {data_dir}

# queries: PromQL by metric; each gives one series per server, averaged over five minutes.
# server_pattern: the part of the label "instance" that is the server.
{pattern_note}sources:
"""
_METRICS = """
# The metrics to watch: unit, physical range, and from which value on it is a warning or critical.
metrics:
"""
_PROFILES = """
# The kind of a server by its name; the first match wins, else it is "generic". Make these fit your names.
profiles:
"""
_KEPT_PORT = """\
# It keeps the port, because only the port tells {instances} apart. So exporters on other ports are servers of
# their own as well. Without such targets use '^(.+?)(?::\\d+)?$', which drops the port.
"""


def config_text(discovery: Discovery, source: dict[str, Any], path: Path, data_dir: str) -> str:
    """Return the file: the found metrics with the packaged units, ranges and thresholds, and ``source`` for them.

    Args:
        discovery: what was found.
        source: the entry of ``sources`` without its queries and pattern.
        path: where the file will be, for its comments.
        data_dir: folder for the history and the models.
    """
    packaged = yaml.safe_load(default_text())
    source = source | {
        "backfill_hours": 720,
        "queries": {found.metric: found.promql for found in discovery.metrics},
        "server_label": "instance",
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
    """Return the names of the metrics that the packaged configuration describes."""
    return tuple(yaml.safe_load(default_text())["metrics"])


def _block(value: Any, flow: bool | None = None) -> str:
    # A line that is broken inside a query is hard to copy into Prometheus.
    text = yaml.safe_dump(value, default_flow_style=flow, sort_keys=False, width=10_000, allow_unicode=True)
    return "".join(f"  {line}\n" for line in text.splitlines())
