"""The exporters that forewarn knows, from ``daemon/config/exporters.yaml``."""

from dataclasses import dataclass
from importlib.resources import files

import yaml


@dataclass(frozen=True)
class ExporterQuery:
    """How one exporter gives a metric; ``hint`` says what to do where it does not."""

    metric: str
    series: str
    promql: str
    hint: str = ""


@dataclass(frozen=True)
class Exporter:
    """An exporter, the series that shows that it is there, and what it can give."""

    name: str
    probe: str
    queries: tuple[ExporterQuery, ...]


def known_exporters() -> tuple[Exporter, ...]:
    """Return the exporters that ship with the package."""
    known = yaml.safe_load((files("daemon.config") / "exporters.yaml").read_text(encoding="utf-8"))
    return tuple(
        Exporter(
            name,
            exporter["probe"],
            tuple(
                ExporterQuery(metric, entry["series"], entry["query"], entry.get("hint", ""))
                for metric, entry in exporter["metrics"].items()
            ),
        )
        for name, exporter in known.items()
    )
