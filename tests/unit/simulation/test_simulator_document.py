"""The tables of docs/simulator.md agree with the code."""

import re
from dataclasses import fields
from pathlib import Path

from daemon.config.sources import SimulatorConfig
from daemon.simulation.incident import CASCADE, KINDS, Incident
from daemon.simulation.profile import PROFILES
from daemon.simulation.spec import FleetSpec

TEXT = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("| ").split("|")] for line in TEXT.splitlines() if line.startswith("| `")]


def rows(names: set[str]) -> dict[str, list[str]]:
    """Return the table rows with these names in the first column, by name."""
    return {cells[0].strip("`"): cells[1:] for cells in ROWS if cells[0].strip("`") in names}


def test_every_kind_has_its_row() -> None:
    """Metric, level, hours and shares of each kind are those of KINDS."""
    row_of = rows(set(KINDS))
    for name, kind in KINDS.items():
        hours = (kind.ramp_hours, kind.hold_hours, kind.recovery_hours)
        ramp, hold, recovery = ("{:g} to {:g}".format(*limits) for limits in hours)
        shares = [f"{share:g}" for share in (kind.repair_chance, kind.sudden_chance, kind.spread_chance)]
        numbers = ["as its origin"] * 5 + [""] if name == CASCADE else [ramp, hold, recovery, *shares]
        assert row_of[name][1:] == [f"`{kind.metric}` > {kind.critical:g}", *numbers][: len(row_of[name]) - 1], name


def test_every_profile_has_its_row() -> None:
    """Prefix, share and the weights of the incidents are those of PROFILES."""
    row_of = rows(set(PROFILES))
    for name, profile in PROFILES.items():
        assert row_of[name][:2] == [f"`{profile.prefix}-01`, …", str(profile.share)]
        weights = {kind: float(weight) for kind, weight in re.findall(r"`(\w+)` ([\d.]+)", row_of[name][-1])}
        assert weights == profile.incidents, name


def test_every_parameter_and_column_has_its_row() -> None:
    """Defaults are those of FleetSpec, columns those of Incident."""
    parameters = {field.name for field in fields(FleetSpec)} - {"counts"}
    row_of = rows(parameters)
    assert set(row_of) == parameters <= set(SimulatorConfig.model_fields)
    spec = FleetSpec()
    for name in parameters - {"holidays", "incidents"}:
        assert row_of[name][0] == f"{getattr(spec, name):g}", name
    assert row_of["holidays"][0] == ", ".join(spec.holidays)
    table = TEXT.split("### incidents.parquet")[1].split("## ")[0]
    columns = {name for line in table.splitlines() if line.startswith("|") for name in re.findall(r"`(\w+)`", line)}
    assert columns == {field.name for field in fields(Incident)}
