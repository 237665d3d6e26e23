import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from daemon.cli.app import app

DOCUMENT = Path(__file__).parents[3] / "docs" / "simulator.md"
FEW = [f"--num-{name}=0" for name in ("ml-compute", "database", "conductor-mgmt", "risk-analytics", "generic")]


def test_the_documented_command_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of docs/simulator.md writes the three files, a month with incidents."""
    (line,) = re.findall(r"^forewarn (simulate .*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, shlex.split(line))
    assert done.exit_code == 0, done.output
    written = {path.name for path in (tmp_path / "fleet").iterdir()}
    assert written == {"server_metrics.parquet", "incidents.parquet", "fleet.json"}
    truth = pd.read_parquet(tmp_path / "fleet" / "incidents.parquet")
    assert truth.kind.nunique() > 8
    assert set(truth.precursor) == {True, False}


@pytest.mark.parametrize(("rate", "fewest", "most"), [("0", 0, 0), ("4", 8, 40)])
def test_the_rate_of_incidents_can_be_given(rate: str, fewest: int, most: int, tmp_path: Path) -> None:
    """No incidents are none, and many are many."""
    done = CliRunner().invoke(
        app, ["simulate", "--hours", "168", *FEW, "--incidents-per-server-week", rate, "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert fewest <= len(pd.read_parquet(tmp_path / "incidents.parquet")) <= most


def test_a_rate_out_of_range_is_a_wrong_use(tmp_path: Path) -> None:
    """More than five a server and week is refused, and nothing is written."""
    done = CliRunner().invoke(app, ["simulate", "--incidents-per-server-week", "6", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()
